"""Negatives redrawn each epoch: the same for a session in whatever batch and order, others in another epoch."""

from __future__ import annotations

import pytest
import torch

from segue.batches.order import epoch_order
from segue.batches.split import split_store
from segue.checkpoint import load_run
from segue.training import FitOptions, cpu_step, fit, packed_step
from segue.training.trainer import Trainer
from small_recipes import small_recipe
from stores import tiny_store


def made(path, **changes):
    recipe = small_recipe("paper-causal-s-minus", encoder__dropout=0.0, **changes)
    store = tiny_store(path)
    with torch.random.fork_rng():
        return Trainer(store, split_store(store, recipe.data), recipe, torch.device("cpu"), bf16=False)


def drawn(trainer, index, epoch):
    trainer.begin(index, 1, epoch)
    window = trainer.data.training_window(index, trainer.recipe.data.max_len + 1)
    return trainer._negatives(window, index).ids


def test_a_session_keeps_its_negatives_within_an_epoch(tmp_path):
    trainer = made(tmp_path / "store", next_track__redraw="epoch", next_track__negatives=30)
    before = trainer.generator.get_state()
    whole = drawn(trainer, torch.arange(12), 1)
    assert torch.equal(drawn(trainer, torch.tensor([7, 2]), 1), whole[[7, 2]])
    assert torch.equal(trainer.generator.get_state(), before), "no number of the run's stream is used up"
    assert (drawn(trainer, torch.arange(12), 2) != whole).any(dim=1).all()
    window = trainer.data.training_window(torch.arange(12), 9)
    assert not (whole[:, :, None] == window.tracks[:, None]).any()


def test_redrawn_each_step_a_session_gets_others(tmp_path):
    trainer = made(tmp_path / "store", next_track__negatives=30)
    assert (drawn(trainer, torch.arange(12), 1) != drawn(trainer, torch.arange(12), 1)).any(dim=1).all()


@pytest.mark.parametrize("kind", ["shared", "mixed", "full"])
def test_only_masked_padding_is_trained_packed(tmp_path, kind):
    for padding, fast in (("masked", True), ("visible", False)):
        trainer = made(tmp_path / padding, next_track__kind=kind, encoder__padding=padding)
        assert packed_step.fits(trainer.encoder, trainer.recipe) == fast
        assert isinstance(trainer._fast, cpu_step.CpuStep) == fast
        trainer.step(trainer.begin(torch.arange(5), 1))
        assert trainer.finite()


def test_a_run_draws_each_epoch_by_its_own_number(tmp_path):
    """`fit` counts epochs as one does by hand: the same bytes after two epochs, other ones after epoch 0 twice."""
    recipe = small_recipe("paper-causal-s-minus", next_track__redraw="epoch", training__epochs=2)
    store = tiny_store(tmp_path / "store")
    split = split_store(store, recipe.data)
    fit(store, tmp_path / "run", recipe, FitOptions(device="cpu", precision="fp32"))
    found = load_run(tmp_path / "run").encoder.state_dict()
    for epochs, same in (((0, 1), True), ((0, 0), False)):
        with torch.random.fork_rng():
            trainer = Trainer(store, split, recipe, torch.device("cpu"), bf16=False)
            for turn, epoch in enumerate(epochs):
                order = torch.as_tensor(epoch_order(trainer.data.num_training, recipe.training.seed, turn))
                for index in trainer.begin(order, 3, epoch).split(recipe.training.batch_size):
                    trainer.step(index)
                trainer.settle()
        assert all(torch.equal(found[name], value) for name, value in trainer.weights().items()) == same
