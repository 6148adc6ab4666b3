"""The next-track softmax, against sampled negatives or all tracks, and other losses of the same scores."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from segue.objectives.log_sum import NOTHING, kernel_scores, log_sum_of_others, scores_against_all
from segue.objectives.shapes import Bool, Float, Int

LEAST_LEFT: Final = 0.02
"""Smallest share of the rivals that `LeftOut` leaves: a difference of close sums of rounded scores has no digits."""


@dataclass(frozen=True)
class Negatives:
    """M tracks that every target of a batch is compared with."""

    rows: Float[Tensor, "M D"]
    """Their table rows."""
    tracks: Int[Tensor, " M"]
    """The track of each row. A negative that is a position's own target is left out there."""
    correction: Float[Tensor, " M"] | None = None
    """Added to their scores (logQ: -log of the expected number of draws). The target's score is not corrected."""


@dataclass(frozen=True)
class Mixture:
    """A fixed distribution p over tracks that is mixed into the softmax: exp(gate) p(track) is added to exp(score)."""

    gate: Float[Tensor, " N"]
    """Log of the mass of p; at most -1e30 where there is no p."""
    log_share: Float[Tensor, " N"]
    """log p(target); at most -1e30 where p(target) is 0."""
    own_weight: float = 0.0
    """Weight of the loss without p, which is added to the loss with p. What is left out is no rival there either."""
    in_place: bool = False
    """Whether p stands in place of exp(score) for the tracks of the session: the loss with p needs a `LeftOut`."""

    def beside(self, other: Mixture) -> Mixture:
        """Return both together: the mass of each track is the sum of its masses.

        >>> even = Mixture(torch.tensor([0.0]), torch.tensor([0.5]).log())
        >>> both = even.beside(Mixture(torch.tensor([0.0]), torch.tensor([-1e30])))
        >>> both.gate.exp(), both.log_share.exp()  # a mass of 2, of which the target has a quarter
        (tensor([2.]), tensor([0.2500]))
        """
        gate = torch.logaddexp(self.gate, other.gate)
        share = torch.logaddexp(self.gate + self.log_share, other.gate + other.log_share) - gate
        own_weight, in_place = self.own_weight + other.own_weight, self.in_place or other.in_place
        return Mixture(gate, share, own_weight, in_place)


@dataclass(frozen=True)
class LeftOut:
    """Tracks without exp(score) in a mixed softmax, because they have the mass of the mixture in place of it."""

    log_sum: Float[Tensor, " N"]
    """Log of the sum of exp(score) of those that the target is compared with; at most -1e30 where there is none."""
    target: Bool[Tensor, " N"]
    """Whether the target is one."""


def sampled_softmax_loss(
    states: Float[Tensor, "N D"],
    target: Int[Tensor, " N"],
    target_rows: Float[Tensor, "N D"],
    negatives: Negatives,
    mixture: Mixture | None = None,
    left_out: LeftOut | None = None,
) -> Float[Tensor, ""]:
    """Return the mean over the targets of -log(share of the target in the softmax of target and negatives), scalar.

    Args:
        states: y_hat at each of N positions.
        target: the track to predict at each; 0 = none.
        target_rows: table row of each target.
        negatives: tracks that all targets are compared with. They may repeat; copies of a target are left out.
        mixture: a distribution mixed into the softmax.
        left_out: tracks that only have the mass of the mixture.

    Denominator: the number of targets. Without targets the loss is exactly 0, with zero gradients. Sums are float32
    at least; under autocast, products are rounded to its type.

    Source: Kang & McAuley 2018 with a sampled softmax in place of their single negative; Seshadri & Knees 2023.

    >>> states = torch.eye(2)
    >>> negatives = Negatives(torch.zeros(3, 2), torch.tensor([7, 8, 9]))
    >>> loss = sampled_softmax_loss(states, torch.tensor([3, 4]), torch.zeros(2, 2), negatives)
    >>> round(float(loss), 4)  # all scores are 0: log 4
    1.3863
    """
    compared = (negatives.rows, target, negatives.tracks, negatives.correction)
    both = kernel_scores(states, target_rows, *compared)
    target_scores, others = both or (dot(states, target_rows), log_sum_of_others(states, *compared))
    return mean_over(softmax_losses(target_scores, others, mixture, left_out), target > 0)


