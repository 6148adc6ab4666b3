"""`log_sum_of_others` on a GPU: scores are made tile by tile, forward and again backward, and never stored.

The same kernels serve sampled negatives and all tracks. Products are rounded to the type of autocast, with float32
sums; sums over tiles are float32 and in a fixed order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

LOG2_E = tl.constexpr(1.4426950408889634)
_LN_2 = 0.6931471805599453
NOTHING = tl.constexpr(-1e30)
"""Stands for the score of what is left out: finite, so that a row without negatives stays a number."""


@triton.jit
def _tile(x, w, n, num, ids, correction, target, first_id, target_id: tl.constexpr, listed: tl.constexpr,
          corrected: tl.constexpr):  # fmt: skip
    """Return scores [tokens, negatives] of one tile in units of log 2, NOTHING where left out, and where id is own."""
    scores = tl.dot(x, tl.trans(w), input_precision="ieee")
    if corrected:
        scores += tl.load(correction + n, mask=n < num, other=0.0)[None, :]
    if listed:
        name = tl.load(ids + n, mask=n < num, other=-1)
    else:
        name = n + first_id
    is_own = name[None, :] == target[:, None]
    left_out = is_own | (n >= num)[None, :]
    return tl.where(left_out, NOTHING, scores * LOG2_E), is_own & (n < num)[None, :]


@triton.jit
def _forward(x, w, target, ids, correction, peaks, sums, tokens, num, first_id, per_split,
             width: tl.constexpr, bt: tl.constexpr, bn: tl.constexpr, listed: tl.constexpr,
             corrected: tl.constexpr):  # fmt: skip
    t = tl.program_id(0) * bt + tl.arange(0, bt)
    split = tl.program_id(1)
    c = tl.arange(0, width)
    state = tl.load(x + t[:, None] * width + c[None, :], mask=(t < tokens)[:, None], other=0.0)
    target_id = tl.load(target + t, mask=t < tokens, other=0)
    peak = tl.full((bt,), NOTHING, tl.float32)
    whole = tl.zeros((bt,), tl.float32)
    for begin in range(split * per_split, tl.minimum((split + 1) * per_split, num), bn):
        n = begin + tl.arange(0, bn)
        rows = tl.load(w + n[:, None].to(tl.int64) * width + c[None, :], mask=(n < num)[:, None], other=0.0)
        scores, _ = _tile(state, rows, n, num, ids, correction, target_id, first_id, False, listed, corrected)
        higher = tl.maximum(peak, tl.max(scores, 1))
        whole = whole * tl.exp2(peak - higher) + tl.sum(tl.exp2(scores - higher[:, None]), 1)
        peak = higher
    tl.store(peaks + split * tokens + t, peak, mask=t < tokens)
    tl.store(sums + split * tokens + t, whole, mask=t < tokens)


@triton.jit
def _of_states(x, w, target, ids, correction, log_sums, weight, out, tokens, num, first_id, per_split,
               width: tl.constexpr, bt: tl.constexpr, bn: tl.constexpr, listed: tl.constexpr,
               corrected: tl.constexpr):  # fmt: skip
    t = tl.program_id(0) * bt + tl.arange(0, bt)
    split = tl.program_id(1)
    c = tl.arange(0, width)
    state = tl.load(x + t[:, None] * width + c[None, :], mask=(t < tokens)[:, None], other=0.0)
    target_id = tl.load(target + t, mask=t < tokens, other=0)
    log_sum = tl.load(log_sums + t, mask=t < tokens, other=0.0)
    gradient = tl.zeros((bt, width), tl.float32)
    for begin in range(split * per_split, tl.minimum((split + 1) * per_split, num), bn):
        n = begin + tl.arange(0, bn)
        rows = tl.load(w + n[:, None].to(tl.int64) * width + c[None, :], mask=(n < num)[:, None], other=0.0)
        scores, _ = _tile(state, rows, n, num, ids, correction, target_id, first_id, False, listed, corrected)
        share = tl.exp2(scores - log_sum[:, None])
        gradient = tl.dot(share.to(rows.dtype), rows, gradient, input_precision="ieee")
    cell = (split * tokens + t)[:, None].to(tl.int64) * width + c[None, :]
    factor = tl.load(weight + t, mask=t < tokens, other=0.0)
    tl.store(out + cell, gradient * factor[:, None], mask=(t < tokens)[:, None])


@triton.jit
def _of_rows(x, w, target, ids, correction, log_sums, weight, of_target, out, tokens, num, first_id, per_split,
             width: tl.constexpr, bt: tl.constexpr, bn: tl.constexpr, listed: tl.constexpr,
             corrected: tl.constexpr):  # fmt: skip
    n = tl.program_id(0) * bn + tl.arange(0, bn)
    split = tl.program_id(1)
    c = tl.arange(0, width)
    rows = tl.load(w + n[:, None].to(tl.int64) * width + c[None, :], mask=(n < num)[:, None], other=0.0)
    gradient = tl.zeros((bn, width), tl.float32)
    for begin in range(split * per_split, tl.minimum((split + 1) * per_split, tokens), bt):
        t = begin + tl.arange(0, bt)
        state = tl.load(x + t[:, None] * width + c[None, :], mask=(t < tokens)[:, None], other=0.0)
        target_id = tl.load(target + t, mask=t < tokens, other=0)
        log_sum = tl.load(log_sums + t, mask=t < tokens, other=0.0)
        factor = tl.load(weight + t, mask=t < tokens, other=0.0)
        scores, is_own = _tile(state, rows, n, num, ids, correction, target_id, first_id, True, listed, corrected)
        share = tl.exp2(scores - log_sum[:, None]) * factor[:, None]
        if not listed:  # the row of the target is among the rows
            share = tl.where(is_own, tl.load(of_target + t, mask=t < tokens, other=0.0)[:, None], share)
        gradient = tl.dot(tl.trans(share).to(state.dtype), state, gradient, input_precision="ieee")
    cell = (split * num + n)[:, None].to(tl.int64) * width + c[None, :]
    tl.store(out + cell, gradient, mask=(n < num)[:, None])


@dataclass(frozen=True)
class Tiles:
    """How the work is cut; the defaults suit a Hopper GPU and D = 128."""

    tokens: int = 64
    negatives: int = 128
    warps: int = 4
    stages: int = 3
    programs: int = 528
    """Programs wanted at least: four a multiprocessor of an H100."""


TILES = Tiles()
"""How the work of every call is cut."""


class KernelLogSum(torch.autograd.Function):
    """(score of each target, log of the sum over the other rows of exp(score)); see `log_sum_of_others`.

    `tracks` is the track of each row, and then the target's score is 0 without a gradient; or the number of special
    rows of a whole table, and then row t is track t.
    """

    @staticmethod
    def forward(
        context: Any, states: Tensor, rows: Tensor, target: Tensor, tracks: Tensor | int, correction: Tensor | None,
        dtype: torch.dtype,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """Return scores of targets and log sums."""
        first = tracks if isinstance(tracks, int) else 0
        work = _Work(TILES, states.to(dtype), rows[first:].to(dtype), target, tracks, correction)
        peaks, sums = work.log_sums()
        peak = peaks.amax(0)
        log_sums = peak + torch.log2((sums * torch.exp2(peaks - peak)).sum(0))
        target_scores = torch.zeros_like(log_sums)
        if isinstance(tracks, int):
            target_scores = (states * rows.index_select(0, target)).sum(1)
        context.save_for_backward(rows, target, log_sums)
        context.work, context.first = work, first
        return target_scores, log_sums * _LN_2

    @staticmethod
    def backward(context: Any, grad_target: Tensor, grad_others: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of what `forward` took."""
        rows, target, log_sums = context.saved_tensors
        work, first = context.work, context.first
        grad_others = grad_others.contiguous()
        of_states, *parts = work.of_states(log_sums, grad_others)
        for part in parts:  # two or three; a sum over so short an axis is slower
            of_states += part
        if not work.listed:
            grad_target = grad_target * (target > 0)
            of_states.addcmul_(grad_target[:, None], rows.index_select(0, target))
        of_rows = rows.new_empty(rows.shape, dtype=torch.float32)
        of_rows[:first] = 0.0
        work.of_rows(log_sums, grad_others, grad_target, of_rows[first:])
        return of_states, of_rows, None, None, None, None, None


