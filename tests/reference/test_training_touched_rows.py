"""A step moves the rows that it touches and no others; dropout keeps its share."""

from __future__ import annotations

import pytest
import torch

from segue.batch import Batch
from segue.batches.split import split_store
from segue.model.encoders.attention import AttentionConfig, BlockedAttention, PackedAttention
from segue.model.encoders.dropout import dropout
from segue.training.trainer import Trainer
from support.small_recipes import small_recipe
from support.stores import tiny_store


def test_a_step_moves_touched_rows_alone(tmp_path):
    recipe = small_recipe("paper-causal-s-plus-track", encoder__dropout=0.0, next_track__kind="shared")
    store = tiny_store(tmp_path / "store", tracks=200)
    with torch.random.fork_rng():
        trainer = Trainer(store, split_store(store, recipe.data), recipe, torch.device("cpu"), bf16=False)
        before = trainer.encoder.table.weight.detach().clone()
        trainer.step(torch.tensor([0, 3]))
        moved = (trainer.encoder.table.weight.detach() != before).any(dim=1)
    data = trainer.data
    windows = [data.tracks[int(data.train_end[i] - min(9, data.train_end[i] - data.train_begin[i])) : int(
        data.train_end[i])] for i in (0, 3)]  # fmt: skip
    tracks = torch.cat(windows).long()
    assert moved[tracks].all()
    assert moved.sum() <= len(tracks) + trainer.recipe.next_track.negatives
    assert not moved[:3].any()


@pytest.mark.parametrize("causal", [True, False])
def test_blocked_attention_drops_as_the_plain_form_does(causal):
    """Mean and variance of what positions read, and of its gradient, over many draws."""
    lengths = torch.tensor([4, 1, 6])
    offsets = torch.nn.functional.pad(lengths.cumsum(0), (1, 0))
    nothing = torch.zeros(int(offsets[-1]), dtype=torch.int64)
    batch = Batch(nothing, nothing, nothing, offsets, 6)
    config = AttentionConfig(2, causal, 0.4)
    generator = torch.Generator().manual_seed(0)
    qkv = torch.randn(len(nothing), 24, generator=generator).requires_grad_()
    above = torch.randn(len(nothing), 8, generator=generator)
    moments = []
    with torch.random.fork_rng():
        torch.manual_seed(1)
        for form in (BlockedAttention(batch, config), PackedAttention(batch, config)):
            reads = [form(qkv, 0) for _ in range(4000)]
            gradients = [torch.autograd.grad(read, qkv, above)[0] for read in reads]
            both = [torch.cat([read.detach(), grad], 1) for read, grad in zip(reads, gradients, strict=True)]
            moments.append((torch.stack(both).mean(0), torch.stack(both).std(0)))
    (mean, spread), (other_mean, other_spread) = moments
    assert ((mean - other_mean).abs() <= 5 * (spread + other_spread) / 4000**0.5 + 1e-6).all()
    torch.testing.assert_close(spread, other_spread, rtol=0.15, atol=1e-4)


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
