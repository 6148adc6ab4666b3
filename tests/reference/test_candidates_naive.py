"""Candidates of the sampled protocol equal a plain loop over big integers."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from segue.batches.held_out import SplitName
from segue.batches.split import DataConfig, split_store
from segue.evaluation import Table, make_scene
from segue.evaluation.candidates import (
    num_eligible,
    pool_candidates,
    session_candidates,
)
from segue.evaluation.pools import UniformPool, candidate_draws
from segue.ranking import fit_baselines
from segue.recipes import EvaluationConfig
from support.evaluated import evaluate_scorers
from support.stores import tiny_store

MASK = 2**64 - 1
GAMMA = 0x9E3779B97F4A7C15
ALL = ("sampled", "full", "popularity")
KEYS = np.array([0, 1, 2**63 + 5, 2**64 - 1, 0x123456789ABCDEF], np.uint64)


def uniform_candidates(keys, excluded, candidates, *, seed, num):
    return pool_candidates(keys, excluded, UniformPool(candidates), seed=seed, num=num)


def naive_splitmix(x: int) -> int:
    z = (x + GAMMA) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def naive(key: int, excluded: set[int], candidates: list[int], seed: int, num: int) -> list[int]:
    eligible = [row for row in candidates if row not in excluded]
    if len(eligible) <= num:
        return eligible
    state, taken, j = naive_splitmix(key ^ naive_splitmix(seed)), {}, 0
    while len(taken) < num:
        row = candidates[((naive_splitmix((state + j * GAMMA) & MASK) >> 32) * len(candidates)) >> 32]
        if row not in excluded and row not in taken:
            taken[row] = True
        j += 1
    return list(taken)


def test_draws_are_those_of_big_integers() -> None:
    states = [naive_splitmix(key ^ naive_splitmix(7)) for key in KEYS.tolist()]
    expected = [
        [((naive_splitmix((s + j * GAMMA) & MASK) >> 32) * 3_700_000) >> 32 for j in range(500)] for s in states
    ]
    found = candidate_draws(torch.from_numpy(KEYS.view(np.int64)), 7, 500, 3_700_000)
    assert found.tolist() == expected


def test_candidates_equal_the_loop_with_collisions_and_few_eligible() -> None:
    candidates = list(range(3, 40, 2))  # 19 rows
    excluded = np.array([[3, 3, 5, 0], [4, 6, 8, 10], [7, 9, 11, 13], [39, 0, 0, 0], [37, 39, 4, 0]])
    for num in (5, 14, 15, 16, 17, 18, 30):
        rows, valid = uniform_candidates(
            torch.from_numpy(KEYS.view(np.int64)), torch.from_numpy(excluded), torch.tensor(candidates), seed=0, num=num
        )
        for i, key in enumerate(KEYS.tolist()):
            assert rows[i][valid[i]].tolist() == naive(key, set(excluded[i].tolist()), candidates, 0, num)


def test_a_track_heard_over_and_over_is_left_out_once() -> None:
    candidates, excluded = torch.arange(3, 23), torch.tensor([[7, 7, 7], [7, 8, 7], [1, 1, 1]])
    assert num_eligible(excluded, candidates).tolist() == [19, 18, 20]
    rows, valid = uniform_candidates(torch.arange(3), excluded, candidates, seed=0, num=19)
    assert rows[0].tolist() == [row for row in range(3, 23) if row != 7]
    assert valid.sum(1).tolist() == [19, 18, 19]


def test_a_session_keeps_its_candidates_in_any_batch() -> None:
    keys, candidates = torch.from_numpy(KEYS.view(np.int64)), torch.arange(3, 503)
    excluded = torch.tensor([[5, 6]]).repeat(5, 1)
    whole, _ = uniform_candidates(keys, excluded, candidates, seed=0, num=50)
    alone, _ = uniform_candidates(keys[3:4], excluded[:1], candidates, seed=0, num=50)
    assert torch.equal(whole[3:4], alone)


def test_passed_over_draws_are_made_up_for_at_every_size() -> None:
    generator = np.random.default_rng(0)
    keys = generator.integers(0, 2**63, 6, dtype=np.int64)
    for count, num in ((1100, 1000), (1_500, 1000), (3_000, 1000), (70_000, 1000), (1_000_000, 300)):
        candidates = np.sort(generator.choice(np.arange(3, 2 * count), count, replace=False))
        excluded = generator.choice(candidates, (6, 30))
        excluded[:, 20:] = 0
        excluded[2], excluded[3, :20] = 0, excluded[3, 0]  # nothing, and one track over and over
        rows, valid = uniform_candidates(
            torch.from_numpy(keys), torch.from_numpy(excluded), torch.from_numpy(candidates).int(), seed=3, num=num
        )
        assert valid.all()
        for key, heard, found in zip(keys.tolist(), excluded.tolist(), rows.tolist(), strict=True):
            assert found == naive(key, set(heard), candidates.tolist(), 3, num), (count, num)


def test_candidates_of_a_store_hold_no_track_of_their_session_and_hang_on_nothing_else(tmp_path: Path) -> None:
    store = tiny_store(tmp_path / "store", sessions=40, tracks=200)
    allowed = np.arange(3, 203, 1, np.int32)[::2]
    session = np.arange(40)
    candidates = session_candidates(store, session, allowed, 60, 5)
    found = candidates.rows(np.arange(40))
    for i in session:
        heard = set(store.tracks[store.offsets[i] : store.offsets[i + 1]].tolist())
        assert found[i].tolist() == naive(int(store.session_key[i]), heard, allowed.tolist(), 5, 60)
    assert torch.equal(candidates.of(np.array([30, 2])).rows(np.array([1, 0])), found[[2, 30]])
    assert torch.equal(candidates.rows(np.array([7])), found[7:8])
    assert candidates.num_fewer == 0


def test_where_few_are_eligible_all_are_given_and_counted(tmp_path: Path) -> None:
    store = tiny_store(tmp_path / "store", sessions=40, tracks=40)
    allowed = np.arange(3, 43, dtype=np.int32)
    heard = [set(store.tracks[b:e].tolist()) for b, e in itertools.pairwise(store.offsets.tolist())]
    candidates = session_candidates(store, np.arange(40), allowed, 34, 0)
    for rows, tracks in zip(candidates.rows(np.arange(40)).tolist(), heard, strict=True):
        eligible = [row for row in allowed.tolist() if row not in tracks]
        wanted = eligible + [-1] * (34 - len(eligible))
        assert len(eligible) > 34 or rows == wanted
    fewer = sum(40 - len(tracks) < 34 for tracks in heard)
    assert 0 < fewer < 40
    assert candidates.num_fewer == fewer


@pytest.mark.parametrize("which", ["test", "validation"])
def test_the_seed_of_an_evaluation_draws_its_candidates(tmp_path: Path, which: SplitName) -> None:
    """Another seed draws others in both sampled protocols, the same seed the same ones."""
    store, data = tiny_store(tmp_path / "store", sessions=40), DataConfig()
    split = split_store(store, data)
    tables = [
        Table(make_scene(store, split, data, EvaluationConfig(candidates=12, seed=seed), which, "cpu"))
        for seed in (0, 7, 7)
    ]
    session, allowed = split.cases[which].session, split.candidates.tolist()
    index = np.arange(len(session))
    for table in tables:
        for i, rows in enumerate(table.uniform.rows(index).tolist()):
            heard = set(store.tracks[store.offsets[session[i]] : store.offsets[session[i] + 1]].tolist())
            assert rows == naive(int(store.session_key[session[i]]), heard, allowed, table.scene.config.seed, 12)
    baselines = fit_baselines(store, split)[:2]
    ranks = [
        {(row.name, row.protocol): row.ranks.tolist() for row in evaluate_scorers(table.scene, baselines, ALL).rows}
        for table in tables
    ]
    for protocol, name in (("sampled", "uniform"), ("popularity", "popular")):
        zero, seven, again = (getattr(table, name).rows(index) for table in tables)
        assert torch.equal(seven, again)
        assert (seven.sort(1).values != zero.sort(1).values).any(1).float().mean() > 0.9, protocol
    for (name, protocol), found in ranks[1].items():
        assert found == ranks[2][name, protocol]
        assert (found != ranks[0][name, protocol]) == (protocol != "full"), (name, protocol)
