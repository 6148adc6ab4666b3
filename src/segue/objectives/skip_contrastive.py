"""The skip-informed contrastive term: listened tracks attract, tracks skipped in the same session repel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

from segue.objectives.log_sum import kernels_fit
from segue.objectives.roles import Heard, Roles, roles
from segue.objectives.shapes import Bool, Float, Int

NORM_FLOOR: Final = 1e-8
"""Smallest norm that a row is divided by: a zero row has cosine 0 and a finite gradient."""
LONGEST_KERNEL: Final = 128
"""Most positions of a session that the GPU kernel can process."""

Form = Callable[[Tensor, Tensor], Tensor]
"""The loss of each anchor [B, W], computed from cos(p, c) / tau [B, W] and from the margins
(cos(n, c) - cos(p, c)) / tau of all negatives [B, W, N], which are -inf where n is not a negative of the anchor. It
must be finite at positions without negatives too; their losses are then ignored."""


def skip_contrastive_loss(
    context: Float[Tensor, "B L D"],
    embeddings: Float[Tensor, "B L D"],
    tracks: Int[Tensor, "B L"],
    skipped: Bool[Tensor, "B L"],
    listened: Bool[Tensor, "B L"],
    temperature: float = 0.1,
) -> Float[Tensor, ""]:
    """Return the mean InfoNCE loss over the anchors of the batch, a float32 (or float64) scalar.

    For each session, N is the multiset of skipped positions whose track is never listened to in that session. Anchors
    are listened positions i with a later listened position; the positive p is the track at the *next* listened
    position. With f(x, c) = exp(cos(x, c) / temperature),

        loss_i = -log( f(p, c_i) / (f(p, c_i) + sum over n in N of f(n, c_i)) ).

    Args:
        context: c_i at each position: the track rows themselves ('track') or encoder states ('session').
        embeddings: the row of each position's track. Rows of one track are equal; padding rows may be zero.
        tracks: track ids, 0 = padding. Equal ids are the same track.
        skipped: positions that were skipped. Never where `listened` is; False on padding.
        listened: positions that were listened to.
        temperature: tau > 0.

    Denominator: the number of anchors in the batch. A session without negatives has no anchors; a batch without
    anchors gives exactly 0, with zero gradients. Gradients flow through context, positives and negatives. Similarities
    and sums are float32 at least.

    It is `contrastive_loss` with the roles of the correct term; `segue.objectives.variants` has other roles and forms.

    Source: Seshadri & Knees 2023 (arXiv 2309.11623), section 3.4. We differ: exp and temperature (a ratio of raw
    cosines takes logs of negative numbers), the positive stands in the denominator, anchors are listened positions
    only, and a track that is also listened to in the session is not a negative.

    Raises:
        ValueError: a temperature that is not positive.

    >>> import torch
    >>> rows = torch.eye(3)[None]
    >>> flags = torch.tensor([[False, False, True]]), torch.tensor([[True, True, False]])
    >>> round(float(skip_contrastive_loss(rows, rows, torch.tensor([[1, 2, 3]]), *flags)), 4)  # log 2: all cosines 0
    0.6931
    """
    if kernels_fit(embeddings) and embeddings.shape[1] <= LONGEST_KERNEL and temperature > 0:
        from segue.objectives.triton_skip_contrastive import kernel_skip_contrastive

        loss: Tensor = kernel_skip_contrastive(context, embeddings, tracks, skipped, listened, temperature)
        return loss
    return contrastive_loss(context, embeddings, roles(Heard(tracks, skipped, listened)), temperature)


def contrastive_loss(
    context: Float[Tensor, "B W D"],
    pool: Float[Tensor, "B N D"],
    roles: Roles,
    temperature: float,
    form: Form | None = None,
) -> Float[Tensor, ""]:
    """Return the mean loss of the anchors for any choice of anchors, positives and negatives, a scalar.

    Args:
        context: c at each position.
        pool: the rows from which positives and negatives are taken; see `pooled`.
        roles: which positions are anchors, and which rows of the pool are their positives and negatives.
        temperature: tau > 0; f(x, c) = exp(cos(x, c) / tau).
        form: the loss of one anchor; None = `info_nce`.

    Denominator, empty case, gradients and precision as in `skip_contrastive_loss`.

    Raises:
        ValueError: a temperature that is not positive.
    """
    if not temperature > 0:
        raise ValueError("temperature must be positive: it divides the cosines")
    with torch.autocast(context.device.type, enabled=False):  # autocast would round the products to bf16
        similarity = _unit(context) @ _unit(pool).transpose(1, 2) / temperature  # [B, W (anchor), N]
    to_positive = similarity.gather(2, roles.positive[:, :, None])  # [B, W, 1]
    margins = (similarity - to_positive).masked_fill(~roles.negative, -torch.inf)
    losses = (form or info_nce)(to_positive[:, :, 0], margins)
    return losses.masked_fill(~roles.anchor, 0.0).sum() / roles.anchor.sum().clamp(min=1)


def info_nce(to_positive: Float[Tensor, "B W"], margins: Float[Tensor, "B W N"]) -> Float[Tensor, "B W"]:
    """Return -log( f(p, c) / (f(p, c) + sum over n of f(n, c)) ) = log(1 + sum of exp(margin))."""
    zero = torch.zeros_like(to_positive)[:, :, None]  # the margin of the positive itself
    return torch.logsumexp(torch.cat([zero, margins], dim=2), dim=2)


def negatives_alone(to_positive: Float[Tensor, "B W"], margins: Float[Tensor, "B W N"]) -> Float[Tensor, "B W"]:
    """Return -log( f(p, c) / sum over n of f(n, c) ): the positive is not in the denominator (the paper).

    This loss has no lower bound: an anchor that already ranks its positive first still has a gradient.
    """
    empty = torch.isneginf(margins).all(dim=2, keepdim=True)  # the gradient of logsumexp of nothing is NaN
    return torch.logsumexp(margins.masked_fill(empty, 0.0), dim=2)


def align(to_positive: Float[Tensor, "B W"], margins: Float[Tensor, "B W N"]) -> Float[Tensor, "B W"]:
    """Return -cos(p, c) / tau: the positive attracts, and nothing repels."""
    return -to_positive


def pooled(rows: Float[Tensor, "S W D"], beside: Int[Tensor, " B"] | None) -> Float[Tensor, "B N D"]:
    """Return the pool of each session: its own W rows and then, if `beside` is given, W rows of another sequence.

    `rows`: the rows of the B sessions, then those drawn for them, if any. `beside`: the sequence that each session
    takes; no sequence is taken twice, so that each gradient is a sum of at most two terms, the same in any order.
    """
    if beside is None:
        return rows
    return torch.cat([rows[: len(beside)], rows.index_select(0, beside)], dim=1)


def _unit(rows: Float[Tensor, "B L D"]) -> Float[Tensor, "B L D"]:
    """Return the rows divided by their norm, which is at least NORM_FLOOR; float32 or float64."""
    wide = rows if rows.dtype == torch.float64 else rows.float()
    # the clamp comes before the root, whose gradient at 0 is infinite
    norm = wide.square().sum(dim=2, keepdim=True).clamp(min=NORM_FLOOR**2).sqrt()
    return wide / norm