def full_softmax_loss(
    states: Float[Tensor, "N D"],
    target: Int[Tensor, " N"],
    table_rows: Float[Tensor, "R D"],
    mixture: Mixture | None = None,
    specials: int = 3,
    left_out: LeftOut | None = None,
) -> Float[Tensor, ""]:
    """Return the mean over the targets of -log(share of the target in the softmax of all tracks), scalar.

    The first `specials` rows of the table are not tracks and are left out. All else is as in `sampled_softmax_loss`.
    """
    target_scores, others = scores_against_all(states, table_rows, target, specials)
    return mean_over(softmax_losses(target_scores, others, mixture, left_out), target > 0)


def dot(states: Float[Tensor, "N D"], rows: Float[Tensor, "N D"]) -> Float[Tensor, " N"]:
    """Return the dot product of each state and row, float32 at least."""
    wide = states if states.dtype == torch.float64 else states.float()
    return (wide * rows).sum(dim=1)


def softmax_losses(
    target_scores: Tensor, others: Tensor, mixture: Mixture | None = None, left_out: LeftOut | None = None
) -> Tensor:
    """Return -log(share of the target), elementwise.

    `others` is the log of the sum of exp(score) over the tracks that the target is compared with. The share is
    exp(target) / (exp(target) + exp(others)); with a mixture it is

        (exp(target) + exp(gate) p(target)) / (exp(target) + exp(others) + exp(gate)),

    where `left_out` takes exp(score) of its tracks away, above and below. The loss without p, of a mixture with an
    `own_weight`, keeps exp(target).
    """
    scores, rivals = target_scores, others
    if mixture is None:
        return functional.softplus(rivals - scores)  # log(exp(target) + exp(others)) - target
    if left_out is not None:
        share = (left_out.log_sum - rivals).clamp(max=math.log(1.0 - LEAST_LEFT)).exp()
        rivals = rivals + torch.log1p(-share)
        scores = scores.masked_fill(left_out.target, NOTHING)
    with_all = torch.logaddexp(scores, mixture.gate)
    with_share = torch.logaddexp(scores, mixture.gate + mixture.log_share)
    mixed = functional.softplus(rivals - with_all) + (with_all - with_share)
    if mixture.own_weight == 0.0:
        return mixed
    return mixed + mixture.own_weight * functional.softplus(rivals - target_scores)


def avoided_losses(target_scores: Tensor, others: Tensor) -> Tensor:
    """Return -log(1 - share of the target), elementwise, for targets not to be recommended (Wang et al., RecSys 2023).

    >>> round(float(avoided_losses(torch.tensor(0.0), torch.tensor(0.0))), 4)  # a share of one half
    0.6931
    """
    return functional.softplus(target_scores - others)


def gbce_losses(target_scores: Float[Tensor, " T"], scores: Float[Tensor, "T M"], beta: float) -> Float[Tensor, " T"]:
    """Return -(beta log sigmoid(target) + sum over negatives of log(1 - sigmoid(score))).

    Generalised binary cross-entropy (Petrov & Macdonald 2023); for beta see `gbce_beta`. Theirs is divided by M + 1. We
    do not divide: Adam ignores a constant factor if this is the only loss, but beside the loss of a head the gradient
    of the target would shrink as M grows.

    >>> target_scores = torch.zeros(1, requires_grad=True)
    >>> gbce_losses(target_scores, torch.zeros(1, 1000), beta=1.0).sum().backward()
    >>> target_scores.grad
    tensor([-0.5000])
    """
    return functional.softplus(scores).sum(dim=1) - beta * functional.logsigmoid(target_scores)


def gbce_beta(num_negatives: int, num_tracks: int, t: float) -> float:
    """Return beta = alpha (t (1 - 1 / alpha) + 1 / alpha), where alpha = M / (V - 1) is the share of tracks sampled.

    t = 0 gives 1 (plain binary cross-entropy), t = 1 gives alpha. Source: Petrov & Macdonald 2023.

    >>> gbce_beta(10, 101, 0.0), gbce_beta(10, 101, 1.0)
    (1.0, 0.1)
    """
    alpha = min(num_negatives / max(num_tracks - 1, 1), 1.0)
    return round(alpha * (t * (1 - 1 / alpha) + 1 / alpha), 12)


def mean_over(losses: Tensor, weights: Bool[Tensor, " N"] | Float[Tensor, " N"]) -> Float[Tensor, ""]:
    """Return sum(weights * losses) / sum(weights), scalar; where all weights are 0, exactly 0 with zero gradients."""
    weights = weights.to(losses.dtype)
    total = weights.sum()
    counted = losses.masked_fill(weights == 0, 0.0) * weights
    return counted.sum() / torch.where(total > 0, total, torch.ones_like(total))
