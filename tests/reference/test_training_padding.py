"""Only masked padding is trained packed."""

from __future__ import annotations

import pytest
import torch

from segue.batches.split import split_store
from segue.training import cpu_step, packed_step
from segue.training.trainer import Trainer
from small_recipes import small_recipe
from stores import tiny_store


def made(path, **changes):
    recipe = small_recipe("paper-causal-s-minus", encoder__dropout=0.0, **changes)
    store = tiny_store(path)
    with torch.random.fork_rng():
        return Trainer(store, split_store(store, recipe.data), recipe, torch.device("cpu"), bf16=False)


@pytest.mark.parametrize("kind", ["shared", "mixed", "full"])
def test_only_masked_padding_is_trained_packed(tmp_path, kind):
    for padding, fast in (("masked", True), ("visible", False)):
        trainer = made(tmp_path / padding, next_track__kind=kind, encoder__padding=padding)
        assert packed_step.fits(trainer.encoder, trainer.recipe) == fast
        assert isinstance(trainer._fast, cpu_step.CpuStep) == fast
        trainer.step(trainer.begin(torch.arange(5), 1))
        assert trainer.finite()
