"""Ranks of both protocols over a store equal plain loops: ties, broken numbers, targets that are no candidates."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from segue.batch import Batch
from segue.batches.split import DataConfig, split_store
from segue.evaluation import make_scene, ranking_pass
from segue.evaluation.candidates import session_candidates
from segue.evaluation.ranking_pass import flipped, full_ranks, sampled_ranks
from segue.model.encoders.causal import CausalConfig
from segue.ranking import BASELINE_NAMES, ModelScorer, candidate_table, fit_baselines
from segue.recipes import EvaluationConfig
from support.dense_scores import all_scores
from support.small_models import encoder_of, padded_batch
from support.stores import tiny_store

NUM = 15
NAMES = ("model", *BASELINE_NAMES)


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """A store, a split whose training part lacks some held-out tracks, a scene, and every scorer."""
    store = tiny_store(tmp_path_factory.mktemp("protocols") / "store", sessions=50, tracks=150)
    data = DataConfig(vocabulary="training")
    split = split_store(store, data)
    scene = make_scene(store, split, data, EvaluationConfig(candidates=NUM), "test", "cpu")
    encoder = encoder_of(CausalConfig(width=16, heads=2), store.num_tracks, 20, torch.Generator())
    with torch.no_grad():
        encoder.table.weight.mul_(50)
        encoder.table.weight[60:90] = encoder.table.weight[61]  # a block of tracks that tie
        encoder.table.weight[100] = math.nan
    scorers = {s.name: s for s in [ModelScorer(encoder, split.candidates), *fit_baselines(store, split)]}
    return scene, scorers


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking_pass, "BATCH", 7)
    monkeypatch.setattr(ranking_pass, "FULL_BATCH", 7)
    monkeypatch.setattr(candidate_table, "CPU_CELLS", 1)


def contexts(scene, flip_from=None) -> list[Batch]:
    """Return each context alone."""
    batch = next(scene.contexts.blocks(len(scene.contexts.cases)))[1]
    batch = batch if flip_from is None else flipped(batch, flip_from)
    padded = batch.padded
    parts = padded.tracks, padded.feedback, padded.valid
    alone = [padded_batch(*(part[i : i + 1] for part in parts)) for i in range(len(scene.contexts.cases))]
    sides = [{name: side[i : i + 1] for name, side in batch.session_side.items()} for i in range(len(alone))]
    return [replace(one, session_side=side) for one, side in zip(alone, sides, strict=True)]


def naive_rank(scores: list[float], track: int, rivals: list[int]) -> float:
    own = scores[track]
    others = [scores[row] for row in rivals if row != track]
    return 1 + sum(not score <= own for score in others) + sum(score == own for score in others) / 2


def wanted_of(scene) -> np.ndarray:
    """Return three targets a session: the held-out one, one that ties with others, and one that is no candidate."""
    refused = np.setdiff1d(np.arange(3, scene.store.num_tracks + 3), scene.split.candidates)
    assert len(refused)
    num = len(scene.contexts.cases)
    return np.stack([scene.contexts.target, np.full(num, 61), np.resize(refused, num)], axis=1)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("flip_from", [None, 2])
def test_the_full_protocol_equals_the_loop(name, flip_from, parts) -> None:
    scene, scorers = parts
    scorer, wanted = scorers[name], wanted_of(scene)
    found = full_ranks(scorer, replace(scene.contexts, flip_from=flip_from), wanted)
    allowed, num_nan = scene.split.candidates.tolist(), 0
    for i, context in enumerate(contexts(scene, flip_from)):
        scores = all_scores(scorer, context, scene.split.candidates, scene.store.num_tracks + 3)[0].tolist()
        for t, track in enumerate(wanted[i].tolist()):
            rank = naive_rank(scores, track, allowed) if track in allowed else math.inf
            assert found.ranks[i, t] == rank, (name, i, track)
        real = [row for row in allowed if not math.isnan(scores[row])]
        best = sorted(real, key=lambda row: (-scores[row], row))[:20]
        assert found.best[i].tolist() == best + [0] * (20 - len(best))
        num_nan += sum(math.isnan(scores[track]) for track in wanted[i] if track in allowed)
    assert np.isinf(found.ranks[:, 2]).all()
    assert found.num_nan == num_nan
    assert (num_nan > 0) == (name == "model")  # contexts that hold track 100 have no state
    assert found.behind_all == len(allowed) + 1


@pytest.mark.parametrize("name", NAMES)
def test_the_sampled_protocol_equals_the_loop(name, parts) -> None:
    scene, scorers = parts
    scorer, wanted, session = scorers[name], wanted_of(scene), scene.contexts.cases.session
    candidates = session_candidates(scene.store, session, scene.split.candidates, NUM, 0)
    found = sampled_ranks(scorer, scene.contexts, candidates, wanted)
    rivals = candidates.rows(np.arange(len(session))).tolist()
    for i, context in enumerate(contexts(scene)):
        scores = all_scores(scorer, context, scene.split.candidates, scene.store.num_tracks + 3)[0].tolist()
        for t, track in enumerate(wanted[i].tolist()):
            rank = naive_rank(
                scores, track, rivals[i] if t == 0 else [row if row != track else -1 for row in rivals[i]]
            )
            assert found.ranks[i, t] == (rank if track in scene.split.candidates else math.inf), (name, i, track)
    assert found.best.shape == (len(session), 0)
    assert found.behind_all == NUM + 2


@pytest.mark.parametrize("name", ["model", "popularity"])
def test_fewer_eligible_tracks_than_asked_for_are_all_rivals(name, parts) -> None:
    scene, scorers = parts
    session, allowed = scene.contexts.cases.session, scene.split.candidates
    candidates = session_candidates(scene.store, session, allowed, 500, 0)
    assert candidates.num_fewer == len(session)
    found = sampled_ranks(scorers[name], scene.contexts, candidates).ranks[:, 0]
    for i, context in enumerate(contexts(scene)):
        begin, end = scene.store.offsets[session[i]], scene.store.offsets[session[i] + 1]
        rivals = np.setdiff1d(allowed, scene.store.tracks[begin:end]).tolist()
        scores = all_scores(scorers[name], context, allowed, scene.store.num_tracks + 3)[0].tolist()
        rank = naive_rank(scores, int(scene.contexts.target[i]), rivals)
        assert found[i] == (rank if scene.contexts.target[i] in allowed else math.inf)


def test_constant_scores_are_no_hits_in_either_protocol(parts) -> None:
    scene, _ = parts
    encoder = encoder_of(CausalConfig(width=16, heads=2), scene.store.num_tracks, 20, torch.Generator())
    torch.nn.init.constant_(encoder.table.weight, 0.5)
    scorer, allowed = ModelScorer(encoder, scene.split.candidates), scene.split.candidates
    full = full_ranks(scorer, scene.contexts)
    reachable = np.isfinite(full.ranks)
    assert (full.ranks[reachable] == 1 + (len(allowed) - 1) / 2).all()
    assert (full.best == allowed[:20]).all()
    candidates = session_candidates(scene.store, scene.contexts.cases.session, allowed, NUM, 0)
    assert (sampled_ranks(scorer, scene.contexts, candidates).ranks[reachable] == 1 + NUM / 2).all()


def test_a_part_of_the_targets_keeps_its_ranks(parts) -> None:
    scene, scorers = parts
    chosen = np.array([40, 3, 17])
    held = scene.part(scene.contexts.cases, chosen)
    candidates = session_candidates(scene.store, scene.contexts.cases.session, scene.split.candidates, NUM, 0)
    for name in NAMES:
        whole = sampled_ranks(scorers[name], scene.contexts, candidates).ranks[chosen]
        assert np.array_equal(sampled_ranks(scorers[name], held, candidates.of(chosen)).ranks, whole)
        assert np.array_equal(
            full_ranks(scorers[name], held).ranks, full_ranks(scorers[name], scene.contexts).ranks[chosen]
        )


def test_a_scene_without_targets_gives_no_ranks(parts) -> None:
    scene, scorers = parts
    held = scene.part(scene.contexts.cases, np.zeros(0, np.int64))
    candidates = session_candidates(scene.store, np.zeros(0, np.int64), scene.split.candidates, NUM, 0)
    assert candidates.num_fewer == 0
    for scorer in scorers.values():
        assert full_ranks(scorer, held).ranks.shape == (0, 1)
        assert sampled_ranks(scorer, held, replace(candidates)).ranks.shape == (0, 1)
