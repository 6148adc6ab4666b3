"""The skip-informed contrastive term: listened tracks attract, tracks skipped in the same session repel."""

from __future__ import annotations

from typing import Final

from torch import Tensor

from segue.objectives.contrast import contrastive_loss
from segue.objectives.log_sum import on_kernels
from segue.objectives.roles import Heard, roles
from segue.objectives.shapes import Bool, Float, Int

LONGEST_KERNEL: Final = 128
"""Most positions of a session that the GPU kernel holds."""


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

    It is `segue.objectives.contrast.contrastive_loss` of these roles; `segue.objectives.variants` has others.

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
    if on_kernels(embeddings) and embeddings.shape[1] <= LONGEST_KERNEL and temperature > 0:
        from segue.objectives.triton_skip_contrastive import kernel_skip_contrastive

        loss: Tensor = kernel_skip_contrastive(context, embeddings, tracks, skipped, listened, temperature)
        return loss
    return contrastive_loss(context, embeddings, roles(Heard(tracks, skipped, listened)), temperature)
