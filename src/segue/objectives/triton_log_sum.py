"""The log of the sum of exp(score) over many rows, on a GPU: scores are computed tile by tile and never stored.

With N states X [N, D] and M rows W [M, D], the scores X W^T are an [N, M] matrix. A program of a kernel keeps one tile
of X (or of W) in fast memory, walks along the tiles of the other, and reduces each tile of scores as soon as it is
multiplied (as FlashAttention does; Dao et al. 2022). Only N log sums are saved for the backward pass, where the scores
are multiplied again. With p[n, m] = exp(score[n, m] - log_sum[n]) and the gradient g[n] of log_sum[n],

    gradient of X = diag(g) p W  (`_of_states`),    gradient of W = p^T diag(g) X  (`_of_rows`).

Where there are too few tiles to fill the GPU, the walk is split among several programs, whose partial results are added
up afterwards in a fixed order. Scores are kept in units of log 2, because exp2 is one instruction. Products are rounded
to the type of autocast; sums are float32. The same kernels serve sampled negatives and the whole table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

LOG2_E = tl.constexpr(1.4426950408889634)
NOTHING = tl.constexpr(-1e30)
"""The score of what is left out: finite, so that a state without any row still gives a number."""


@triton.jit
def _tile(x, w, n, num, ids, correction, target, first_id, target_id: tl.constexpr, listed: tl.constexpr,
          corrected: tl.constexpr):  # fmt: skip
    """Return one tile of scores [states, rows] in units of log 2, and where a row is the state's own target.

    `n`: numbers of the rows. Rows of the target and rows past the end get NOTHING. `listed`: the track of row n is
    ids[n], else n + first_id.
    """
    scores = tl.dot(x, tl.trans(w), input_precision="ieee")
    if corrected:
        scores += tl.load(correction + n, mask=n < num, other=0.0)[None, :]
    if listed:
        track = tl.load(ids + n, mask=n < num, other=-1)
    else:
        track = n + first_id
    is_own = track[None, :] == target[:, None]
    left_out = is_own | (n >= num)[None, :]
    return tl.where(left_out, NOTHING, scores * LOG2_E), is_own & (n < num)[None, :]


@triton.jit
def _forward(x, w, target, ids, correction, peaks, sums, tokens, num, first_id, per_split,
             width: tl.constexpr, bt: tl.constexpr, bn: tl.constexpr, listed: tl.constexpr,
             corrected: tl.constexpr):  # fmt: skip
    """Store the largest score and the sum of exp2(score - largest) of `bt` states over `per_split` rows.

    The sum is kept relative to the largest score so far and rescaled when a larger one appears.
    """
    t = tl.program_id(0) * bt + tl.arange(0, bt)
    split = tl.program_id(1)
    c = tl.arange(0, width)
    state = tl.load(x + t[:, None] * width + c[None, :], mask=(t < tokens)[:, None], other=0.0)
    target_id = tl.load(target + t, mask=t < tokens, other=0)
    peak = tl.full((bt,), NOTHING, tl.float32)
    total = tl.zeros((bt,), tl.float32)
    for begin in range(split * per_split, tl.minimum((split + 1) * per_split, num), bn):
        n = begin + tl.arange(0, bn)
        rows = tl.load(w + n[:, None].to(tl.int64) * width + c[None, :], mask=(n < num)[:, None], other=0.0)
        scores, _ = _tile(state, rows, n, num, ids, correction, target_id, first_id, False, listed, corrected)
        higher = tl.maximum(peak, tl.max(scores, 1))
        total = total * tl.exp2(peak - higher) + tl.sum(tl.exp2(scores - higher[:, None]), 1)
        peak = higher
    tl.store(peaks + split * tokens + t, peak, mask=t < tokens)
    tl.store(sums + split * tokens + t, total, mask=t < tokens)


@triton.jit
def _of_states(x, w, target, ids, correction, log_sums, weight, out, tokens, num, first_id, per_split,
               width: tl.constexpr, bt: tl.constexpr, bn: tl.constexpr, listed: tl.constexpr,
               corrected: tl.constexpr):  # fmt: skip
    """Store weight * sum of share * row over `per_split` rows for `bt` states, [bt, width] of out [splits, N, D]."""
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
    """Store the sum of weight * share * state over `per_split` states for `bn` rows, in out [splits, M, D].

    In a whole table the row of the target gets of_target * state instead: the gradient of the target's score.
    """
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
        if not listed:
            share = tl.where(is_own, tl.load(of_target + t, mask=t < tokens, other=0.0)[:, None], share)
        gradient = tl.dot(tl.trans(share).to(state.dtype), state, gradient, input_precision="ieee")
    cell = (split * num + n)[:, None].to(tl.int64) * width + c[None, :]
    tl.store(out + cell, gradient, mask=(n < num)[:, None])


@triton.jit
def _finish_forward(peaks, sums, states, rows, target, log_sums, natural, scores, splits, tokens, width: tl.constexpr,
                    bt: tl.constexpr, scored: tl.constexpr, listed: tl.constexpr):  # fmt: skip
    """Store the log sums of `bt` states over all splits, in units of log 2 and of log e, and the targets' scores.

    `listed`: row t belongs to the target of state t, else row target[t].
    """
    t = tl.program_id(0) * bt + tl.arange(0, bt)
    inside = t < tokens
    peak = tl.full((bt,), NOTHING, tl.float32)
    total = tl.zeros((bt,), tl.float32)
    for split in range(splits):
        other = tl.load(peaks + split * tokens + t, mask=inside, other=NOTHING)
        higher = tl.maximum(peak, other)
        part = tl.load(sums + split * tokens + t, mask=inside, other=1.0)
        total = total * tl.exp2(peak - higher) + part * tl.exp2(other - higher)
        peak = higher
    log_sum = peak + tl.log2(total)
    tl.store(log_sums + t, log_sum, mask=inside)
    tl.store(natural + t, log_sum / LOG2_E, mask=inside)
    if scored:
        at = t if listed else tl.load(target + t, mask=inside, other=0)
        c = tl.arange(0, width)
        state = tl.load(states + t[:, None].to(tl.int64) * width + c[None, :], mask=inside[:, None], other=0.0)
        row = tl.load(rows + at[:, None].to(tl.int64) * width + c[None, :], mask=inside[:, None], other=0.0)
        tl.store(scores + t, tl.sum(state * row, 1), mask=inside)


@triton.jit
def _finish_backward(parts, states, rows, target, of_target, of_states, of_rows, splits, tokens, width: tl.constexpr,
                     bt: tl.constexpr, scored: tl.constexpr, listed: tl.constexpr):  # fmt: skip
    """Store the gradient of `bt` states: the sum of its parts, and of_target * row of the target.

    `listed`: the gradients of_target * state of the targets' rows are stored too. In a whole table `_of_rows` has them.
    """
    t = tl.program_id(0) * bt + tl.arange(0, bt)
    inside = t < tokens
    c = tl.arange(0, width)
    cell = t[:, None].to(tl.int64) * width + c[None, :]
    gradient = tl.zeros((bt, width), tl.float32)
    for split in range(splits):
        gradient += tl.load(parts + split * tokens * width + cell, mask=inside[:, None], other=0.0)
    if scored:
        track = tl.load(target + t, mask=inside, other=0)
        factor = tl.where(track > 0, tl.load(of_target + t, mask=inside, other=0.0), 0.0)[:, None]
        at = t if listed else track
        row = tl.load(rows + at[:, None].to(tl.int64) * width + c[None, :], mask=inside[:, None], other=0.0)
        gradient += factor * row
        if listed:
            state = tl.load(states + cell, mask=inside[:, None], other=0.0)
            tl.store(of_rows + cell, factor * state, mask=inside[:, None])
    tl.store(of_states + cell, gradient, mask=inside[:, None])


@dataclass(frozen=True)
class Tiles:
    """How the work is divided; the defaults suit a Hopper GPU and D = 128."""

    tokens: int = 64
    """States of a tile."""
    negatives: int = 128
    """Rows of a tile."""
    warps: int = 4
    stages: int = 3
    """Tiles that are loaded ahead."""
    programs: int = 528
    """The walk is split until there are about so many programs: four for each multiprocessor of an H100."""


TILES = Tiles()
"""How every call is divided."""
_FINISHED = 16
"""States of a program that combines the results of several splits."""


Compared = tuple[Tensor | int, Tensor | None]
"""The track of each row, or the number of special rows of a whole table; and the correction of each row."""


class KernelLogSum(torch.autograd.Function):
    """(score of each target, log of the sum over the other rows of exp(score)); see `log_sum_of_others`.

    `compared` = (tracks, correction). `tracks` is the track of each row, and then `target_rows` are the rows of the
    targets (None: their scores are 0); or it is the number of special rows of a whole table, and then row t is track t.
    """

    @staticmethod
    def forward(
        context: Any, states: Tensor, rows: Tensor, target: Tensor, compared: Compared, dtype: torch.dtype,
        target_rows: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """Return scores of targets and log sums, float32 [N] each."""
        tracks, correction = compared
        first = tracks if isinstance(tracks, int) else 0
        work = _Work(states.to(dtype), rows[first:].to(dtype), target, tracks, correction)
        peaks, sums = work.log_sums()
        states = states.contiguous()
        scored, read = not (work.listed and target_rows is None), target_rows if work.listed else rows.contiguous()
        read = states if read is None else read.contiguous()
        log_sums, natural = torch.empty_like(peaks[0]), torch.empty_like(peaks[0])
        target_scores = torch.empty_like(natural) if scored else torch.zeros_like(natural)
        _finish_forward[(triton.cdiv(len(states), _FINISHED),)](
            peaks, sums, states, read, work.inputs[2], log_sums, natural, target_scores, len(peaks), len(states),
            width=states.shape[1], bt=_FINISHED, scored=scored, listed=work.listed,
        )  # fmt: skip
        context.save_for_backward(states, rows, read, log_sums)
        context.work, context.first, context.scored = work, first, scored
        return target_scores, natural

    @staticmethod
    def backward(context: Any, grad_target: Tensor, grad_log_sums: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients in states and rows."""
        states, rows, read, log_sums = context.saved_tensors
        work, first, scored = context.work, context.first, context.scored
        grad_target, grad_log_sums = grad_target.contiguous(), grad_log_sums.contiguous()
        parts = work.of_states(log_sums, grad_log_sums)
        of_states = torch.empty_like(states)
        of_target_rows = torch.empty_like(states) if scored and work.listed else None
        _finish_backward[(triton.cdiv(len(states), _FINISHED),)](
            parts, states, read, work.inputs[2], grad_target, of_states,
            of_states if of_target_rows is None else of_target_rows, len(parts), len(states),
            width=states.shape[1], bt=_FINISHED, scored=scored, listed=work.listed,
        )  # fmt: skip
        of_rows = rows.new_empty(rows.shape, dtype=torch.float32)
        of_rows[:first] = 0.0
        work.of_rows(log_sums, grad_log_sums, grad_target, of_rows[first:])
        return of_states, of_rows, None, None, None, of_target_rows


