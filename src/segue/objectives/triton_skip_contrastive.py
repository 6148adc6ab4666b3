"""The skip-contrastive term on a GPU: one program for each session, which never stores the similarities.

The program reads the rows of its session [L, D], normalises them, and multiplies out all similarities [L, L] at once:
a session is short enough. It computes the loss of its anchors and, in the same pass, the gradient. With the margins
m[i, n] of anchor i and negative n (`segue.objectives.skip_contrastive`) and s[i] = 1 + sum over n of exp(m[i, n]), the
loss is log s[i], and its gradient in the scores is

    exp(m[i, n]) / s[i]  for each negative n,    -sum over n of exp(m[i, n]) / s[i]  for the positive.

The gradient of a unit vector u = x / |x| becomes that of x: (g - u (u . g)) / |x|.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

PRECISION = "tf32x3"
"""Three TF32 products instead of one of float32: as exact for cosines, and computed by the matrix units."""
FLOOR = tl.constexpr(1e-16)
"""Smallest squared norm: NORM_FLOOR of `segue.objectives.skip_contrastive`, squared."""


@triton.jit
def _roles(tracks, skipped, listened, columns, length: tl.constexpr):
    """Return, for the positions of a session: is there a track, is it a negative, the positive, is it an anchor.

    As `segue.objectives.roles.roles` with the rules of the correct term.
    """
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
    """Store the number of anchors of each session."""
    _, _, _, anchor = _roles(tracks, skipped, listened, columns, length)
    tl.store(anchors + tl.program_id(0), tl.sum(anchor.to(tl.int32), 0))


@triton.jit
def _term(context, rows, tracks, skipped, listened, inverse_temperature, scale, losses, of_context, of_rows, columns,
          width: tl.constexpr, length: tl.constexpr, backward: tl.constexpr, same: tl.constexpr,
          precision: tl.constexpr):  # fmt: skip
    """Store the sum of the losses of a session and, if `backward`, their gradients times `scale`.

    `same`: context and rows are one tensor, whose gradient is stored in `of_rows`.
    """
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
    """`segue.objectives.skip_contrastive_loss` of float32 tensors on a GPU, D a power of two from 16 to 256."""

    @staticmethod
    def forward(
        context: Any, states: Tensor, rows: Tensor, tracks: Tensor, skipped: Tensor, listened: Tensor,
        temperature: float,
    ) -> Tensor:  # fmt: skip
        """Return the loss. Its gradients are computed here too, and saved."""
        sessions, columns = tracks.shape
        heard = (tracks.contiguous(), skipped.contiguous(), listened.contiguous())
        length = max(16, triton.next_power_of_2(columns))
        losses, anchors = rows.new_empty(sessions), tracks.new_empty(sessions, dtype=torch.int32)
        _count[(sessions,)](*heard, anchors, columns, length=length, num_warps=1)
        share = 1.0 / anchors.sum().clamp(min=1)
        same, backward = states is rows, any(context.needs_input_grad)
        of_rows = torch.empty_like(rows) if backward else losses
        of_states = torch.empty_like(states) if backward and not same else losses
        _term[(sessions,)](
            states.contiguous(), rows.contiguous(), *heard, 1.0 / temperature, share, losses, of_states, of_rows,
            columns, width=rows.shape[2], length=length, backward=backward, same=same, precision=PRECISION, num_warps=4,
        )  # fmt: skip
        context.same = same
        context.save_for_backward(of_rows, *([] if same else [of_states]))
        return losses.sum() * share

    @staticmethod
    def backward(context: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients in states and rows: those of `forward`, times that of the loss."""
        of_rows, *of_states = context.saved_tensors
        return None if context.same else of_states[0] * grad, of_rows * grad, None, None, None, None


@torch.compiler.disable
def kernel_skip_contrastive(
    states: Tensor, rows: Tensor, tracks: Tensor, skipped: Tensor, listened: Tensor, temperature: float
) -> Tensor:
    """Return `KernelSkipContrastive` of the arguments; torch.compile leaves it as it is."""
    loss: Tensor = KernelSkipContrastive.apply(states, rows, tracks, skipped, listened, temperature)
    return loss
