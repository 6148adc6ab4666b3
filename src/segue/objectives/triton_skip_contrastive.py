"""The skip-contrastive term on a GPU: one program a session, similarities are never stored."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

PRECISION = "tf32x3"
"""Three TF32 products for one: as good as float32 here, at the rate of the matrix units."""
FLOOR = tl.constexpr(1e-16)
"""Squared norms are clamped here, as in `segue.objectives.contrast`."""


@triton.jit
def _roles(tracks, skipped, listened, columns, length: tl.constexpr):
    """Return which positions of a session are present, negatives, anchors, and the positive of each."""
    session = tl.program_id(0)
    i = tl.arange(0, length)
    inside = i < columns
    track = tl.load(tracks + session * columns + i, mask=inside, other=0)
    present = track != 0
    is_skipped = (tl.load(skipped + session * columns + i, mask=inside, other=0) != 0) & present
    is_listened = ((tl.load(listened + session * columns + i, mask=inside, other=0) != 0) & present).to(tl.int32)
    same = (track[:, None] == track[None, :]).to(tl.int32)
    negative = is_skipped & (tl.sum(same * is_listened[None, :], 1) == 0)
    later = (i[None, :] > i[:, None]) & (is_listened[None, :] > 0)
    positive = tl.min(tl.where(later, i[None, :], length), 1)  # the next listened position
    anchor = (is_listened * tl.sum(negative.to(tl.int32), 0) > 0) & (positive < length)
    return present, negative, positive, anchor


@triton.jit
def _count(tracks, skipped, listened, anchors, columns, length: tl.constexpr):
    _, _, _, anchor = _roles(tracks, skipped, listened, columns, length)
    tl.store(anchors + tl.program_id(0), tl.sum(anchor.to(tl.int32), 0))


@triton.jit
def _term(context, rows, tracks, skipped, listened, inverse_temperature, scale, losses, of_context, of_rows, columns,
          width: tl.constexpr, length: tl.constexpr, backward: tl.constexpr, same: tl.constexpr,
          precision: tl.constexpr):  # fmt: skip
    present, negative, positive, anchor = _roles(tracks, skipped, listened, columns, length)
    i, c = tl.arange(0, length), tl.arange(0, width)
    cell = (tl.program_id(0).to(tl.int64) * columns + i)[:, None] * width + c[None, :]
    raw = tl.load(rows + cell, mask=present[:, None], other=0.0)
    norm = tl.sqrt(tl.maximum(tl.sum(raw * raw, 1), FLOOR))
    unit = raw / norm[:, None]
    state = tl.load(context + cell, mask=anchor[:, None], other=0.0)
    state_norm = tl.sqrt(tl.maximum(tl.sum(state * state, 1), FLOOR))
    state = state / state_norm[:, None]
    scores = tl.dot(state, tl.trans(unit), input_precision=precision) * inverse_temperature
    is_positive = i[None, :] == positive[:, None]
    to_positive = tl.sum(tl.where(is_positive, scores, 0.0), 1)
    margins = tl.where(negative[None, :], scores - to_positive[:, None], -float("inf"))
    peak = tl.maximum(tl.max(margins, 1), 0.0)
    shares = tl.exp(margins - peak[:, None])
    total = tl.sum(shares, 1) + tl.exp(0.0 - peak)
    loss = tl.where(anchor, peak + tl.log(total), 0.0)
    tl.store(losses + tl.program_id(0), tl.sum(loss, 0))
    if backward:
        factor = inverse_temperature * tl.load(scale)
        share = tl.where(anchor[:, None], shares / total[:, None], 0.0) * factor
        of_scores = share - tl.where(is_positive, tl.sum(share, 1)[:, None], 0.0)
        of_state = tl.dot(of_scores, unit, input_precision=precision)
        of_unit = tl.dot(tl.trans(of_scores), state, input_precision=precision)
        of_state = (of_state - state * tl.sum(of_state * state, 1)[:, None]) / state_norm[:, None]
        of_row = (of_unit - unit * tl.sum(of_unit * unit, 1)[:, None]) / norm[:, None]
        inside = (i < columns)[:, None]
        of_state, of_row = tl.where(anchor[:, None], of_state, 0.0), tl.where(present[:, None], of_row, 0.0)
        if same:
            tl.store(of_rows + cell, of_state + of_row, mask=inside)
        else:
            tl.store(of_context + cell, of_state, mask=inside)
            tl.store(of_rows + cell, of_row, mask=inside)


class KernelSkipContrastive(torch.autograd.Function):
    """`segue.objectives.skip_contrastive_loss` of float32 tensors on a GPU, D a power of two."""

    @staticmethod
    def forward(
        context: Any, states: Tensor, rows: Tensor, tracks: Tensor, skipped: Tensor, listened: Tensor,
        temperature: float,
    ) -> Tensor:  # fmt: skip
        """Return the loss; its gradients are computed along with it."""
        sessions, columns = tracks.shape
        roles = (tracks.contiguous(), skipped.contiguous(), listened.contiguous())
        length = max(16, triton.next_power_of_2(columns))
        losses, anchors = rows.new_empty(sessions), tracks.new_empty(sessions, dtype=torch.int32)
        _count[(sessions,)](*roles, anchors, columns, length=length, num_warps=1)
        share = 1.0 / anchors.sum().clamp(min=1)
        same, backward = states is rows, any(context.needs_input_grad)
        of_rows = torch.empty_like(rows) if backward else losses
        of_states = torch.empty_like(states) if backward and not same else losses
        _term[(sessions,)](
            states.contiguous(), rows.contiguous(), *roles, 1.0 / temperature, share, losses, of_states, of_rows,
            columns, width=rows.shape[2], length=length, backward=backward, same=same, precision=PRECISION, num_warps=4,
        )  # fmt: skip
        context.same = same
        context.save_for_backward(of_rows, *([] if same else [of_states]))
        return losses.sum() * share

    @staticmethod
    def backward(context: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of what `forward` took."""
        of_rows, *of_states = context.saved_tensors
        return None if context.same else of_states[0] * grad, of_rows * grad, None, None, None, None


@torch.compiler.disable
def kernel_skip_contrastive(
    states: Tensor, rows: Tensor, tracks: Tensor, skipped: Tensor, listened: Tensor, temperature: float
) -> Tensor:
    """Return `KernelSkipContrastive` of these; the compiler does not look into it."""
    loss: Tensor = KernelSkipContrastive.apply(states, rows, tracks, skipped, listened, temperature)
    return loss
