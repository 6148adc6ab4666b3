"""Clipping equals torch's."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from segue.training.optimisers import clip_gradients


def gradients(scale: float) -> list[nn.Parameter]:
    """Parameters with gradients: a table looked up with repeats, and a dense layer."""
    generator = torch.Generator().manual_seed(0)
    table = nn.Embedding(9, 4, padding_idx=0)
    layer = nn.Linear(4, 3)
    for parameter in (*table.parameters(), *layer.parameters()):
        parameter.data.normal_(generator=generator)
    rows = torch.tensor([[1, 2, 2, 0], [5, 1, 1, 8]])
    (scale * (layer(table(rows)) + table(rows).sum(-1, keepdim=True)).square().sum()).backward()
    return [table.weight, *layer.parameters()]


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e4])
def test_clipping_equals_torchs(scale):
    ours, theirs = gradients(scale), gradients(scale)
    norm = clip_gradients([parameter.grad for parameter in ours], 5.0)
    expected = torch.nn.utils.clip_grad_norm_(theirs, 5.0)
    torch.testing.assert_close(norm, expected)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.grad, other.grad)


def test_clipping_leaves_a_small_gradient_alone():
    clipped, before = gradients(1e-6), gradients(1e-6)
    clip_gradients([parameter.grad for parameter in clipped], 5.0)
    assert all(torch.equal(a.grad, b.grad) for a, b in zip(clipped, before, strict=True))
