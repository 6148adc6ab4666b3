"""With dropout the fast path draws other numbers than the plain one, but from the same distribution."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from segue.batches.split import split_store
from segue.recipes import Recipe
from segue.store import Store
from segue.training.trainer import Trainer
from small_recipes import small_recipe
from stores import tiny_store

DEVICE = torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
BATCH = 16
STEPS = 300
STILL = 1e-12
"""A rate at which nothing moves: every step then sees the same weights."""
WEIGHTS = ("positions", "blocks.0.project_in", "blocks.0.narrow", "blocks.1.project_out", "blocks.1.widen", "predict")


def _recipe(name: str, rate: float) -> Recipe:
    changes: dict[str, Any] = {
        "encoder__width": 32,
        "encoder__ffn_width": 32,
        "encoder__dropout": 0.3,
        "next_track__kind": "shared",
    }
    changes |= {"training__batch_size": BATCH, "training__clip": 1e9, "training__learning_rate": rate}
    return small_recipe(name, **changes)


def _trained(store: Store, name: str, rate: float, steps: int, *, plain: bool, start: Trainer | None) -> Trainer:
    recipe = _recipe(name, rate)
    trainer = Trainer(store, split_store(store, recipe.data), recipe, DEVICE, bf16=DEVICE.type == "cuda", plain=plain)
    if start is not None:
        trainer.encoder.load_state_dict(start.encoder.state_dict())
    order = trainer.begin(torch.arange(BATCH).repeat(steps), steps)
    for step in range(steps):
        trainer.step(order[step * BATCH : (step + 1) * BATCH])
    trainer.settle()
    return trainer


def _squares(trainer: Trainer) -> dict[str, Tensor]:
    """Return the mean squared gradient of each weight and of the table, as Adam holds it."""
    tensors, _ = trainer.optimisers.state()
    names = [name for name, parameter in trainer.encoder.named_parameters() if name != "table.weight"]
    found = {"table": tensors["table.exp_avg_sq"].mean()}
    for index, name in enumerate(names):
        if name.endswith("weight") and name.startswith(WEIGHTS):
            found[name] = tensors[f"rest.{index}.exp_avg_sq"].mean()
    return found


@pytest.mark.parametrize("name", ["paper-causal-s-plus-session", "paper-cloze-s-plus-track"])
def test_dropout_of_the_fast_path_has_the_moments_of_the_plain_one(tmp_path: Path, name: str) -> None:
    store = tiny_store(tmp_path / "store", tracks=200)
    start = _trained(store, name, 5e-3, 30, plain=True, start=None)
    plain, fast = (_trained(store, name, STILL, STEPS, plain=plain, start=start) for plain in (True, False))
    assert fast._fast is not None
    torch.testing.assert_close(fast.sums / STEPS, plain.sums / STEPS, rtol=0.01, atol=0.002)
    squares = _squares(plain)
    assert len(squares) == 1 + len(WEIGHTS)
    for key, value in _squares(fast).items():
        assert float(value / squares[key]) == pytest.approx(1.0, abs=0.15), key
