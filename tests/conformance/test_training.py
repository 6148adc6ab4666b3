"""Every encoder and every shipped recipe trains: losses fall, in both precisions, and the run recommends."""

from __future__ import annotations

import pytest
import torch

from segue.runs import RunFolder, load_run
from segue.training import FitOptions, fit
from segue.verbs.evaluate import EvaluateOptions, evaluate
from segue.verbs.recommender import load
from segue.verbs.train import TrainOptions, train
from support.small_recipes import small_recipe
from support.stores import tiny_store

CPU = FitOptions(device="cpu", precision="fp32")
KINDS = ("paper-causal", "paper-cloze", "gru4rec", "nextitnet", "caser")
ARMS = [f"{kind}-{arm}" for kind in KINDS for arm in ("s-minus", "s-plus-session", "s-plus-track")]


@pytest.fixture
def store(tmp_path):
    return tiny_store(tmp_path / "store")


@pytest.mark.parametrize("name", ARMS)
def test_every_recipe_trains_and_its_loss_falls(store, tmp_path, name):
    result = fit(store, tmp_path / "run", small_recipe(name, training__epochs=12), CPU)
    lines = RunFolder.open(tmp_path / "run").lines()
    assert [line["epoch"] for line in lines] == list(range(1, 13))
    assert lines[-1]["loss"] < lines[0]["loss"]
    assert (result.epochs, result.stopped, result.converged) == (12, "cap", False)
    assert ("skip_contrastive" in lines[0]) == ("plus" in name)
    if "plus" in name:
        assert lines[-1]["skip_contrastive"] < lines[0]["skip_contrastive"]


@pytest.mark.parametrize("kind", ["gru4rec", "nextitnet", "caser"])
def test_other_encoders_go_from_training_to_recommending(store, tmp_path, kind):
    recipe = small_recipe(f"{kind}-s-plus-session", next_track__kind="shared", training__epochs=2)
    result = train(store.path, tmp_path / "run", TrainOptions(recipe=recipe))
    assert result.epochs == 2
    evaluation = evaluate(tmp_path / "run", store.path, EvaluateOptions(model_only=True))
    assert evaluation.num_nan == 0
    assert evaluation.row("model", "full").metrics["hr@20"].value > 0
    names = [f"t{i:04d}" for i in range(15)]  # more than max_len
    recommender = load(tmp_path / "run")
    assert len(recommender.recommend(names, k=5)) == 5
    long, recent = recommender.recommend(names), recommender.recommend(names[-8:])
    assert [entry["track"] for entry in long] == [entry["track"] for entry in recent]
    assert len(recommender.recommend([], k=5)) == 5


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("next_track", ["per_session", "shared", "mixed", "full"])
def test_every_encoder_trains_with_every_kind_of_next_track(store, tmp_path, kind, next_track):
    recipe = small_recipe(
        f"{kind}-s-minus", next_track__kind=next_track, training__epochs=16, training__learning_rate=0.01
    )
    fit(store, tmp_path / "run", recipe, CPU)
    losses = [line["loss"] for line in RunFolder.open(tmp_path / "run").lines()]
    assert sum(losses[-4:]) < 0.99 * sum(losses[:4])


@pytest.mark.parametrize("kind", KINDS)
def test_bf16_trains_with_float32_weights(store, tmp_path, kind):
    recipe = small_recipe(f"{kind}-s-plus-session")
    fit(store, tmp_path / "run", recipe, FitOptions(device="cpu", precision="bf16"))
    losses = [line["loss"] for line in RunFolder.open(tmp_path / "run").lines()]
    assert losses[-1] < losses[0]
    run = load_run(tmp_path / "run")
    assert all(value.dtype == torch.float32 for value in run.encoder.parameters())
    assert run.environment["precision"] == "bf16"
