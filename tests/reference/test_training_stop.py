"""A head that may not move the encoder leaves the encoder's training as it is, on either step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from segue.batches.split import split_store
from segue.training import step as step_module
from segue.training.trainer import Trainer
from support.plain_step import taken_plainly
from support.small_recipes import small_recipe
from support.stores import tiny_store

STEPS = [pytest.param(True, id="plain"), pytest.param(False, id="fast")]


@pytest.fixture(autouse=True)
def clipping(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is clipped: what one part adds to the norm scales no other."""
    monkeypatch.setattr(step_module, "CLIP", 1e9)


def trained(path: Path, changes: dict[str, Any], *, plain: bool, steps: int = 3) -> Trainer:
    """Return the trainer after some steps."""
    recipe = small_recipe("paper-causal-s-minus", encoder__dropout=0.0, **changes)
    store = tiny_store(path, tracks=60)
    with torch.random.fork_rng():
        trainer = Trainer(store, split_store(store, recipe.data), recipe, torch.device("cpu"), bf16=False)
        trainer = taken_plainly(trainer) if plain else trainer
        for head in trainer.encoder.heads.values():  # as initialised, nothing comes through their weights
            for place, parameter in enumerate(head.parameters()):
                torch.nn.init.normal_(parameter, generator=torch.Generator().manual_seed(place))
        for index in trainer.begin(torch.arange(len(trainer.data.train_begin)), steps).tensor_split(steps):
            trainer.step(index)
        if not plain:
            trainer.bring_up()
    return trainer


def gradients(trainer: Trainer, *, heads: bool) -> dict[str, Tensor]:
    """Return what the last step left as gradients, of the heads or of all else; the full softmax has the table's."""
    named = trainer.encoder.named_parameters()
    return {name: p.grad for name, p in named if p.grad is not None and name.startswith("heads.") == heads}


@pytest.mark.parametrize("plain", STEPS)
@pytest.mark.parametrize("gradient", ["stop", "flow"])
def test_a_stopped_p_listen_only_weighs_beside_the_encoders_loss(tmp_path: Path, gradient: str, *, plain: bool) -> None:
    """The loss is a mean weighed by the parts: so scaled back, the gradients are those of the encoder without it."""
    head = {"heads__listen": {"gradient": gradient, "weight": 0.5}, "next_track__weight": 1.0}
    alone, beside = (
        trained(tmp_path / str(turn), {"next_track__kind": "full"} | changes, plain=plain, steps=1)
        for turn, changes in enumerate(({}, head))
    )
    wanted, found = (gradients(trainer, heads=False) for trainer in (alone, beside))
    assert set(wanted) == set(found)
    close = {name: torch.allclose(1.5 * found[name], value, rtol=1e-4, atol=1e-7) for name, value in wanted.items()}
    assert all(close.values()) == (gradient == "stop"), close
    assert all(value.any() for value in gradients(beside, heads=True).values())