@torch.compiler.disable
def kernel_log_sum(
    states: Tensor, rows: Tensor, target: Tensor, compared: Compared, dtype: torch.dtype,
    target_rows: Tensor | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Return `KernelLogSum` of the arguments; torch.compile leaves it as it is."""
    both: tuple[Tensor, Tensor] = KernelLogSum.apply(states, rows, target, compared, dtype, target_rows)
    return both


class _Work:
    """The kernel arguments that one call's forward and backward pass share."""

    def __init__(
        self, states: Tensor, rows: Tensor, target: Tensor, tracks: Tensor | int, correction: Tensor | None
    ) -> None:
        target = target.int()  # comparing 64-bit numbers in every cell costs a sixth of the time
        self.listed = isinstance(tracks, Tensor)
        ids, first_id = (tracks.int(), 0) if isinstance(tracks, Tensor) else (target, tracks)
        self.inputs = (states, rows, target, ids, target if correction is None else correction)
        self.sizes = (len(states), len(rows), first_id)
        self.constants = {
            "width": states.shape[1], "bt": TILES.tokens, "bn": TILES.negatives, "listed": self.listed,
            "corrected": correction is not None, "num_warps": TILES.warps, "num_stages": TILES.stages,
        }  # fmt: skip

    def log_sums(self) -> tuple[Tensor, Tensor]:
        """Return (p, s), float32 [splits, N]: the sum over rows of exp(score) is the sum over splits of s * 2^p."""
        states, rows = self.inputs[:2]
        grid, per_split = _divided(len(states), TILES.tokens, len(rows), TILES.negatives)
        peaks = states.new_empty((grid[1], len(states)), dtype=torch.float32)
        sums = torch.empty_like(peaks)
        _forward[grid](*self.inputs, peaks, sums, *self.sizes, per_split, **self.constants)
        return peaks, sums

    def of_states(self, log_sums: Tensor, weight: Tensor) -> Tensor:
        """Return the gradient in the states of sum(weight * log_sums), in parts [splits, N, D] to be added up.

        `log_sums` are in units of log 2.
        """
        states, rows = self.inputs[:2]
        grid, per_split = _divided(len(states), TILES.tokens, len(rows), TILES.negatives)
        parts = states.new_empty((grid[1], *states.shape), dtype=torch.float32)
        _of_states[grid](*self.inputs, log_sums, weight, parts, *self.sizes, per_split, **self.constants)
        return parts

    def of_rows(self, log_sums: Tensor, weight: Tensor, of_target: Tensor, result: Tensor) -> None:
        """Write the gradient in the rows of sum(weight * log_sums + of_target * target scores) to `result` [M, D]."""
        states, rows = self.inputs[:2]
        grid, per_split = _divided(len(rows), TILES.negatives, len(states), TILES.tokens)
        parts = result if grid[1] == 1 else result.new_empty((grid[1], *result.shape))
        _of_rows[grid](*self.inputs, log_sums, weight, of_target, parts, *self.sizes, per_split, **self.constants)
        if grid[1] > 1:
            torch.sum(parts, 0, out=result)


def _divided(size: int, tile: int, walked: int, walked_tile: int) -> tuple[tuple[int, int], int]:
    """Return the grid (tiles of `size`, splits of the walk along `walked`), and how much of the walk a split takes."""
    programs = triton.cdiv(size, tile)
    tiles = triton.cdiv(walked, walked_tile)
    splits = max(1, min(tiles, TILES.programs // programs))
    per_split = triton.cdiv(tiles, splits) * walked_tile
    return (programs, triton.cdiv(walked, per_split)), per_split
