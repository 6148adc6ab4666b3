"""Adam over touched rows equals torch's Adam over the dense gradient, zero where nothing was touched."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from segue.training.row_adam import RowAdam

ROWS, WIDTH, RATE = 30, 5, 0.003


def touched(step, generator, share):
    """Rows of one step: row 3 in each, row 1 in the first alone, row 2 never, the others by chance; never PAD, 0."""
    chance = torch.rand(ROWS, generator=generator) < share
    chance[0], chance[1], chance[2], chance[3] = False, step == 0, False, True
    return chance.nonzero().flatten()


def step(optimiser, ids, gradient):
    """Make one step on rows `ids`."""
    optimiser.look_up(ids)
    optimiser.take(ids, gradient)
    optimiser.update(torch.ones(()))


def test_repeated_rows_add_up_their_gradients_and_padding_stays():
    begin = torch.arange(12.0).view(4, 3)
    once, twice = nn.Parameter(begin.clone()), nn.Parameter(begin.clone())
    ours = RowAdam(once, RATE), RowAdam(twice, RATE)
    step(ours[0], torch.tensor([2, 3]), torch.tensor([[3.0] * 3, [5.0] * 3]))
    ids = torch.tensor([3, 0, 2, 3])
    assert torch.equal(ours[1].look_up(ids), begin[ids])
    assert ours[1].take(ids, torch.tensor([[4.0] * 3, [9.0] * 3, [3.0] * 3, [1.0] * 3])) == pytest.approx(3 * (9 + 25))
    ours[1].update(torch.ones(()))
    assert torch.equal(once, twice)


@pytest.mark.parametrize("share", [0.02, 0.3, 1.0])
@pytest.mark.parametrize("flush_every", [7, 10**9])
def test_rows_equal_those_of_dense_adam(share, flush_every):
    generator = torch.Generator().manual_seed(1)
    begin = torch.randn(ROWS, WIDTH, generator=generator)
    dense, table = nn.Parameter(begin.clone()), nn.Parameter(begin.clone())
    theirs, ours = torch.optim.Adam([dense], lr=RATE), RowAdam(table, RATE)
    for step in range(600):
        ids = touched(step, generator, share)
        looked_up = ours.look_up(ids)
        if step > 30:  # bias corrections hardly move any more
            torch.testing.assert_close(looked_up, dense.detach()[ids], atol=RATE / 50, rtol=0)
        grad = torch.randn(len(ids), WIDTH, generator=generator) * 10 ** torch.randint(-4, 1, (1,), generator=generator)
        dense.grad = torch.zeros_like(dense).index_copy(0, ids, grad)
        theirs.step()
        torch.testing.assert_close(ours.take(ids, grad), grad.square().sum())
        ours.update(torch.ones(()))
        if step % flush_every == 0:
            ours.flush()
    ours.flush()
    torch.testing.assert_close(table.detach(), dense.detach(), atol=RATE / 50, rtol=0)
    assert torch.equal(table[2], begin[2]), "a row never touched stays"


def test_a_row_left_alone_for_thousands_of_steps_stays_finite_and_still():
    table = nn.Parameter(torch.ones(3, 3))
    optimiser, every = RowAdam(table, RATE), torch.tensor([1, 2])
    step(optimiser, every, torch.ones(2, 3))
    for _ in range(2000):
        step(optimiser, every[:1], torch.full((1, 3), 1e-3))
    before = optimiser.look_up(every).clone()
    optimiser.flush()
    assert torch.equal(optimiser.look_up(every), before)
    assert torch.isfinite(before).all()


def test_state_taken_back_continues_to_the_same_bytes():
    generator = torch.Generator().manual_seed(2)
    steps = [(touched(i, generator, 0.2), i) for i in range(40)]

    def run(table, optimiser, part):
        for ids, i in part:
            step(optimiser, ids, torch.sin(ids[:, None] * (1.0 + i) + torch.arange(WIDTH)))

    whole = nn.Parameter(torch.ones(ROWS, WIDTH))
    at_once = RowAdam(whole, RATE)
    run(whole, at_once, steps)
    half = nn.Parameter(torch.ones(ROWS, WIDTH))
    first = RowAdam(half, RATE)
    run(half, first, steps[:17])
    second = RowAdam(half, RATE)
    second.load({name: value.clone() for name, value in first.state().items()})
    run(half, second, steps[17:])
    assert torch.equal(whole, half)
