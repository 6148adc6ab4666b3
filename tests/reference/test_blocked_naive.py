"""The blocked objectives equal the plain ones, forward and backward, whatever the size of their blocks."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mixtures import WEIGHTS, Weights, masses, mixed_losses
from segue.objectives import blocked, full_softmax_loss, sampled_softmax_loss, skip_contrastive_loss
from segue.objectives.next_track import compared, compared_with_all, mean_over
from segue.objectives.packed import Gradients, Known, Negatives, Sessions, Targets

WIDTH = 16


def _normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(params=[(7, 5), (1 << 19, 1 << 14), (64, 1 << 14)], autouse=True)
def _blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    cells, wide = request.param
    monkeypatch.setattr(blocked, "_CELLS", cells)
    monkeypatch.setattr(blocked, "_WIDE", wide)


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("bf16", [False, True])
def test_blocked_softmax_is_the_sampled_softmax(bf16: bool, weights: Weights) -> None:
    tokens, num = 37, 50
    states, own, negatives = _normal(tokens, WIDTH), _normal(tokens, WIDTH, seed=1), _normal(num, WIDTH, seed=2)
    target = (torch.arange(tokens) % 7).int()  # 0: no target
    ids = (torch.arange(num) % 11 + 3).int()  # copies of targets 3..6 among them, repeated
    correction = _normal(num, seed=3)
    gate, of_target, of_all = masses(tokens)
    leaves = [part.clone().requires_grad_() for part in (states, own, negatives, *([gate] if weights else []))]
    known = ((leaves[3] + of_target)[None], (leaves[3] + of_all)[None]) if weights else None
    collisions = (ids == target[:, None])[None]
    scores = compared(leaves[0][None], leaves[1][None], leaves[2], collisions, correction)
    losses = mixed_losses(scores[0], torch.logsumexp(scores[1], 2), known, weights)
    naive = mean_over(losses, (target > 0)[None].float())
    if not weights:
        again = sampled_softmax_loss(
            leaves[0][None], leaves[1][None], leaves[2], collisions, (target > 0)[None], correction
        )
        assert torch.equal(naive, again)
    grads = torch.autograd.grad(3 * naive, leaves)
    into, place = torch.ones(tokens + 3, WIDTH), torch.randperm(tokens + 3, generator=torch.Generator())[:tokens]
    targets = Targets(target, torch.zeros_like(into).index_copy(0, place, own), place)
    told = Known(gate + of_target, gate + of_all, torch.full_like(gate, 7.0), *weights) if weights else None
    loss, of_states, of_rows = blocked.BlockedSoftmax(bf16=bf16)(
        states, targets, Negatives(negatives, ids, correction), into, 3.0, told
    )
    tolerance = {"rtol": 0.02, "atol": 0.02} if bf16 else {"rtol": 1e-5, "atol": 1e-6}
    torch.testing.assert_close(loss, naive.detach(), **tolerance)
    of_gate = [] if told is None else [told.gradient]
    for mine, other in zip((of_states, into[place] - 1, of_rows, *of_gate), grads, strict=True):
        torch.testing.assert_close(mine, other, **tolerance)


@pytest.mark.parametrize("weights", WEIGHTS)
def test_blocked_softmax_over_all_tracks_is_the_full_softmax(weights: Weights) -> None:
    tokens, num = 37, 50
    states, table = _normal(tokens, WIDTH), _normal(num + 3, WIDTH, seed=2)
    target = (torch.arange(tokens) % 9 + 3).int()
    target[5] = 0
    gate, of_target, of_all = masses(tokens)
    leaves = [part.clone().requires_grad_() for part in (states, table, *([gate] if weights else []))]
    known = ((leaves[2] + of_target)[None], (leaves[2] + of_all)[None]) if weights else None
    real = target > 0
    own, others = compared_with_all(leaves[0][real], leaves[1], target[real].long())
    chosen = None if known is None else (known[0][0, real], known[1][0, real])
    naive = mixed_losses(own, torch.logsumexp(others, 1), chosen, weights).mean()
    if not weights:
        torch.testing.assert_close(
            naive, full_softmax_loss(leaves[0][None], leaves[1], target.long()[None], real[None])
        )
    grads = torch.autograd.grad(naive, leaves)
    untouched, gradient = torch.zeros_like(table), torch.full((num, WIDTH), 7.0)  # what it held is written over
    told = Known(gate + of_target, gate + of_all, torch.full_like(gate, 7.0), *weights) if weights else None
    loss, of_states, of_rows = blocked.BlockedSoftmax(bf16=False)(
        states, Targets(target, table, target.long()), Negatives(table[3:], 3, None, gradient), untouched, 1.0, told
    )
    if told is not None:
        torch.testing.assert_close(told.gradient, grads[2])
    torch.testing.assert_close(loss, naive.detach())
    torch.testing.assert_close(of_states, grads[0])
    torch.testing.assert_close(of_rows, grads[1][3:])
    assert of_rows is gradient
    assert not untouched.any()


def test_no_target_costs_nothing() -> None:
    nothing, into = torch.zeros(5, dtype=torch.int32), torch.zeros(5, WIDTH)
    targets = Targets(nothing, _normal(5, WIDTH), nothing.long())
    ids = torch.arange(3, 9, dtype=torch.int32)
    for part in (
        *blocked.BlockedSoftmax(bf16=False)(_normal(5, WIDTH), targets, Negatives(_normal(6, WIDTH), ids), into),
        into,
    ):
        assert (part == 0).all()


@pytest.mark.parametrize("context", ["track", "session"])
def test_skip_term_is_the_padded_term(context: str) -> None:
    tracks = torch.tensor([[3, 4, 5, 4, 6, 0], [3, 3, 7, 0, 0, 0], [9, 8, 7, 6, 5, 4], [3, 4, 0, 0, 0, 0]])
    code = torch.tensor([[0, 3, 1, 2, 0, 5], [0, 3, 1, 5, 5, 5], [0, 0, 4, 3, 2, 1], [1, 0, 5, 5, 5, 5]])
    valid = tracks > 0
    spots = torch.randperm(40, generator=torch.Generator().manual_seed(4))[: tracks.numel()].view(tracks.shape)
    place = spots.masked_fill(~valid, -1).int()
    table, states, values = _normal(10, WIDTH), _normal(40, WIDTH, seed=1), torch.zeros(40, WIDTH)
    values[place[valid].long()] = table[tracks[valid]]
    leaves = [values.clone().requires_grad_(), states.clone().requires_grad_()]
    padded = [leaf[place.clamp(min=0).long()] for leaf in leaves]
    of = padded[0] if context == "track" else padded[1]
    naive = skip_contrastive_loss(of, padded[0], tracks, (code >= 2) & (code <= 3), code < 2, 0.2)
    grads = torch.autograd.grad(naive, leaves, allow_unused=True)
    into = Gradients(torch.ones_like(values), torch.ones_like(states))
    loss = blocked.skip_term(
        values, None if context == "track" else states, Sessions(place, tracks.int(), code.int(), 2), 0.2, into, 2.0
    )
    torch.testing.assert_close(loss, naive.detach())
    torch.testing.assert_close(into.rows - 1, 2 * grads[0], rtol=1e-4, atol=1e-6)
    of_states = torch.zeros_like(states) if context == "track" else 2 * grads[1]
    torch.testing.assert_close(into.states - 1, of_states, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("code", [0, 3, 4])
def test_without_anchors_the_term_is_nothing(code: int) -> None:
    """All listened, all skipped, nothing known: no anchor, exactly 0, and no gradient."""
    place = torch.arange(8, dtype=torch.int32).view(2, 4)
    values, states = torch.zeros(8, WIDTH), _normal(8, WIDTH)  # zero rows have no direction
    into = Gradients(torch.zeros_like(values), torch.zeros_like(states))
    sessions = Sessions(place, place + 3, torch.full_like(place, code), 2)
    assert float(blocked.skip_term(values, states, sessions, 0.1, into)) == 0.0
    assert not into.rows.any()
    assert not into.states.any()


def test_the_term_holds_at_a_small_temperature() -> None:
    """Margins of hundreds do not overflow."""
    place = torch.arange(3, dtype=torch.int32)[None]
    values = torch.eye(3, WIDTH) + torch.tensor([[0.0], [-1.0], [1.0]]) * torch.eye(1, WIDTH)
    into = Gradients(torch.zeros_like(values), torch.zeros_like(values))
    code = torch.tensor([[0, 0, 3]], dtype=torch.int32)
    loss = blocked.skip_term(values, None, Sessions(place, place + 3, code, 2), 0.005, into)
    leaf = values[None].clone().requires_grad_()
    naive = skip_contrastive_loss(leaf, leaf, place + 3, code == 3, code == 0, 0.005)
    naive.backward()
    torch.testing.assert_close(loss, naive.detach())
    torch.testing.assert_close(into.rows, leaf.grad[0], rtol=1e-3, atol=1e-4)
