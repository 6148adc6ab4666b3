"""The next-track softmax: sampled negatives, or the whole vocabulary; and what else may be asked of targets."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from segue.objectives.shapes import Bool, Float, Int


def sampled_softmax_loss(
    states: Float[Tensor, "B L D"],
    target_rows: Float[Tensor, "B L D"],
    negative_rows: Float[Tensor, "*batch M D"],
    collisions: Bool[Tensor, "#B #L #M"],
    targets: Bool[Tensor, "B L"],
    correction: Float[Tensor, " M"] | None = None,
) -> Float[Tensor, ""]:
    """Return the mean of -log softmax(target against target and negatives) over the real targets, scalar.

    Args:
        states: y_hat at each position.
        target_rows: table row of each position's target; anything where `targets` is False.
        negative_rows: [M, D] shared by the batch, or [B, M, D] one draw a session.
        collisions: True where a negative is a copy of the position's target (it is masked); broadcastable.
        targets: positions that have a target.
        correction: added to each *negative* score (logQ: -log of its expected count); the target's own score is
            left alone.

    Denominator: the number of targets; none gives exactly 0 with zero gradients. Sums are float32 at least.
    Source: Kang & McAuley 2018 with a sampled softmax in place of their single negative; Seshadri & Knees 2023.
    """
    own, scores = compared(states, target_rows, negative_rows, collisions, correction)
    return mean_over(softmax_losses(own, torch.logsumexp(scores, dim=2)), targets.to(own.dtype))


def compared(
    states: Float[Tensor, "B L D"],
    target_rows: Float[Tensor, "B L D"],
    negative_rows: Float[Tensor, "*batch M D"],
    collisions: Bool[Tensor, "#B #L #M"],
    correction: Float[Tensor, " M"] | None = None,
) -> tuple[Float[Tensor, "B L"], Float[Tensor, "B L M"]]:
    """Return the scores of targets, and of what each is compared with: see `sampled_softmax_loss`.

    Scores that are left out are finite and as good as none: a logsumexp over nothing but -inf has no gradient.
    """
    wide = states if states.dtype == torch.float64 else states.float()
    own = (wide * target_rows).sum(dim=2)
    scores = wide @ negative_rows.transpose(-1, -2).to(wide.dtype)
    if correction is not None:
        scores = scores + correction
    return own, scores.masked_fill(collisions, torch.finfo(scores.dtype).min / 2)


def full_softmax_loss(
    states: Float[Tensor, "B L D"],
    table_rows: Float[Tensor, "R D"],
    target: Int[Tensor, "B L"],
    targets: Bool[Tensor, "B L"],
    specials: int = 3,
) -> Float[Tensor, ""]:
    """Return the mean of -log softmax(target over all tracks) over the real targets, scalar.

    The first `specials` rows of the table are no tracks and take no part. Denominator: the number of targets; none
    gives exactly 0 with zero gradients.
    """
    wide = states if states.dtype == torch.float64 else states.float()
    picked = wide[targets]  # [T, D]
    scores = picked @ table_rows[specials:].to(wide.dtype).T
    place = target[targets] - specials
    losses = torch.logsumexp(scores, dim=1) - scores.gather(1, place[:, None])[:, 0]
    return losses.sum() / targets.sum().clamp(min=1)


def compared_with_all(
    states: Float[Tensor, "T D"], table_rows: Float[Tensor, "R D"], target: Int[Tensor, " T"], specials: int = 3
) -> tuple[Float[Tensor, " T"], Float[Tensor, "T V"]]:
    """Return the scores of targets, and of all tracks with the target's own left out, as `compared` does."""
    scores = states @ table_rows[specials:].to(states.dtype).T
    place = (target - specials)[:, None]
    return scores.gather(1, place)[:, 0], scores.scatter(1, place, torch.finfo(scores.dtype).min / 2)


def softmax_losses(
    own: Tensor, others: Tensor, known: tuple[Tensor, Tensor] | None = None, *, flow: bool = True, alone: float = 0.0
) -> Tensor:
    """Return -log of the target's share, elementwise.

    own: its score; others: log of the sum of exp(score) of what it is compared with. `known` adds a distribution p
    beside, as exp(h) p: (h + log p(target), h + log of all of p; at most -1e30 for none), so that the share is

        (exp own + exp known[0]) / (exp own + exp others + exp known[1]).

    `flow` False: this has no gradient in the scores; `alone`: weight of the loss without p, which is added.
    """
    apart = functional.softplus(others - own)  # log(own + others) - log own
    if known is None:
        return apart
    target, whole = known
    mine, theirs = (own, others) if flow else (own.detach(), others.detach())
    rest = torch.logaddexp(mine, whole)
    mixed = functional.softplus(theirs - rest) + (rest - torch.logaddexp(mine, target))
    return mixed if alone == 0.0 else mixed + alone * apart


def avoided_losses(own: Tensor, others: Tensor) -> Tensor:
    """Return -log(1 - share of the target), elementwise: what is not to be recommended (Wang et al., RecSys 2023).

    >>> round(float(avoided_losses(torch.tensor(0.0), torch.tensor(0.0))), 4)  # a share of one half
    0.6931
    """
    return functional.softplus(own - others)


def gbce_losses(own: Float[Tensor, " T"], scores: Float[Tensor, "T M"], beta: float) -> Float[Tensor, " T"]:
    """Return -(beta log sigmoid(own) + sum over negatives of log(1 - sigmoid(score))).

    Generalised binary cross-entropy (Petrov & Macdonald 2023): see `gbce_beta`. Scores that are left out add nothing.
    Theirs is divided by M + 1, which moves nothing under Adam as long as it is alone; beside a loss of another head
    the target's pull must not shrink with the number of negatives, or the head has the encoder to itself.

    >>> own = torch.zeros(1, requires_grad=True)
    >>> gbce_losses(own, torch.zeros(1, 1000), beta=1.0).sum().backward()
    >>> own.grad
    tensor([-0.5000])
    """
    apart = functional.softplus(scores).sum(dim=1)
    return apart - beta * functional.logsigmoid(own)


def gbce_beta(num_negatives: int, num_tracks: int, t: float) -> float:
    """Return the power of the target's probability, alpha (t (1 - 1 / alpha) + 1 / alpha), alpha = M / (V - 1).

    t = 0 gives 1 (plain binary cross-entropy), t = 1 gives alpha. Source: Petrov & Macdonald 2023.

    >>> gbce_beta(10, 101, 0.0), gbce_beta(10, 101, 1.0)
    (1.0, 0.1)
    """
    alpha = min(num_negatives / max(num_tracks - 1, 1), 1.0)
    return round(alpha * (t * (1 - 1 / alpha) + 1 / alpha), 12)


def mean_over(losses: Tensor, weights: Tensor) -> Float[Tensor, ""]:
    """Return sum(weights * losses) / sum(weights), scalar; where all weights are 0, exactly 0 with zero gradients."""
    whole = weights.sum()
    kept = losses.masked_fill(weights == 0, 0.0) * weights
    return kept.sum() / torch.where(whole > 0, whole, torch.ones_like(whole))
