"""The contrast of anchors with a positive and negatives, whoever they are: the general form of the term."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

from segue.objectives.roles import Roles
from segue.objectives.shapes import Float, Int

NORM_FLOOR: Final = 1e-8
"""Norms are clamped here, so that a zero row has cosine 0 and a finite gradient."""

Form = Callable[[Tensor, Tensor], Tensor]
"""Losses [B, W] from cos(p, c) / tau [B, W] and, for each negative, (cos(n, c) - cos(p, c)) / tau [B, W, N], -inf where
there is none. Finite for positions without negatives too, whose losses are not counted."""


def contrastive_loss(
    context: Float[Tensor, "B W D"],
    pool: Float[Tensor, "B N D"],
    roles: Roles,
    temperature: float,
    form: Form | None = None,
) -> Float[Tensor, ""]:
    """Return the mean loss of the anchors, a float32 (or float64) scalar.

    Args:
        context: c at each position.
        pool: the rows that positives and negatives are among, see `pooled`.
        roles: which they are, and which positions are anchors.
        temperature: tau > 0; f(x, c) = exp(cos(x, c) / tau).
        form: of the loss of one anchor; None = `info_nce`.

    Denominator: the number of anchors in the batch; without anchors exactly 0, with zero gradients. Gradients flow
    through context, positives and negatives alike. Similarities and sums are float32 at least.

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
    nothing = torch.zeros_like(to_positive)[:, :, None]  # the positive itself
    return torch.logsumexp(torch.cat([nothing, margins], dim=2), dim=2)


def negatives_alone(to_positive: Float[Tensor, "B W"], margins: Float[Tensor, "B W N"]) -> Float[Tensor, "B W"]:
    """Return -log( f(p, c) / sum over n of f(n, c) ): the positive does not stand in the denominator (the paper).

    It has no lower bound: an anchor that is right already is pulled on for ever.
    """
    none = torch.isneginf(margins).all(dim=2, keepdim=True)  # a sum of nothing has no finite gradient
    return torch.logsumexp(margins.masked_fill(none, 0.0), dim=2)


def align(to_positive: Float[Tensor, "B W"], margins: Float[Tensor, "B W N"]) -> Float[Tensor, "B W"]:
    """Return -cos(p, c) / tau: the positive attracts, and nothing repels."""
    return -to_positive


def pooled(rows: Float[Tensor, "S W D"], beside: Int[Tensor, " B"] | None) -> Float[Tensor, "B N D"]:
    """Return the pool of each session: its own rows, and those of the sequence beside it.

    `rows`: the B sessions, then what was drawn for them, if anything was. No sequence stands beside two sessions, so
    that the gradient of each row is a sum of two at most, whose order does not matter.
    """
    if beside is None:
        return rows
    return torch.cat([rows[: len(beside)], rows.index_select(0, beside)], dim=1)


def _unit(rows: Float[Tensor, "B L D"]) -> Float[Tensor, "B L D"]:
    """Return rows divided by their norm, clamped from below; float32 at least."""
    wide = rows if rows.dtype == torch.float64 else rows.float()
    # the squared norm is clamped before the root: the root of 0 has no finite gradient
    norm = wide.square().sum(dim=2, keepdim=True).clamp(min=NORM_FLOOR**2).sqrt()
    return wide / norm
