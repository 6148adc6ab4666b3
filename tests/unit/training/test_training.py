"""Laws of training: it learns, stops when it should, and fails with advice."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from segue.batches.split import Split
from segue.errors import InputError, Interrupted, NonFiniteError
from segue.model import Encoder
from segue.runs import RunFolder, load_run
from segue.store import Store, StoreWriter
from segue.store.writer import SessionColumns
from segue.training import FitOptions, fit
from segue.training.device import choose_device, choose_precision
from support.small_recipes import small_recipe
from support.stores import tiny_store

CPU = FitOptions(device="cpu", precision="fp32")


@pytest.fixture
def store(tmp_path):
    return tiny_store(tmp_path / "store")


def scripted(values):
    """A validation that reads its NDCG@20 from a list."""
    left = iter(values)
    return lambda split, encoder: {"ndcg@20": next(left)}


def test_training_stops_when_validation_has_not_risen_for_patience_epochs(store, tmp_path):
    recipe = small_recipe(training__epochs=30, training__patience=2)
    result = fit(store, tmp_path / "run", recipe, CPU, scripted([0.1, 0.3, 0.2, 0.3, 0.9]))
    assert (result.stopped, result.converged, result.epochs, result.best_epoch) == ("patience", True, 4, 2)
    assert result.metrics == {"ndcg@20": 0.3}
    assert load_run(tmp_path / "run").best["epoch"] == 2


@pytest.mark.parametrize(
    ("losses", "best"),
    [
        ([2.5, 1.0, 0.1, 0.2, 0.3], 3),
        ([2.5, 2.5, 2.5], 1),
        ([0.1, 0.0995, 0.0993], 1),
        ([0.1, math.nan, 0.05, 0.2, 0.2], 3),
        ([math.nan, 0.1, 0.2], 2),
    ],
)
def test_of_epochs_with_equal_ndcg_the_one_with_the_lower_loss_is_best(
    store: Store, tmp_path: Path, losses: list[float], best: int
) -> None:
    """NDCG@20 of a small catalogue is 1 at once, while the model still learns."""
    left = iter([*losses, *[9.0] * 9])
    recipe = small_recipe(training__epochs=30, training__patience=2)
    result = fit(store, tmp_path / "run", recipe, CPU, lambda split, encoder: {"ndcg@20": 1.0, "loss": next(left)})
    assert (result.stopped, result.best_epoch, result.epochs) == ("patience", best, best + 2)


def test_training_goes_on_while_the_loss_falls(store: Store, tmp_path: Path) -> None:
    """On a plateau no rank rises yet: patience alone would stop there."""
    left = iter([*((0.1, 5.0 - 0.2 * epoch) for epoch in range(6)), (0.3, 3.0), (0.2, 4.0), (0.2, 4.0)])

    def validate(split: Split, encoder: Encoder) -> dict[str, float]:
        return dict(zip(("ndcg@20", "loss"), next(left), strict=True))

    result = fit(store, tmp_path / "run", small_recipe(training__epochs=30, training__patience=2), CPU, validate)
    assert (result.stopped, result.best_epoch, result.epochs) == ("patience", 7, 9)


def test_a_higher_ndcg_is_better_whatever_its_loss(store: Store, tmp_path: Path) -> None:
    left = iter([(0.5, 1.0), (0.6, 2.0), (0.4, 0.1), (0.6, 2.5)])

    def validate(split: Split, encoder: Encoder) -> dict[str, float]:
        return dict(zip(("ndcg@20", "loss"), next(left), strict=True))

    result = fit(store, tmp_path / "run", small_recipe(training__epochs=4), CPU, validate)
    assert (result.best_epoch, result.metrics) == (2, {"ndcg@20": 0.6, "loss": 2.0})


def test_stop_is_asked_after_each_epoch_and_its_answer_outlives_an_interrupt(store, tmp_path):
    recipe, asked = small_recipe(training__epochs=5, training__patience=9), []

    def stop(epoch, metrics):
        asked.append((epoch, metrics["ndcg@20"]))
        return epoch == 2

    def interrupt(step):
        if step.stage == "epoch" and step.done == 2:
            raise KeyboardInterrupt

    result = fit(store, tmp_path / "whole", recipe, CPU, scripted([0.3, 0.2, 0.9]), stop=stop)
    assert (result.stopped, result.converged, result.epochs, result.best_epoch) == ("pruned", False, 2, 1)
    assert asked == [(1, 0.3), (2, 0.2)]
    with pytest.raises(Interrupted):
        fit(store, tmp_path / "cut", recipe, CPU, scripted([0.3, 0.2, 0.9]), interrupt, stop)
    resumed = FitOptions("cpu", "fp32", resume=True)
    assert fit(store, tmp_path / "cut", recipe, resumed, scripted([0.9]), stop=stop).stopped == "pruned"
    assert len(asked) == 4
    for name in ("best/weights.safetensors", "last/weights.safetensors", "metrics.jsonl", "state.json"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "cut" / name).read_bytes()


def test_best_weights_are_those_of_the_best_epoch(store, tmp_path):
    recipe = small_recipe(training__epochs=3)
    fit(store, tmp_path / "long", recipe, CPU, scripted([0.1, 0.5, 0.2]))
    fit(store, tmp_path / "short", small_recipe(training__epochs=2), CPU, scripted([0.1, 0.5]))
    long, short = load_run(tmp_path / "long").encoder, load_run(tmp_path / "short").encoder
    pairs = zip(long.state_dict().values(), short.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_a_loss_that_is_no_number_stops_the_run_with_advice(store, tmp_path):
    recipe = small_recipe(training__learning_rate=1e30, training__epochs=20)
    with pytest.raises(NonFiniteError, match="learning_rate"):
        fit(store, tmp_path / "run", recipe, CPU)
    assert RunFolder.open(tmp_path / "run").state()["status"] == "failed"


def test_a_validation_that_is_no_number_stops_the_run(store, tmp_path):
    with pytest.raises(NonFiniteError, match="ndcg@20"):
        fit(store, tmp_path / "run", small_recipe(), CPU, scripted([float("nan")]))


def test_held_out_feedback_never_touches_training(tmp_path):
    before = tiny_store(tmp_path / "before")
    after = _with_other_held_out_feedback(tmp_path / "after", before)
    for store in (before, after):
        fit(store, tmp_path / f"run-{store.path.name}", small_recipe(training__epochs=2), CPU)
    weights = [(tmp_path / f"run-{name}" / "best" / "weights.safetensors").read_bytes() for name in ("before", "after")]
    assert weights[0] == weights[1]


def _with_other_held_out_feedback(path, store):
    """A copy of `store` in which the last two strengths of every session are changed."""
    strength = np.array(store.strength)
    for back in (1, 2):
        held_out = store.offsets[1:] - back
        strength[held_out] = np.where(strength[held_out] == 3, 0, 3)
    side = {column.name: store.side(column.name) for column in store.manifest.side}
    with StoreWriter(path, store.manifest.source, store.manifest.side) as writer:
        writer.add_shard(SessionColumns(store.tracks, strength, store.offsets, store.session_key, side))
        writer.finish(store.vocabulary)
    return type(store)(path)


def test_a_seed_decides_every_byte_and_another_seed_changes_them(store, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        torch.rand(1)  # the caller's random state is no input
        fit(store, tmp_path / name, small_recipe(training__epochs=2, training__seed=seed), CPU)
    a, b, c = ((tmp_path / name / "best" / "weights.safetensors").read_bytes() for name in "abc")
    assert a == b
    assert a != c


def test_training_leaves_the_callers_random_state_alone(store, tmp_path):
    before = torch.get_rng_state()
    fit(store, tmp_path / "run", small_recipe(training__epochs=1), CPU)
    assert torch.equal(before, torch.get_rng_state())


def test_padding_and_unknown_rows_stay_zero(store, tmp_path):
    fit(store, tmp_path / "run", small_recipe("paper-cloze-s-plus-track"), CPU)
    table = load_run(tmp_path / "run").encoder.table.weight
    assert not table[:2].any()
    assert table[2:].any(dim=1).all()


def test_a_store_without_training_rows_is_refused(tmp_path):
    store = tiny_store(tmp_path / "short", sessions=4, longest=3)
    with pytest.raises(InputError, match="two tracks to train on"):
        fit(store, tmp_path / "run", small_recipe(), CPU)
    assert not (tmp_path / "run").exists()


def test_progress_counts_batches_up_to_the_cap(store, tmp_path):
    seen = []
    fit(store, tmp_path / "run", small_recipe(training__epochs=2), CPU, None, seen.append)
    done = [step.done for step in seen if step.stage == "train"]
    assert done == list(range(1, done[-1] + 1))
    assert {step.total for step in seen if step.stage == "train"} == {done[-1]}
    assert all(a.done <= b.done for a, b in itertools.pairwise(s for s in seen if s.stage == "epoch"))


def test_devices_and_precisions_are_named_exactly():
    assert choose_device("cpu").type == "cpu"
    with pytest.raises(InputError, match="sparse gradients"):
        choose_device("mps")
    with pytest.raises(InputError, match="cpu"):
        choose_device("cpuu")
    with pytest.raises(InputError, match="fp32"):
        choose_precision("fp23", torch.device("cpu"))
    assert choose_precision("auto", torch.device("cuda")) == "bf16"
    assert choose_precision("fp32", torch.device("cuda")) == "fp32"
