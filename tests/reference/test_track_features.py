"""Tracks that were never trained are read and ranked by their features; those that were, by their own row too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from segue.batches.split import DataConfig, split_store
from segue.batches.track_features import feature_scale, has_features, standardised, track_features
from segue.errors import InputError
from segue.model.encoders.causal import CausalConfig
from segue.model.inputs import TrackValues
from segue.model.inputs.features import FeaturesConfig, FeaturesInput
from segue.recipes import load_recipe
from segue.runs import load_run
from segue.store import UNKNOWN
from segue.training import fit
from segue.verbs.evaluate import EvaluateOptions, evaluate
from segue.verbs.recommender import load
from segue.verbs.train import TrainOptions, train
from support.small_models import encoder_of
from support.small_recipes import small_recipe
from support.stores import tiny_store

FEATURES = {"inputs__features": True, "data__vocabulary": "features"}


def test_features_are_standardised_over_the_tracks_that_have_them() -> None:
    raw = np.array([[1.0, 5.0, np.nan], [3.0, 5.0, np.nan], [np.nan, 5.0, np.nan], [5.0, 5.0, np.inf]], np.float32)
    found = standardised(raw, *feature_scale(raw))
    spread = np.sqrt(8 / 3)
    assert found[:, 0].tolist() == pytest.approx([-2 / spread, 0.0, 0.0, 2 / spread])
    assert not found[:, 1:].any()


def test_what_features_serve_is_ranked_and_never_drawn(tmp_path: Path) -> None:
    store = tiny_store(tmp_path / "store", tracks=200, rich=True)
    trained, served = (split_store(store, DataConfig(vocabulary=rule)) for rule in ("training", "features"))
    known, cold = has_features(store), served.training_counts == 0
    assert (known & cold).sum() > 20
    assert (~known & cold)[3:].any()
    assert np.array_equal(served.negatives, trained.candidates)
    wanted = np.flatnonzero((served.training_counts > 0) | known)
    assert np.array_equal(served.candidates, wanted)
    assert np.array_equal(served.input_row[wanted], wanted)
    assert (served.input_row[3:][~np.isin(np.arange(3, 203), wanted)] == UNKNOWN).all()


def _with_features(drop: float = 0.5) -> tuple[FeaturesInput, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    trained = torch.rand(403, generator=generator) < 0.7
    trained[:3] = True
    values = torch.randn(403, 5, generator=generator)
    values[:3] = 0.0
    inputs, track_values = {"features": FeaturesConfig(drop)}, TrackValues(values, trained)
    config = CausalConfig(width=16, heads=2)
    encoder = encoder_of(config, 400, 8, generator, inputs, track_values=track_values)
    (part,) = encoder.each_input
    assert isinstance(part, FeaturesInput)
    return part, encoder.ranked_rows()


def test_an_untrained_row_is_its_features_alone() -> None:
    features, rows = _with_features()
    cold = ~features.trained
    alone = (features.values @ features.project.weight.T).detach()
    torch.testing.assert_close(rows[cold], alone[cold])
    assert (rows[~cold][3:] != alone[~cold][3:]).any(dim=1).all()
    assert not rows[0].any()


def test_rows_are_dropped_by_their_share_the_same_wherever_they_are_met() -> None:
    features, _ = _with_features(0.4)
    features.trained[:] = True
    tracks, shares = torch.arange(403), []

    def with_own_row(tracks: torch.Tensor, key: torch.Tensor | None) -> torch.Tensor:
        """Return 1 where the row of the table counts, else 0."""
        table_rows = torch.ones(*tracks.shape, 16)
        counted = features.track_rows(table_rows, tracks, key) - features.track_rows(table_rows * 0, tracks)
        return counted.mean(-1).round()

    for step in range(60):
        key = torch.tensor([step * 7919 + 11])
        counts = with_own_row(tracks, key)
        assert torch.equal(with_own_row(tracks.flip(0).view(13, 31), key).flatten().flip(0), counts)
        assert counts[:3].all()
        shares.append(counts[3:])
    steps = torch.stack(shares)
    assert steps.mean().item() == pytest.approx(0.6, abs=0.02)
    assert (steps.mean(0) - 0.6).abs().max() < 0.3, "each track is dropped by turns"
    assert (steps.mean(1) - 0.6).abs().max() < 0.12
    assert with_own_row(tracks, None).all()


def test_a_run_with_features_ranks_cold_tracks_after_loading(tmp_path: Path) -> None:
    store = tiny_store(tmp_path / "store", tracks=200, sessions=60, rich=True)
    recipe = small_recipe("paper-causal-s-minus", next_track__kind="shared", **FEATURES)
    train(store, tmp_path / "run", TrainOptions(recipe=recipe))
    run = load_run(tmp_path / "run")
    features = run.encoder.inputs["features"]
    assert isinstance(features, FeaturesInput)
    values = track_features(store)
    assert values is not None
    assert torch.equal(features.values, torch.from_numpy(values))
    cold = set((np.flatnonzero(run.training_counts == 0)).tolist()) & set(run.candidates.tolist())
    listed = load(tmp_path / "run").recommend(["t0003", "t0007"], k=200)
    ids = {int(one["track"][1:]) + 3 for one in listed}
    assert cold <= ids
    assert ids == set(run.candidates.tolist())
    found = evaluate(tmp_path / "run", store, EvaluateOptions(protocol="full"))
    assert found.targets.strata["plays=0"].any()
    assert "plays=0" in found.row("model", "full").strata


def test_features_that_are_not_there_are_asked_for(tmp_path: Path) -> None:
    store = tiny_store(tmp_path / "store")
    recipe = small_recipe("paper-causal-s-minus", next_track__kind="shared", inputs__features=True)
    with pytest.raises(InputError, match="--tracks FILE"):
        train(store, tmp_path / "run", TrainOptions(recipe=recipe))
    with pytest.raises(InputError, match="ranks tracks that have features alone"):
        load_recipe("paper-causal-s-minus", {"data.vocabulary": "features"})
    with pytest.raises(InputError, match="drop"):
        load_recipe("paper-causal-s-minus", {"inputs.features.drop": 1.0})


def test_optional_features_are_done_without_where_there_are_none(tmp_path: Path) -> None:
    bare, rich = (tiny_store(tmp_path / name, tracks=60, rich=name == "rich") for name in ("bare", "rich"))
    for store in (bare, rich):
        run = tmp_path / f"run-{store.path.name}"
        fit(store, run, small_recipe("segue", training__epochs=1))
        assert ("features" in load_run(run).encoder.inputs) == (store is rich)
        assert load(run).recommend(["t0003"], k=3)
    with pytest.raises(InputError, match="has no features"):
        fit(bare, tmp_path / "strict", small_recipe("segue", inputs__features=True, training__epochs=1))
