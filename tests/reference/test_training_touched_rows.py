"""A step over the rows it touches equals a step over the whole table, and leaves the other rows alone."""

from __future__ import annotations

import pytest
import torch

from segue.batches.split import split_store
from segue.encoders.dropout import dropout
from segue.training.loss import loss_parts, make_example, total
from segue.training.next_track import draw_negatives, with_targets
from segue.training.trainer import Trainer
from small_recipes import small_recipe
from stores import tiny_store

CASES = [
    (name, kind)
    for name in ("paper-causal-s-plus-track", "paper-cloze-s-plus-session")
    for kind in ("per_session", "shared", "mixed")
]


def make_trainer(tmp_path, name, kind):
    recipe = small_recipe(name, encoder__dropout=0.0, next_track__kind=kind)
    store = tiny_store(tmp_path / "store", tracks=200)
    return Trainer(store, split_store(store, recipe.data), recipe, torch.device("cpu"), bf16=False)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_loss_and_gradients_over_touched_rows_equal_those_over_the_table(tmp_path, name, kind):
    with torch.random.fork_rng():
        trainer = make_trainer(tmp_path, name, kind)
    encoder, recipe, generator = trainer.encoder, trainer.recipe, torch.Generator().manual_seed(3)
    window = trainer.data.training_window(torch.arange(8), recipe.data.max_len + (not encoder.masked))
    negatives = draw_negatives(recipe, window, trainer.candidates, generator)
    example = make_example(encoder, recipe, window, generator)
    negatives = with_targets(recipe, negatives, example, window, generator)
    plain = total(loss_parts(encoder, recipe, window, example, negatives, False))
    plain.backward()
    expected = {n: p.grad.to_dense() if p.grad.is_sparse else p.grad for n, p in encoder.named_parameters()}
    encoder.zero_grad(set_to_none=True)
    with trainer.optimisers.touching(torch.cat([window.tracks.flatten(), negatives.ids.flatten()])) as touched:
        loss = total(loss_parts(encoder, recipe, window, example, negatives, False))
    loss.backward()
    torch.testing.assert_close(loss, plain)
    found = torch.zeros_like(encoder.table.weight).index_copy(0, touched.ids, touched.values.grad)
    torch.testing.assert_close(found, expected.pop("table.weight"))
    assert not found[:2].any(), "PAD and UNKNOWN take no part"
    for key, grad in expected.items():
        torch.testing.assert_close(encoder.get_parameter(key).grad, grad)


def test_a_step_moves_touched_rows_alone(tmp_path):
    with torch.random.fork_rng():
        trainer = make_trainer(tmp_path, "paper-causal-s-plus-track", "shared")
        before = trainer.encoder.table.weight.detach().clone()
        trainer.step(torch.tensor([0, 3]))
        first = trainer.encoder.table.weight.detach().clone()
        moved = (first != before).any(dim=1)
        window = trainer.data.training_window(torch.tensor([0, 3]), trainer.recipe.data.max_len + 1)
    assert moved[window.tracks[window.valid]].all()
    assert moved.sum() <= window.valid.sum() + trainer.recipe.next_track.negatives
    assert not moved[:3].any()


@pytest.mark.parametrize("shape", [(3, 5, 7), (1,), (1001, 999)])
def test_dropout_keeps_its_share_and_its_mean(shape):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        x = torch.ones(shape, requires_grad=True)
        y = dropout(x, 0.2, True)
    y.sum().backward()
    assert set(y.detach().unique().tolist()) <= {0.0, 1.25}
    assert torch.equal(x.grad, y), "the gradient takes the same mask"
    if y.numel() > 10**6:
        assert abs((y == 0).float().mean() - 0.2) < 0.002
        lag = (y[:, 4:] == 0).float() - 0.2, (y[:, :-4] == 0).float() - 0.2
        assert abs((lag[0] * lag[1]).mean()) < 0.001, "values that share a draw are independent of the next draw"
        near = (y[:, 1:] == 0).float() - 0.2, (y[:, :-1] == 0).float() - 0.2
        assert abs((near[0] * near[1]).mean()) < 0.001, "and of one another"


def test_dropout_does_nothing_outside_training():
    x = torch.randn(4, 5)
    assert dropout(x, 0.5, False) is x
    assert dropout(x, 0.0, True) is x
