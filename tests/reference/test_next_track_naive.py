"""The next-track softmax equals a naive loop over targets, forward and backward; wrong versions of it do not.

In float64 it is the plain function, in float32 the blocked one, whose blocks are made small here.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from segue.objectives import LeftOut, Mixture, Negatives, blocked, full_softmax_loss, sampled_softmax_loss
from segue.objectives.log_sum import log_sum_of_others, scores_against_all
from segue.objectives.softmax import LEAST_LEFT, softmax_losses

WIDTH = 16


@pytest.fixture(params=[(7, 5, 0), (7, 1 << 14, 1 << 20), (1 << 19, 1 << 14, 1 << 20), (64, 16, 0)], autouse=True)
def _blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in zip(("_CELLS", "_WIDE", "_SAVED_CELLS"), request.param, strict=True):
        monkeypatch.setattr(blocked, name, value)


def naive(
    states: Tensor, target: Tensor, target_rows: Tensor, negatives: Negatives, mixture: Mixture | None = None,
    mutant: str = "",
) -> Tensor:  # fmt: skip
    losses = []
    for n, track in enumerate(target.tolist()):
        if track == 0 and mutant != "padding counted":
            continue
        score = (states[n] * target_rows[n]).sum()
        whole = score.exp() * (mutant != "missing target")
        for m, other in enumerate(negatives.tracks.tolist()):
            if other == track and mutant != "copies compared":
                continue
            extra = 0.0 if negatives.correction is None else negatives.correction[m]
            extra = -extra if mutant == "correction's sign" else extra
            whole = whole + ((states[n] * negatives.rows[m]).sum() + extra).exp()
        share = score.exp()
        alone = -(share / whole).log()
        if mixture is None:
            losses.append(alone)
            continue
        share = share + (mixture.gate[n] + mixture.log_share[n]).exp()
        losses.append(-(share / (whole + mixture.gate[n].exp())).log() + mixture.own_weight * alone)
    return torch.stack(losses).mean() if losses else (states * 0).sum()


def batch_of(dtype: torch.dtype, corrected: bool = True, tokens: int = 37) -> tuple[list[Tensor], Tensor, Tensor]:
    generator = torch.Generator().manual_seed(tokens)
    leaves = [torch.randn(n, WIDTH, generator=generator, dtype=dtype) for n in (tokens, tokens, 50)]
    leaves += [torch.randn(tokens, generator=generator, dtype=dtype)]
    target = torch.arange(tokens) % 7  # 0: no target
    return [leaf.requires_grad_() for leaf in leaves], target, torch.arange(50) % 11 + 3  # copies of targets, repeated


def correction_of(dtype: torch.dtype) -> Tensor:
    return torch.linspace(-2, 2, 50, dtype=dtype)


MIXTURES = [None, 0.0, 0.5]


def mixture_of(gate: Tensor, own_weight: float | None) -> Mixture | None:
    """Some positions have no p, and some targets have no share of it."""
    if own_weight is None:
        return None
    share = torch.rand(len(gate), generator=torch.Generator().manual_seed(8)).to(gate.dtype)
    return Mixture(torch.where(share > 0.2, gate, -1e30), torch.where(share > 0.4, share.log(), -1e30), own_weight)


@pytest.mark.parametrize("settings", MIXTURES)
@pytest.mark.parametrize("corrected", [True, False])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_sampled_softmax_equals_the_loop_forward_and_backward(dtype, corrected, settings):
    leaves, target, tracks = batch_of(dtype)
    results = []
    for function in (sampled_softmax_loss, naive):
        negatives = Negatives(leaves[2], tracks, correction_of(dtype) if corrected else None)
        loss = function(leaves[0], target, leaves[1], negatives, mixture_of(leaves[3], settings))
        gradients = torch.autograd.grad(3 * loss, leaves, allow_unused=True)
        results.append([loss.detach(), *(g for g in gradients if g is not None)])
    tolerance = {"rtol": 1e-9, "atol": 1e-10} if dtype == torch.float64 else {"rtol": 1e-4, "atol": 1e-6}
    for fast, slow in zip(*results, strict=True):
        torch.testing.assert_close(fast, slow, **tolerance)


@pytest.mark.parametrize("few", [True, False])
def test_under_autocast_products_are_rounded_and_sums_are_not(few):
    leaves, target, tracks = batch_of(torch.float32)
    target = target * (torch.arange(len(target)) % 3 == 0) if few else target.clamp(min=1)
    negatives = Negatives(leaves[2], tracks, correction_of(torch.float32))
    exact = sampled_softmax_loss(leaves[0], target, leaves[1], negatives)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = sampled_softmax_loss(leaves[0], target, leaves[1], negatives)
    assert rounded.dtype == torch.float32
    assert rounded != exact
    pairs = zip(*(torch.autograd.grad(loss, leaves[:3]) for loss in (exact, rounded)), strict=True)
    for one, other in [(exact, rounded), *pairs]:
        assert float((one - other).detach().norm()) < 0.02 * float(one.detach().norm())


@pytest.mark.parametrize("mutant", ["missing target", "copies compared", "padding counted", "correction's sign"])
def test_the_comparison_rejects_the_mutant(mutant):
    leaves, target, tracks = batch_of(torch.float64)
    negatives = Negatives(leaves[2], tracks, correction_of(torch.float64))
    right = sampled_softmax_loss(leaves[0], target, leaves[1], negatives)
    wrong = naive(leaves[0], target, leaves[1], negatives, mutant=mutant)
    assert abs(float((wrong - right).detach())) > 1e-3


@pytest.mark.parametrize("settings", MIXTURES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_full_softmax_is_the_sampled_one_over_every_other_track(dtype, settings):
    leaves, _, _ = batch_of(dtype)
    target = torch.arange(37) % 9 + 3
    target[5] = 0
    table = torch.cat([leaves[1][:3], leaves[2]]).detach().requires_grad_()
    every = torch.arange(3, len(table))
    full = full_softmax_loss(leaves[0], target, table, mixture_of(leaves[3], settings))
    sampled = naive(leaves[0], target, table[target], Negatives(table[3:], every), mixture_of(leaves[3], settings))
    tolerance = {"rtol": 1e-9, "atol": 1e-10} if dtype == torch.float64 else {"rtol": 1e-4, "atol": 1e-6}
    torch.testing.assert_close(full, sampled, **tolerance)
    read = [leaves[0], table, *([] if settings is None else [leaves[3]])]
    gradients = [torch.autograd.grad(loss, read) for loss in (full, sampled)]
    for fast, slow in zip(*gradients, strict=True):
        torch.testing.assert_close(fast, slow, **tolerance)
    assert not gradients[0][1][:3].any(), "specials take no part"


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_log_sums_have_gradients_of_either_sign(dtype):
    """What avoids a target pulls it down and its rivals up."""
    leaves, target, tracks = batch_of(dtype)
    weight = torch.randn(37, generator=torch.Generator().manual_seed(1), dtype=dtype) * (target > 0)
    others = log_sum_of_others(leaves[0], leaves[2], target, tracks)
    scores = (leaves[0] @ leaves[2].T).masked_fill(tracks == target[:, None], -1e30).logsumexp(1)
    read = (leaves[0], leaves[2])
    for fast, slow in zip(
        torch.autograd.grad((others * weight).sum(), read), torch.autograd.grad((scores * weight).sum(), read),
        strict=True,
    ):  # fmt: skip
        torch.testing.assert_close(fast, slow, rtol=1e-4, atol=1e-5)
    own, _ = scores_against_all(leaves[0], leaves[1], target.clamp(min=3), 3)
    torch.testing.assert_close(own, (leaves[0] * leaves[1][target.clamp(min=3)]).sum(1))


@pytest.mark.parametrize("scale", [1e4, 1e-4])
def test_extreme_scores_stay_finite(scale):
    leaves, target, tracks = batch_of(torch.float32)
    states = (leaves[0].detach() * scale).requires_grad_()
    loss = sampled_softmax_loss(states, target, leaves[1], Negatives(leaves[2], tracks))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(states.grad).all()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("case", ["no targets", "only copies"])
def test_without_targets_or_rivals_the_loss_is_zero_and_gradients_are_finite(dtype, case):
    leaves, target, tracks = batch_of(dtype)
    target, tracks = (target * 0, tracks) if case == "no targets" else (torch.full_like(target, 9), tracks * 0 + 9)
    loss = sampled_softmax_loss(leaves[0], target, leaves[1], Negatives(leaves[2], tracks))
    loss.backward()
    assert loss.item() == 0.0
    assert not leaves[0].grad.any()
    assert not leaves[2].grad.any()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_rivals_left_out_are_not_there_and_a_target_has_its_score_in_the_own_loss_alone(dtype):
    """In the mixture a target that is left out has the mixture's mass alone."""
    scores = torch.randn(6, 9, generator=torch.Generator().manual_seed(2), dtype=dtype).requires_grad_()
    out = torch.rand(6, 9, generator=torch.Generator().manual_seed(3)) < 0.4
    gate = torch.linspace(-1, 1, 6, dtype=dtype).requires_grad_()
    mixture = Mixture(gate, torch.linspace(-3, -1, 6, dtype=dtype), own_weight=0.5, in_place=True)
    rivals = scores[:, 1:].masked_fill(~out[:, 1:], -1e30).logsumexp(1)
    left_out = LeftOut(torch.where(out[:, 1:].any(1), rivals, -1e30), out[:, 0])
    fast = softmax_losses(scores[:, 0], scores[:, 1:].logsumexp(1), mixture, left_out)
    mass = scores.masked_fill(out, -torch.inf).exp()
    share = (mass[:, 0] + (gate + mixture.log_share).exp()) / (mass.sum(1) + gate.exp())
    own = scores[:, 0].exp() / (scores[:, 0].exp() + mass[:, 1:].sum(1))
    slow = -share.log() - 0.5 * own.log()
    torch.testing.assert_close(fast, slow)
    for one, other in zip(*(torch.autograd.grad(each.sum(), (scores, gate)) for each in (fast, slow)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
    assert (out[:, 1:].any(1) & ~out[:, 1:].all(1)).sum() >= 4


def test_rivals_are_never_left_out_altogether():
    """Rounded sums may say that what is left out is more than there is."""
    others, gate = torch.tensor([3.0, 3.0]), torch.zeros(2)
    left_out = LeftOut(torch.tensor([3.1, 3.0]).requires_grad_(), torch.tensor([False, True]))
    losses = softmax_losses(torch.ones(2), others, Mixture(gate, gate - 1.0, in_place=True), left_out)
    left = LEAST_LEFT * math.exp(3.0)
    expected = [(math.e + left + 1.0) / (math.e + math.exp(-1.0)), (left + 1.0) / math.exp(-1.0)]
    assert losses.tolist() == pytest.approx([math.log(one) for one in expected], rel=1e-4)
    losses.sum().backward()
    assert torch.isfinite(left_out.log_sum.grad).all()
