"""Candidates by popularity equal a plain loop over big integers: plays, collisions, what is left when draws run out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from segue.batches.split import DataConfig, split_store
from segue.evaluation import Table, make_scene
from segue.evaluation import popular as module
from segue.evaluation.candidates import candidate_draws, pool_candidates
from segue.evaluation.popular import PopularPool, halved
from segue.evaluation.session_candidates import Candidates
from segue.recipes import EvaluationConfig
from support.stores import tiny_store

MASK = 2**64 - 1
GAMMA = 0x9E3779B97F4A7C15
KEYS = np.array([0, 1, 2**63 + 5, 2**64 - 1, 0x123456789ABCDEF, 77], np.uint64)


def splitmix(x: int) -> int:
    z = (x + GAMMA) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def naive(key: int, excluded: set[int], plays: dict[int, int], seed: int, num: int, most: int) -> list[int]:
    """Return the candidates of one session: tracks laid out by their plays, one draw after another."""
    played = [row for row in sorted(plays) if plays[row] > 0]
    eligible = [row for row in played if row not in excluded]
    if len(eligible) <= num:
        return eligible
    line = [row for row in played for _ in range(plays[row])]
    state, taken = splitmix(key ^ splitmix(seed)), list[int]()
    for j in range(most):
        row = line[((splitmix((state + j * GAMMA) & MASK) >> 32) * len(line)) >> 32]
        if row not in excluded and row not in taken and len(taken) < num:
            taken.append(row)
    left = [row for row in sorted(played, key=lambda row: (-plays[row], row)) if row in eligible and row not in taken]
    return (taken + left)[:num]


def made(plays: dict[int, int], num: int) -> PopularPool:
    counts = np.zeros(max(plays) + 1, np.int64)
    counts[list(plays)] = list(plays.values())
    return PopularPool.of(np.array(sorted(plays), np.int32), counts, num, "cpu")


EXCLUDED = np.array([[3, 3, 5, 0], [4, 6, 8, 10], [7, 9, 11, 13], [39, 0, 0, 0], [37, 39, 4, 0], [0, 0, 0, 0]])
PLAYS = {row: 1 + 4000 // (row - 2) ** 2 if row % 5 else 0 for row in range(3, 40, 2)}  # steep, and some never played


@pytest.mark.parametrize("draws", [1, 2, 64])
@pytest.mark.parametrize("num", [1, 5, 9, 12, 13, 14, 15, 30])
def test_candidates_equal_the_loop(num: int, draws: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DRAWS", draws)
    rows, valid = pool_candidates(
        torch.from_numpy(KEYS.view(np.int64)), torch.from_numpy(EXCLUDED), made(PLAYS, num), seed=4, num=num
    )
    for i, key in enumerate(KEYS.tolist()):
        expected = naive(key, set(EXCLUDED[i].tolist()), PLAYS, 4, num, draws * num)
        assert rows[i][valid[i]].tolist() == expected
        assert len(set(expected)) == len(expected)


@pytest.mark.parametrize("width", [8, 9, 100])
def test_the_first_guess_of_how_many_draws_are_needed_changes_no_candidate(
    width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool, asked = made(PLAYS, 8), (torch.from_numpy(KEYS.view(np.int64)), torch.from_numpy(EXCLUDED))
    expected = pool_candidates(*asked, pool, seed=0, num=8)[0]
    monkeypatch.setattr(PopularPool, "width", lambda *_: width)
    assert torch.equal(pool_candidates(*asked, pool, seed=0, num=8)[0], expected)


def test_draws_follow_the_plays_in_numpy_as_in_torch() -> None:
    plays = {3: 6, 4: 0, 5: 1, 9: 3}
    pool, keys = made(plays, 2), np.arange(4000, dtype=np.uint64) * np.uint64(GAMMA)
    drawn = pool.drawn(torch.from_numpy(keys.view(np.int64)), 0, 5).numpy()
    play = candidate_draws(keys, 0, 5, 10)
    assert np.array_equal(drawn, np.array([3] * 6 + [5] + [9] * 3)[play])
    share = np.bincount(drawn.ravel(), minlength=10) / drawn.size
    assert share[[3, 5, 9]] == pytest.approx([0.6, 0.1, 0.3], abs=0.015)
    assert share.sum() == pytest.approx(share[[3, 5, 9]].sum())


def test_a_session_keeps_its_candidates_in_any_batch() -> None:
    pool, keys = made(PLAYS, 6), torch.from_numpy(KEYS.view(np.int64))
    whole = pool_candidates(keys, torch.from_numpy(EXCLUDED), pool, seed=0, num=6)[0]
    for i in range(len(KEYS)):
        wider = torch.nn.functional.pad(torch.from_numpy(EXCLUDED[i : i + 1]), (0, 3))
        assert torch.equal(pool_candidates(keys[i : i + 1], wider, pool, seed=0, num=6)[0], whole[i : i + 1])


def test_more_plays_than_fit_are_halved_and_no_track_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    assert halved(np.array([2**29, 2**29 - 1])).tolist() == [2**29, 2**29 - 1]
    assert halved(np.array([2**30, 1, 3])).tolist() == [2**29, 1, 2]
    counts = np.array([0, 0, 0, 2**31, 1, 2**31, 5], np.int64)
    pool = PopularPool.of(np.arange(3, 7, dtype=np.int32), counts, 2, "cpu")
    assert int(pool.plays_to[-1]) < 2**30
    assert pool.by_plays.tolist() == [3, 5, 6, 4]
    assert pool_candidates(torch.tensor([5]), torch.tensor([[3]]), pool, seed=0, num=2)[0].shape == (1, 2)


def test_one_track_alone_and_none_at_all() -> None:
    one = made({7: 3}, 2)
    rows, valid = pool_candidates(torch.tensor([1, 2]), torch.tensor([[7], [8]]), one, seed=0, num=2)
    assert (rows.tolist(), valid.tolist()) == ([[0, 0], [7, 0]], [[False, False], [True, False]])


def test_the_popularity_protocol_of_a_store_draws_no_track_of_the_session(tmp_path: Path) -> None:
    store = tiny_store(tmp_path / "store", sessions=40, tracks=60)
    data = DataConfig(vocabulary="transductive")
    split = split_store(store, data)
    table = Table(make_scene(store, split, data, EvaluationConfig(candidates=12, seed=5), "test", "cpu"))
    session = table.scene.contexts.cases.session
    plays = {row: int(split.training_counts[row]) for row in split.candidates.tolist()}
    assert 0 in plays.values(), "a transductive store holds tracks that are never played in training"
    found = table.popular.rows(np.arange(len(session)))
    assert (found != table.uniform.rows(np.arange(len(session)))).any()
    for i, own in enumerate(session.tolist()):
        heard = set(store.tracks[store.offsets[own] : store.offsets[own + 1]].tolist())
        assert not heard & set(found[i].tolist())
        assert found[i].tolist() == naive(int(store.session_key[own]), heard, plays, 5, 12, module.DRAWS * 12)
    assert isinstance(table.rivals("popularity"), Candidates)
    assert table.counts(["popularity"])["sessions_with_fewer_popular_candidates"] == table.popular.num_fewer == 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_cuda_device_draws_the_same_candidates() -> None:
    counts = np.r_[np.zeros(3, np.int64), 1 + 10**6 // np.arange(1, 5001)]
    rows, keys = np.arange(3, 5003, dtype=np.int32), torch.from_numpy(KEYS.view(np.int64))
    on = {device: PopularPool.of(rows, counts, 900, device) for device in ("cpu", "cuda")}
    found = {
        device: pool_candidates(keys.to(device), torch.from_numpy(EXCLUDED).to(device), pool, seed=0, num=900)[0].cpu()
        for device, pool in on.items()
    }
    assert torch.equal(found["cpu"], found["cuda"])
