"""The skip-contrastive term over packed sessions: loss and gradient in one pass, one program a session."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from segue.objectives.packed import Gradients, Sessions

PRECISION = "tf32x3"
"""Three TF32 products for one: as good as float32 here, at the matrix units' rate."""
FLOOR = tl.constexpr(1e-16)
"""Squared norms are clamped here, as in `segue.objectives.skip_contrastive_loss`."""


@triton.jit
def _roles(place, tracks, strength, skip_at_least, columns, length: tl.constexpr):
    """Return a session's places, and which of its positions are present, negatives, anchors, and positives of whom."""
    session = tl.program_id(0)
    i = tl.arange(0, length)
    inside = i < columns
    where = tl.load(place + session * columns + i, mask=inside, other=-1)
    track = tl.load(tracks + session * columns + i, mask=inside, other=0)
    code = tl.load(strength + session * columns + i, mask=inside, other=5)
    present = (where >= 0) & (track != 0)
    skipped = (code >= skip_at_least) & (code <= 3) & present
    listened = ((code < skip_at_least) & present).to(tl.int32)
    same = (track[:, None] == track[None, :]).to(tl.int32)
    negative = skipped & (tl.sum(same * listened[None, :], 1) == 0)
    later = (i[None, :] > i[:, None]) & (listened[None, :] > 0)
    positive = tl.min(tl.where(later, i[None, :], length), 1)  # the next listened position
    anchor = (listened > 0) & (positive < length) & (tl.sum(negative.to(tl.int32), 0) > 0)
    return where, present, negative, positive, anchor


@triton.jit
def _count(place, tracks, strength, skip_at_least, anchors, columns, length: tl.constexpr):
    _, _, _, _, anchor = _roles(place, tracks, strength, skip_at_least, columns, length)
    tl.store(anchors + tl.program_id(0), tl.sum(anchor.to(tl.int32), 0))


@triton.jit
def _term(rows, states, place, tracks, strength, skip_at_least, inverse_temperature, scale, losses, of_rows,
          of_states, columns, width: tl.constexpr, length: tl.constexpr, of_track: tl.constexpr,
          precision: tl.constexpr):  # fmt: skip
    where, present, negative, positive, anchor = _roles(place, tracks, strength, skip_at_least, columns, length)
    i, c = tl.arange(0, length), tl.arange(0, width)
    share_of_all = tl.load(scale)
    cell = where[:, None].to(tl.int64) * width + c[None, :]
    raw = tl.load(rows + cell, mask=present[:, None], other=0.0)
    norm = tl.sqrt(tl.maximum(tl.sum(raw * raw, 1), FLOOR))
    unit = raw / norm[:, None]
    context, context_norm = unit, norm
    if not of_track:
        own = tl.load(states + cell, mask=(anchor & present)[:, None], other=0.0)
        context_norm = tl.sqrt(tl.maximum(tl.sum(own * own, 1), FLOOR))
        context = own / context_norm[:, None]
    scores = tl.dot(context, tl.trans(unit), input_precision=precision) * inverse_temperature
    is_positive = i[None, :] == positive[:, None]
    to_positive = tl.sum(tl.where(is_positive, scores, 0.0), 1)
    margins = tl.where(negative[None, :], scores - to_positive[:, None], -float("inf"))
    peak = tl.maximum(tl.max(margins, 1), 0.0)
    shares = tl.exp(margins - peak[:, None])
    whole = tl.sum(shares, 1) + tl.exp(-peak)
    loss = tl.where(anchor, peak + tl.log(whole), 0.0)
    tl.store(losses + tl.program_id(0), tl.sum(loss, 0))

    share = tl.where(anchor[:, None], shares / whole[:, None], 0.0) * (inverse_temperature * share_of_all)
    of_scores = share - tl.where(is_positive, tl.sum(share, 1)[:, None], 0.0)
    of_context = tl.dot(of_scores, unit, input_precision=precision)
    of_unit = tl.dot(tl.trans(of_scores), context, input_precision=precision)
    if of_track:
        of_unit += of_context
    else:
        gradient = (of_context - context * tl.sum(of_context * context, 1)[:, None]) / context_norm[:, None]
        mine = (anchor & present)[:, None]  # nobody else adds to a session's places
        tl.store(of_states + cell, tl.load(of_states + cell, mask=mine, other=0.0) + gradient, mask=mine)
    gradient = (of_unit - unit * tl.sum(of_unit * unit, 1)[:, None]) / norm[:, None]
    held = tl.load(of_rows + cell, mask=present[:, None], other=0.0)
    tl.store(of_rows + cell, held + gradient, mask=present[:, None])


def packed_skip_contrastive(
    rows: Tensor, states: Tensor | None, sessions: Sessions, temperature: float, into: Gradients, scale: float = 1.0
) -> Tensor:
    """Return `segue.objectives.skip_contrastive_loss`, scalar, and add its gradients times `scale` to `into`.

    Args:
        rows: table rows, float32 [P, D], D a power of two; those of a session may lie anywhere.
        states: y_hat at the same places, float32 [P', D] (an anchor's place lies below P'), or None where the context
            is the anchor's own row.
        sessions: what lies where; no two positions have one place.
        temperature: tau > 0.
        into: where gradients are added.
        scale: of the gradients.
    """
    count, columns = sessions.place.shape
    losses, anchors = rows.new_empty(count), sessions.place.new_empty(count)
    told = (sessions.place, sessions.tracks, sessions.strength, sessions.skip_at_least)
    length = max(16, triton.next_power_of_2(columns))
    _count[(count,)](*told, anchors, columns, length=length, num_warps=1)
    share = 1.0 / anchors.sum().clamp(min=1)
    _term[(count,)](
        rows, rows if states is None else states, *told, 1.0 / temperature, share * scale, losses, into.rows,
        into.states, columns, width=rows.shape[1], length=length, of_track=states is None, precision=PRECISION,
        num_warps=4,
    )  # fmt: skip
    return losses.sum() * share
