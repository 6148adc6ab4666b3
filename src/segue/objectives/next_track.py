"""The next-track softmax: sampled negatives, or the whole vocabulary."""

from __future__ import annotations

import torch
from torch import Tensor

from segue.objectives.shapes import Bool, Float, Int


def sampled_softmax_loss(
    states: Float[Tensor, "B L D"],
    target_rows: Float[Tensor, "B L D"],
    negative_rows: Float[Tensor, "*batch M D"],
    collisions: Bool[Tensor, "#B #L #M"],
    targets: Bool[Tensor, "B L"],
    correction: Float[Tensor, " M"] | None = None,
    known: tuple[Float[Tensor, "B L"], Float[Tensor, "B L"]] | None = None,
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
        known: logs of the masses that a known distribution adds, to the target and to all tracks together (at most
            -1e30: none), see `mixed_loss`.

    Denominator: the number of targets; none gives exactly 0 with zero gradients. Sums are float32 at least.
    Source: Kang & McAuley 2018 with a sampled softmax in place of their single negative; Seshadri & Knees 2023.
    """
    wide = states if states.dtype == torch.float64 else states.float()
    own = (wide * target_rows).sum(dim=2, keepdim=True)  # [B, L, 1]
    scores = wide @ negative_rows.transpose(-1, -2).to(wide.dtype)  # [B, L, M]
    if correction is not None:
        scores = scores + correction
    # finite, not -inf: the gradient of a logsumexp over nothing but -inf is NaN
    scores = scores.masked_fill(collisions, torch.finfo(scores.dtype).min / 2)
    losses = mixed_loss(own[:, :, 0], torch.logsumexp(scores, dim=2), known)
    return losses.masked_fill(~targets, 0.0).sum() / targets.sum().clamp(min=1)


def full_softmax_loss(
    states: Float[Tensor, "B L D"],
    table_rows: Float[Tensor, "R D"],
    target: Int[Tensor, "B L"],
    targets: Bool[Tensor, "B L"],
    specials: int = 3,
    known: tuple[Float[Tensor, "B L"], Float[Tensor, "B L"]] | None = None,
) -> Float[Tensor, ""]:
    """Return the mean of -log softmax(target over all tracks) over the real targets, scalar.

    The first `specials` rows of the table are no tracks and take no part. Denominator: the number of targets; none
    gives exactly 0 with zero gradients.
    """
    wide = states if states.dtype == torch.float64 else states.float()
    picked = wide[targets]  # [T, D]
    scores = picked @ table_rows[specials:].to(wide.dtype).T
    place = target[targets] - specials
    own = scores.gather(1, place[:, None])[:, 0]
    if known is None:
        losses = torch.logsumexp(scores, dim=1) - own
    else:
        others = scores.scatter(1, place[:, None], torch.finfo(scores.dtype).min / 2)
        losses = mixed_loss(own, torch.logsumexp(others, dim=1), (known[0][targets], known[1][targets]))
    return losses.sum() / targets.sum().clamp(min=1)


def mixed_loss(own: Tensor, others: Tensor, known: tuple[Tensor, Tensor] | None) -> Tensor:
    """Return -log of the target's share, elementwise.

    own: its score; others: log of the sum of exp(score) of what it is compared with. `known` adds a distribution p
    beside, as exp(h) p: (h + log p(target), h + log of all of p), so that the share is

        (exp own + exp known[0]) / (exp own + exp others + exp known[1]).
    """
    if known is None:
        return torch.nn.functional.softplus(others - own)  # log(own + others) - log own
    target, whole = known
    rest = torch.logaddexp(own, whole)
    return torch.nn.functional.softplus(others - rest) + (rest - torch.logaddexp(own, target))
