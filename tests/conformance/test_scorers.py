"""Every scorer, the model and the baselines alike: one behaviour."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from segue.batch import Batch
from segue.batches.counts import training_counts
from segue.batches.data import SessionData
from segue.batches.split import DataConfig, Split, split_store
from segue.batches.track_features import track_features
from segue.model.encoders.causal import CausalConfig
from segue.model.heads import CopyConfig, ListenConfig, NeighboursConfig, NeighboursWeights, TransitionsConfig
from segue.model.inputs import TrackValues
from segue.model.inputs.features import FeaturesConfig
from segue.ranking import BASELINE_NAMES, ModelScorer, Scorer, content_baselines, fit_baselines, top_k
from segue.store import Store
from support.dense_scores import all_scores, dense_standing
from support.small_models import encoder_of, padded_batch
from support.stores import tiny_store

MODELS = ("model", "transitions", "copy", "neighbours", "listen", "both", "all four", "features")
CONTENT = ("nearest-audio", "feature-mean")
NAMES = (*MODELS, *CONTENT, *BASELINE_NAMES)

LISTEN, TRANSITIONS = ListenConfig(), TransitionsConfig()
HEADS: dict[str, dict[str, Any]] = {
    "transitions": {"transitions": TRANSITIONS},
    "listen": {"listen": LISTEN},
    "both": {"listen": LISTEN, "transitions": TRANSITIONS},
    "copy": {"copy": CopyConfig()},
    "neighbours": {"neighbours": NeighboursConfig()},
    "all four": {
        "copy": CopyConfig(),
        "transitions": TRANSITIONS,
        "neighbours": NeighboursConfig(),
        "listen": LISTEN,
    },
}


def with_heads(store: Store, split: Split, heads: dict[str, Any], *, features: bool = False) -> ModelScorer:
    """Return a model with heads that say something, and whose scores tie: its states are coarse."""
    generator = torch.Generator().manual_seed(1)
    counts = training_counts(store, split)
    inputs, track_values = {}, None
    if features:
        values = track_features(store)
        assert values is not None
        inputs = {"features": FeaturesConfig()}
        track_values = TrackValues(torch.from_numpy(values), torch.from_numpy(split.training_counts > 2))
    config = CausalConfig(width=16, heads=2)
    encoder = encoder_of(config, store.num_tracks, 20, generator, inputs, heads, counts, track_values)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.copy_((parameter + 0.3 * torch.randn(parameter.shape, generator=generator)).round(decimals=1))
        encoder.table.weight[7:11] = encoder.table.weight[6]
    if "neighbours" in heads:
        encoder.heads["neighbours"].ranking_weights = NeighboursWeights(mass=20.0)  # type: ignore[assignment]
    return ModelScorer(encoder, split.candidates, 1.5 if "listen" in heads else 0.0)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Split, dict[str, Scorer], Batch]:
    store = tiny_store(Path(tmp_path_factory.mktemp("scorers")) / "store", sessions=60, rich=True)
    split = split_store(store, DataConfig(vocabulary="training"))
    encoder = encoder_of(CausalConfig(width=16, heads=2), store.num_tracks, 20)
    scorers = {scorer.name: scorer for scorer in [ModelScorer(encoder, split.candidates), *fit_baselines(store, split)]}
    scorers |= {scorer.name: scorer for scorer in content_baselines(store, split)}
    for name, heads in HEADS.items():
        scorers[name] = with_heads(store, split, heads)
    scorers["features"] = with_heads(store, split, HEADS["both"], features=True)
    data = SessionData.load(store, split, "cpu")
    batch = data.context_batch(split.cases["test"], np.arange(12), 20)
    return store, split, scorers, batch


@pytest.mark.parametrize("name", NAMES)
def test_a_score_does_not_depend_on_the_other_tracks_scored(name: str, scene: tuple) -> None:  # type: ignore[type-arg]
    _, split, scorers, batch = scene
    rows = torch.from_numpy(split.candidates.astype(np.int64)).expand(12, -1)
    every = scorers[name].score(batch, rows)
    some = torch.randperm(rows.shape[1], generator=torch.Generator().manual_seed(0))[:5]
    assert torch.equal(scorers[name].score(batch, rows[:, some]), every[:, some])


@pytest.mark.parametrize("name", NAMES)
def test_a_track_that_is_not_a_candidate_is_never_ranked(name: str, scene: tuple) -> None:  # type: ignore[type-arg]
    store, split, scorers, batch = scene
    best = top_k(scorers[name], batch, store.num_tracks + 3).tracks.numpy()
    assert set(best.ravel().tolist()) == {0, *split.candidates.tolist()}


@pytest.mark.parametrize("name", NAMES)
def test_where_tracks_stand_follows_from_all_scores(name: str, scene: tuple) -> None:  # type: ignore[type-arg]
    _, split, scorers, batch = scene
    candidates = torch.from_numpy(split.candidates.astype(np.int64))
    tracks = torch.stack([batch.padded.tracks[:, 0], candidates[:12], torch.ones(12, dtype=torch.int64)], 1)
    expected = dense_standing(all_scores(scorers[name], batch, split.candidates), candidates, tracks, 7)
    standing = scorers[name].stand(batch, tracks, 7, tracks[:, [1, 0]])
    assert standing.scored is not None
    assert torch.equal(standing.scored, standing.scores[:, [1, 0]])
    ranked = torch.tensor([True, True, False]).expand(12, 3)  # row 1 is no candidate
    assert torch.equal(standing.scores[ranked], expected.scores[ranked])
    assert torch.equal(standing.above[ranked], expected.above[ranked])
    assert torch.equal(standing.equal[ranked], expected.equal[ranked])
    assert torch.equal(standing.best.tracks, expected.best.tracks)
    assert torch.equal(standing.best.scores, expected.best.scores)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("k", [1, 5, 60])
def test_the_k_best_are_those_of_a_full_sort(name: str, k: int, scene: tuple) -> None:  # type: ignore[type-arg]
    _, split, scorers, batch = scene
    scores = all_scores(scorers[name], batch, split.candidates)
    for exclude_heard in (False, True):
        ranking = top_k(scorers[name], batch, k, exclude_heard=exclude_heard)
        assert ranking.tracks.shape == ranking.scores.shape == (12, k)
        for i in range(12):
            heard = set(batch.padded.tracks[i].tolist()) if exclude_heard else set()
            rows = [row for row in split.candidates.tolist() if row not in heard]
            best = sorted(rows, key=lambda row: (-float(scores[i, row]), row))[:k]
            missing = k - len(best)
            assert ranking.tracks[i].tolist() == best + [0] * missing
            assert ranking.scores[i].tolist() == scores[i, best].tolist() + [-torch.inf] * missing


@pytest.mark.parametrize("name", NAMES)
def test_order_of_sessions_and_padding_change_nothing(name: str, scene: tuple) -> None:  # type: ignore[type-arg]
    _, split, scorers, batch = scene
    whole = all_scores(scorers[name], batch, split.candidates)
    padded = batch.padded
    parts = padded.tracks, padded.feedback, padded.valid
    turned = padded_batch(*(part.flip(0) for part in parts))
    assert torch.allclose(all_scores(scorers[name], turned, split.candidates).flip(0), whole, atol=1e-5)
    wide = padded_batch(*(torch.nn.functional.pad(part, (3, 3)) for part in parts))
    assert torch.allclose(all_scores(scorers[name], wide, split.candidates), whole, atol=1e-5)


@pytest.mark.parametrize("name", NAMES[1:])
def test_an_empty_session_gets_finite_scores(name: str, scene: tuple) -> None:  # type: ignore[type-arg]
    _, split, scorers, _ = scene
    zero = torch.zeros(1, 4, dtype=torch.int64)
    nothing = padded_batch(zero, zero + 5, zero > 0)
    scores = scorers[name].score(nothing, torch.from_numpy(split.candidates.astype(np.int64))[None])
    assert torch.isfinite(scores).all()


def test_markov_backs_off_to_popularity_lexicographically(scene: tuple) -> None:  # type: ignore[type-arg]
    store, split, scorers, batch = scene
    rows = np.concatenate([np.arange(b, e) for b, e in zip(split.train_begin, split.train_end, strict=True)])
    tracks, same = store.tracks[rows], np.diff(rows) == 1
    last = int(batch.tracks[batch.last[0]])
    follows = np.bincount(tracks[1:][same & (tracks[:-1] == last)], minlength=store.num_tracks + 3)
    boundary = np.isin(rows[1:], split.train_begin)
    follows -= np.bincount(tracks[1:][same & boundary & (tracks[:-1] == last)], minlength=store.num_tracks + 3)
    expected = sorted(split.candidates.tolist(), key=lambda r: (-follows[r], -split.training_counts[r], r))
    ranking = top_k(scorers["markov"], batch, 10)
    assert ranking.tracks[0].tolist() == expected[:10]