@torch.compiler.disable
def kernel_log_sum(
    states: Tensor, rows: Tensor, target: Tensor, tracks: Tensor | int, correction: Tensor | None, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Return `KernelLogSum` of these; the compiler does not look into it."""
    both: tuple[Tensor, Tensor] = KernelLogSum.apply(states, rows, target, tracks, correction, dtype)
    return both


class _Work:
    """The kernels' arguments of one call."""

    def __init__(
        self, tiles: Tiles, states: Tensor, rows: Tensor, target: Tensor, tracks: Tensor | int,
        correction: Tensor | None,
    ) -> None:  # fmt: skip
        self.tiles, self.states, self.rows = tiles, states, rows
        self.target = target.int()  # comparing 64-bit numbers in every cell costs a sixth of the time
        self.listed = isinstance(tracks, Tensor)
        self.ids = tracks.int() if isinstance(tracks, Tensor) else self.target
        self.first_id = 0 if isinstance(tracks, Tensor) else tracks
        self.correction = self.target if correction is None else correction
        self.shape = {
            "width": states.shape[1], "bt": tiles.tokens, "bn": tiles.negatives, "listed": self.listed,
            "corrected": correction is not None, "num_warps": tiles.warps, "num_stages": tiles.stages,
        }  # fmt: skip

    def _splits(self, along: int, tile: int, across: int, across_tile: int) -> tuple[int, int, int]:
        """Return programs along, splits across, and how much of it a split goes through."""
        programs = triton.cdiv(along, tile)
        tiles = triton.cdiv(across, across_tile)
        splits = max(1, min(tiles, self.tiles.programs // programs))
        each = triton.cdiv(tiles, splits) * across_tile
        return programs, triton.cdiv(across, each), each

    def log_sums(self) -> tuple[Tensor, Tensor]:
        """Return (p, s), float32 [splits, N]: the sum over rows of exp(score) is that over splits of s * 2^p."""
        tokens, num = len(self.states), len(self.rows)
        programs, splits, each = self._splits(tokens, self.tiles.tokens, num, self.tiles.negatives)
        peaks = self.states.new_empty((splits, tokens), dtype=torch.float32)
        sums = torch.empty_like(peaks)
        _forward[(programs, splits)](self.states, self.rows, self.target, self.ids, self.correction, peaks, sums,
                                     tokens, num, self.first_id, each, **self.shape)  # fmt: skip
        return peaks, sums

    def of_states(self, log_sums: Tensor, weight: Tensor) -> Tensor:
        """Return the gradient in the states of sum(weight * log_sums), in parts [splits, N, D] to be added up.

        `log_sums` are in units of log 2.
        """
        tokens, num = len(self.states), len(self.rows)
        programs, splits, each = self._splits(tokens, self.tiles.tokens, num, self.tiles.negatives)
        parts = self.states.new_empty((splits, tokens, self.states.shape[1]), dtype=torch.float32)
        _of_states[(programs, splits)](self.states, self.rows, self.target, self.ids, self.correction, log_sums, weight,
                                       parts, tokens, num, self.first_id, each, **self.shape)  # fmt: skip
        return parts

    def of_rows(self, log_sums: Tensor, weight: Tensor, of_target: Tensor, result: Tensor) -> None:
        """Write the gradient in the rows of sum(weight * log_sums + of_target * target scores) to `result` [M, D]."""
        tokens, num = len(self.states), len(self.rows)
        programs, splits, each = self._splits(num, self.tiles.negatives, tokens, self.tiles.tokens)
        parts = result if splits == 1 else result.new_empty((splits, *result.shape))
        _of_rows[(programs, splits)](self.states, self.rows, self.target, self.ids, self.correction, log_sums, weight,
                                     of_target, parts, tokens, num, self.first_id, each, **self.shape)  # fmt: skip
        if splits > 1:
            torch.sum(parts, 0, out=result)
