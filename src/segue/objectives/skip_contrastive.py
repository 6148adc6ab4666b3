"""The skip-informed contrastive term: listened tracks attract, tracks skipped in the same session repel."""

from __future__ import annotations

import torch
from torch import Tensor

from segue.objectives.shapes import Bool, Float, Int

NORM_FLOOR = 1e-8
"""Norms are clamped here, so that a zero row has cosine 0 and a finite gradient."""


def skip_contrastive_loss(
    context: Float[Tensor, "B L D"],
    embeddings: Float[Tensor, "B L D"],
    tracks: Int[Tensor, "B L"],
    skipped: Bool[Tensor, "B L"],
    listened: Bool[Tensor, "B L"],
    temperature: float = 0.1,
) -> Float[Tensor, ""]:
    """Return the mean InfoNCE loss over the anchors of the batch, a float32 (or float64) scalar.

    For each session, N is the multiset of skipped positions whose track is never listened in that session; anchors
    are listened positions i with a later listened position, whose positive p is the track at the *next* listened
    position. With f(x, c) = exp(cos(x, c) / temperature),

        loss_i = -log( f(p, c_i) / (f(p, c_i) + sum over n in N of f(n, c_i)) ).

    Args:
        context: c_i at each position: the track rows themselves ('track') or encoder states ('session').
        embeddings: the row of each position's track; rows of one track are equal, padding rows may be zero.
        tracks: track ids, 0 = padding; equal ids are the same track.
        skipped: positions that were skipped. Never where `listened` is; False on padding.
        listened: positions that were listened to.
        temperature: tau > 0.

    Denominator: the number of anchors in the batch. A session without negatives has no anchors; a batch without
    anchors gives exactly 0, with zero gradients. Gradients flow through context, positive and negatives alike.
    Similarities and sums are float32 at least.

    Source: Seshadri & Knees 2023 (arXiv 2309.11623), section 3.3. We differ: exp and temperature (a ratio of raw
    cosines takes logs of negative numbers), the positive stands in the denominator, anchors are listened positions
    only, and a track that is also listened to in the session is no negative.

    Raises:
        ValueError: a temperature that is not positive.

    >>> rows = torch.eye(3)[None]
    >>> flags = torch.tensor([[False, False, True]]), torch.tensor([[True, True, False]])
    >>> round(float(skip_contrastive_loss(rows, rows, torch.tensor([[1, 2, 3]]), *flags)), 4)  # log 2: all cosines 0
    0.6931
    """
    if not temperature > 0:
        raise ValueError("temperature must be positive: it divides the cosines")
    present = tracks != 0
    skipped, listened = skipped & present, listened & present
    negative = negatives_of(tracks, skipped, listened)
    positive, has_positive = next_listened(listened)
    anchor = listened & has_positive & negative.any(dim=1, keepdim=True)

    with torch.autocast(context.device.type, enabled=False):  # autocast would round the products to bf16
        similarity = _unit(context) @ _unit(embeddings).transpose(1, 2) / temperature  # [B, L (anchor), L (other)]
    to_positive = similarity.gather(2, positive[:, :, None])  # [B, L, 1]
    margins = (similarity - to_positive).masked_fill(~negative[:, None, :], -torch.inf)
    nothing = torch.zeros_like(to_positive)
    # -log(f(p) / (f(p) + sum f(n))) = log(1 + sum exp(n - p)); the appended 0 is the positive itself
    losses = torch.logsumexp(torch.cat([nothing, margins], dim=2), dim=2)
    return losses.masked_fill(~anchor, 0.0).sum() / anchor.sum().clamp(min=1)


def negatives_of(
    tracks: Int[Tensor, "B L"], skipped: Bool[Tensor, "B L"], listened: Bool[Tensor, "B L"]
) -> Bool[Tensor, "B L"]:
    """Return the skipped positions whose track is listened to nowhere in the session."""
    same = tracks[:, :, None] == tracks[:, None, :]
    also_listened = (same & listened[:, None, :]).any(dim=2)
    return skipped & ~also_listened


def next_listened(listened: Bool[Tensor, "B L"]) -> tuple[Int[Tensor, "B L"], Bool[Tensor, "B L"]]:
    """Return the next listened position after each position (0 where there is none), and whether there is one."""
    length = listened.shape[1]
    places = torch.arange(length, device=listened.device).masked_fill(~listened, length)
    # the smallest listened place at or after each position, then shifted: strictly after
    at_or_after = places.flip(1).cummin(dim=1).values.flip(1)
    after = torch.nn.functional.pad(at_or_after[:, 1:], (0, 1), value=length)
    exists = after < length
    return after.masked_fill(~exists, 0), exists


def _unit(rows: Float[Tensor, "B L D"]) -> Float[Tensor, "B L D"]:
    """Return rows divided by their norm, clamped from below; float32 at least."""
    wide = rows if rows.dtype == torch.float64 else rows.float()
    # the squared norm is clamped before the root: the root of 0 has no finite gradient
    norm = wide.square().sum(dim=2, keepdim=True).clamp(min=NORM_FLOOR**2).sqrt()
    return wide / norm
