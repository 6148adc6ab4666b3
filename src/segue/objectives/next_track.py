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
    wide = states if states.dtype == torch.float64 else states.float()
    own = (wide * target_rows).sum(dim=2, keepdim=True)  # [B, L, 1]
    scores = wide @ negative_rows.transpose(-1, -2).to(wide.dtype)  # [B, L, M]
    if correction is not None:
        scores = scores + correction
    # finite, not -inf: the gradient of a logsumexp over nothing but -inf is NaN
    scores = scores.masked_fill(collisions, torch.finfo(scores.dtype).min / 2)
    margins = torch.logsumexp(scores, dim=2) - own[:, :, 0]
    losses = torch.nn.functional.softplus(margins)  # log(own + others) - log own
    return losses.masked_fill(~targets, 0.0).sum() / targets.sum().clamp(min=1)


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
