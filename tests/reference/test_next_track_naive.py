"""The next-track softmax equals a naive loop over targets, forward and backward; wrong versions of it do not."""

from __future__ import annotations

import pytest
import torch

from segue.objectives import full_softmax_loss, sampled_softmax_loss


def naive(states, own, negatives, collisions, targets, correction=None, mutant=""):
    losses = []
    for b, i in targets.nonzero().tolist():
        rows = negatives[b] if negatives.dim() == 3 else negatives
        score = (states[b, i] * own[b, i]).sum()
        whole = score.exp() * (mutant != "missing target")
        for m in range(len(rows)):
            hidden = bool(collisions.expand(*states.shape[:2], len(rows))[b, i, m])
            if hidden and mutant != "dropped mask":
                continue
            extra = 0.0 if correction is None else correction[m] * (-1 if mutant == "correction's sign" else 1)
            whole = whole + ((states[b, i] * rows[m]).sum() + extra).exp()
        losses.append(-(score.exp() / whole).log())
    if not losses:
        return (states * 0).sum()
    total = torch.stack(losses).sum()
    return total / (targets.numel() if mutant == "padding counted" else len(losses))


def random_batch(seed, shared, width=5, rivals=6):
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    targets = torch.arange(7) < torch.tensor([7, 1, 0, 4])[:, None]
    negatives = draw(rivals, width) if shared else draw(4, rivals, width)
    collisions = torch.rand(4, 7, rivals, generator=generator) < 0.2
    collisions[0, 0] = True  # every negative is the target itself
    return draw(4, 7, width), draw(4, 7, width), negatives, collisions, targets


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("corrected", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_the_sampled_softmax_equals_the_loop_forward_and_backward(seed, corrected, shared):
    states, own, negatives, collisions, targets = random_batch(seed, shared)
    correction = torch.linspace(-2, 2, 6, dtype=torch.float64) if corrected else None
    found = []
    for function in (sampled_softmax_loss, naive):
        leaves = [x.clone().requires_grad_() for x in (states, own, negatives)]
        loss = function(*leaves, collisions, targets, correction)
        loss.backward()
        found.append([loss.detach(), *(leaf.grad for leaf in leaves)])
    for fast, slow in zip(*found, strict=True):
        torch.testing.assert_close(fast, slow, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("mutant", ["missing target", "dropped mask", "padding counted", "correction's sign"])
def test_the_comparison_rejects_the_mutant(mutant):
    batch, correction = random_batch(0, True), torch.linspace(-2, 2, 6, dtype=torch.float64)
    assert abs(naive(*batch, correction, mutant) - sampled_softmax_loss(*batch, correction)) > 1e-3


def test_the_full_softmax_is_the_sampled_one_over_every_other_track():
    states, _, _, _, targets = random_batch(1, True)
    table = torch.randn(3 + 9, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    target = torch.randint(3, 12, targets.shape, generator=torch.Generator().manual_seed(1))
    full = full_softmax_loss(states, table, target, targets)
    everything = torch.arange(3, 12)
    sampled = sampled_softmax_loss(states, table[target], table[3:], target[:, :, None] == everything, targets)
    torch.testing.assert_close(full, sampled)
    full.backward()
    assert table.grad is not None
    assert not table.grad[:3].any(), "specials take no part"


@pytest.mark.parametrize("scale", [1e4, 1e-4])
def test_extreme_scores_stay_finite(scale):
    states, own, negatives, collisions, targets = (
        x.float() if x.is_floating_point() else x for x in random_batch(2, True)
    )
    leaf = (states * scale).requires_grad_()
    loss = sampled_softmax_loss(leaf, own, negatives, collisions, targets)
    loss.backward()
    assert torch.isfinite(loss)
    assert leaf.grad is not None
    assert torch.isfinite(leaf.grad).all()


def test_without_targets_exactly_zero_and_zero_gradients():
    states, own, negatives, collisions, targets = random_batch(3, False)
    leaf = states.requires_grad_()
    loss = sampled_softmax_loss(leaf, own, negatives, collisions, targets & False)
    loss.backward()
    assert loss.item() == 0.0
    assert leaf.grad is not None
    assert not leaf.grad.any()
