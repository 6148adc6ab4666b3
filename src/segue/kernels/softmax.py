"""The next-track softmax without its logits: scores are made tile by tile, forward and again backward.

The same kernels serve sampled negatives and the whole vocabulary: the full softmax is one whose negatives are all
tracks but the target. Products are bf16 with float32 sums; sums over tiles are float32 and in a fixed order.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from segue.objectives.packed import Known, Negatives, Targets

LOG2_E = tl.constexpr(1.4426950408889634)
NOTHING = tl.constexpr(-1e30)
"""Stands for the score of what is left out: finite, so that a row without negatives stays a number."""


@triton.jit
def _tile(x, w, n, num, ids, correction, target, first_id, own: tl.constexpr, listed: tl.constexpr,
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
    own = tl.load(target + t, mask=t < tokens, other=0)
    peak = tl.full((bt,), NOTHING, tl.float32)
    whole = tl.zeros((bt,), tl.float32)
    for begin in range(split * per_split, tl.minimum((split + 1) * per_split, num), bn):
        n = begin + tl.arange(0, bn)
        rows = tl.load(w + n[:, None].to(tl.int64) * width + c[None, :], mask=(n < num)[:, None], other=0.0)
        scores, _ = _tile(state, rows, n, num, ids, correction, own, first_id, False, listed, corrected)
        higher = tl.maximum(peak, tl.max(scores, 1))
        whole = whole * tl.exp2(peak - higher) + tl.sum(tl.exp2(scores - higher[:, None]), 1)
        peak = higher
    tl.store(peaks + split * tokens + t, peak, mask=t < tokens)
    tl.store(sums + split * tokens + t, whole, mask=t < tokens)


@triton.jit
def _of_states(x, w, target, ids, correction, whole, out, tokens, num, first_id, per_split, least,
               width: tl.constexpr, bt: tl.constexpr, bn: tl.constexpr, listed: tl.constexpr,
               corrected: tl.constexpr, skip: tl.constexpr):  # fmt: skip
    t = tl.program_id(0) * bt + tl.arange(0, bt)
    split = tl.program_id(1)
    c = tl.arange(0, width)
    state = tl.load(x + t[:, None] * width + c[None, :], mask=(t < tokens)[:, None], other=0.0)
    own = tl.load(target + t, mask=t < tokens, other=0)
    log_whole = tl.load(whole + t, mask=t < tokens, other=0.0)
    gradient = tl.zeros((bt, width), tl.float32)
    for begin in range(split * per_split, tl.minimum((split + 1) * per_split, num), bn):
        n = begin + tl.arange(0, bn)
        rows = tl.load(w + n[:, None].to(tl.int64) * width + c[None, :], mask=(n < num)[:, None], other=0.0)
        scores, _ = _tile(state, rows, n, num, ids, correction, own, first_id, False, listed, corrected)
        share = tl.exp2(scores - log_whole[:, None])
        if skip:
            if tl.max(share) >= least:
                gradient = tl.dot(share.to(rows.dtype), rows, gradient, input_precision="ieee")
        else:
            gradient = tl.dot(share.to(rows.dtype), rows, gradient, input_precision="ieee")
    cell = (split * tokens + t)[:, None].to(tl.int64) * width + c[None, :]
    tl.store(out + cell, gradient, mask=(t < tokens)[:, None])


@triton.jit
def _of_rows(x, w, target, ids, correction, whole, missing, factor, out, tokens, num, first_id, per_split,
             least,
             width: tl.constexpr, bt: tl.constexpr, bn: tl.constexpr, listed: tl.constexpr,
             corrected: tl.constexpr, skip: tl.constexpr):  # fmt: skip
    n = tl.program_id(0) * bn + tl.arange(0, bn)
    split = tl.program_id(1)
    c = tl.arange(0, width)
    rows = tl.load(w + n[:, None].to(tl.int64) * width + c[None, :], mask=(n < num)[:, None], other=0.0)
    gradient = tl.zeros((bn, width), tl.float32)
    for begin in range(split * per_split, tl.minimum((split + 1) * per_split, tokens), bt):
        t = begin + tl.arange(0, bt)
        state = tl.load(x + t[:, None] * width + c[None, :], mask=(t < tokens)[:, None], other=0.0)
        own = tl.load(target + t, mask=t < tokens, other=0)
        log_whole = tl.load(whole + t, mask=t < tokens, other=0.0)
        scores, is_own = _tile(state, rows, n, num, ids, correction, own, first_id, True, listed, corrected)
        share = tl.exp2(scores - log_whole[:, None])
        share = tl.where((own > 0)[:, None], share, 0.0)
        if not listed:  # the target's own row stands in the table too: p - 1
            share = tl.where(is_own, -tl.load(missing + t, mask=t < tokens, other=0.0)[:, None], share)
        if skip:
            if tl.max(tl.abs(share)) >= least:
                gradient = tl.dot(tl.trans(share).to(state.dtype), state, gradient, input_precision="ieee")
        else:
            gradient = tl.dot(tl.trans(share).to(state.dtype), state, gradient, input_precision="ieee")
    cell = (split * num + n)[:, None].to(tl.int64) * width + c[None, :]
    tl.store(out + cell, gradient * tl.load(factor), mask=(n < num)[:, None])


@triton.jit
def _log_sum(peak, total, peaks, sums, splits, tokens, t):
    """Return log2 of total * 2^peak and the sum over splits of what they found, for tokens t."""
    for split in range(splits):
        other = tl.load(peaks + split * tokens + t, mask=t < tokens, other=NOTHING)
        part = tl.load(sums + split * tokens + t, mask=t < tokens, other=0.0)
        higher = tl.maximum(peak, other)
        total = total * tl.exp2(peak - higher) + part * tl.exp2(other - higher)
        peak = higher
    return peak + tl.log2(total)


@triton.jit
def _surprise(states, rows, place, target, peaks, sums, splits, losses, whole, missing, of_target, of_all, of_gate,
              tokens, width: tl.constexpr, bt: tl.constexpr, known: tl.constexpr, flow: tl.constexpr,
              alone: tl.constexpr):  # fmt: skip
    """Store each target's loss, log2 of its softmax's denominator, and what its own share lacks of 1.

    Where masses are known, what it lacks of its part of (own + known), and the gradient in their gate. `flow` and
    `alone` weigh the gradients in the scores of that softmax, and of the one of the scores alone, whose sum is kept
    as one denominator.
    """
    t = tl.program_id(0) * bt + tl.arange(0, bt)
    c = tl.arange(0, width)
    inside = t < tokens
    real = inside & (tl.load(target + t, mask=inside, other=0) > 0)
    where = tl.load(place + t, mask=real, other=0)
    state = tl.load(states + t[:, None] * width + c[None, :], mask=real[:, None], other=0.0)
    row = tl.load(rows + where[:, None] * width + c[None, :], mask=real[:, None], other=0.0)
    own = tl.sum(state * row, 1) * LOG2_E
    peak = own
    total = tl.full((bt,), 1.0, tl.float32)
    top = own
    if known:
        mass = tl.load(of_target + t, mask=inside, other=NOTHING) * LOG2_E
        beside = tl.load(of_all + t, mask=inside, other=NOTHING) * LOG2_E
        peak = tl.maximum(own, beside)
        total = tl.exp2(own - peak) + tl.exp2(beside - peak)
        best = tl.maximum(own, mass)
        top = best + tl.log2(tl.exp2(own - best) + tl.exp2(mass - best))
    log_whole = _log_sum(peak, total, peaks, sums, splits, tokens, t)
    loss = log_whole - top
    log_own = log_whole
    if known:
        log_own = _log_sum(own, tl.full((bt,), 1.0, tl.float32), peaks, sums, splits, tokens, t)
    # where the target has nearly everything, 1 - its share keeps its digits only as the others' sum
    others = tl.zeros((bt,), tl.float32)
    for split in range(splits):
        other = tl.load(peaks + split * tokens + t, mask=inside, other=NOTHING)
        part = tl.load(sums + split * tokens + t, mask=inside, other=0.0)
        others += part * tl.exp2(other - log_own)
    if known:
        loss += alone * (log_own - own)
        others = alone * others + flow * (tl.exp2(own - top) - tl.exp2(own - log_whole))
        gate = tl.exp2(beside - log_whole) - tl.exp2(mass - top)
        tl.store(of_gate + t, tl.where(real, gate, 0.0), mask=inside)
        least = tl.minimum(log_whole, log_own)
        log_whole = least - tl.log2(flow * tl.exp2(least - log_whole) + alone * tl.exp2(least - log_own))
    tl.store(losses + t, tl.where(real, loss / LOG2_E, 0.0), mask=inside)
    tl.store(whole + t, log_whole, mask=inside)
    tl.store(missing + t, tl.where(real, others, 0.0), mask=inside)


@triton.jit
def _finish(states, rows, place, target, missing, share, parts, splits, of_states, into, tokens, width: tl.constexpr,
            bt: tl.constexpr, listed: tl.constexpr):  # fmt: skip
    """Store the gradient in each state, and add that in its target's row where it lies."""
    t = tl.program_id(0) * bt + tl.arange(0, bt)
    c = tl.arange(0, width)
    inside = t < tokens
    real = inside & (tl.load(target + t, mask=inside, other=0) > 0)
    where = tl.load(place + t, mask=real, other=0)
    cell, at = t[:, None] * width + c[None, :], where[:, None] * width + c[None, :]
    gradient = tl.zeros((bt, width), tl.float32)
    for split in range(splits):
        gradient += tl.load(parts + split * tokens * width + cell, mask=real[:, None], other=0.0)
    scale = tl.load(share)
    pull = tl.load(missing + t, mask=real, other=0.0)[:, None] * scale
    row = tl.load(rows + at, mask=real[:, None], other=0.0)
    tl.store(of_states + cell, gradient * scale - pull * row, mask=inside[:, None])
    if listed:  # places are distinct: nobody else adds there
        state = tl.load(states + cell, mask=real[:, None], other=0.0)
        tl.store(into + at, tl.load(into + at, mask=real[:, None], other=0.0) - pull * state, mask=real[:, None])


@dataclass(frozen=True)
class Tiles:
    """How the work is cut; the defaults suit a Hopper GPU and D = 128."""

    tokens: int = 64
    negatives: int = 128
    warps: int = 4
    stages: int = 3
    programs: int = 528
    """Programs wanted at least: four a multiprocessor of an H100."""


class PackedSoftmax:
    """-log softmax of each target against M rows, copies of the target left out, summed over tiles."""

    def __init__(self, tiles: Tiles | None = None, least: float = 0.0, dtype: torch.dtype = torch.bfloat16) -> None:
        """`dtype`: what states and rows are rounded to for the products.

        `least`: tiles in which every share of the softmax is smaller add nothing to the gradients (0: all add).
        What is left out of one token's gradient has at most a mass of M * least.
        """
        self._tiles, self._least, self._dtype = tiles or Tiles(), least, dtype

    def __call__(
        self, states: Tensor, targets: Targets, negatives: Negatives, into: Tensor, scale: float = 1.0,
        known: Known | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        """Return the mean loss over the targets (0 without any), and its gradients in states and negatives.

        Args:
            states: y_hat, float32 [T, D], D a power of two from 16 to 256.
            targets: what they should predict.
            negatives: what with.
            into: float32 [P, D]; the gradients in the targets' rows are added to it. The full softmax leaves it
                alone: they are in the gradient of the negatives.
            scale: of the gradients.
            known: a distribution mixed in; its gradient is written.
        """
        work = _Work(self._tiles, self._least, states.to(self._dtype), negatives.rows.to(self._dtype), targets.ids,
                     negatives)  # fmt: skip
        count = (targets.ids > 0).sum().clamp(min=1)
        share = scale / count
        tokens, width = states.shape
        losses, whole, missing = (states.new_empty(tokens) for _ in range(3))
        grid, shape = (triton.cdiv(tokens, 16),), {"width": width, "bt": 16, "num_warps": 4}
        peaks, sums = work.log_sums()
        masses = (losses, losses, losses) if known is None else (known.target, known.whole, known.gradient)
        _surprise[grid](states, targets.rows, targets.place, targets.ids, peaks, sums, len(peaks), losses, whole,
                        missing, *masses, tokens, known=known is not None, flow=1.0 if known is None else known.flow,
                        alone=0.0 if known is None else known.own, **shape)  # fmt: skip
        if known is not None:
            known.gradient.mul_(share)
        parts = work.of_states(whole)
        of_states = torch.empty_like(states)
        _finish[grid](states, targets.rows, targets.place, targets.ids, missing, share, parts, len(parts), of_states,
                      into, tokens, listed=work.listed, **shape)  # fmt: skip
        return losses.sum() / count, of_states, work.of_rows(whole, missing, share, negatives.gradient)


class _Work:
    """The kernels' arguments of one call."""

    def __init__(self, tiles: Tiles, least: float, states: Tensor, rows: Tensor, target: Tensor,
                 negatives: Negatives) -> None:  # fmt: skip
        ids, correction = negatives.ids, negatives.correction
        self.tiles, self.least, self.states, self.rows, self.target = tiles, least, states, rows, target
        self.listed = isinstance(ids, Tensor)
        self.ids = ids if isinstance(ids, Tensor) else target
        self.first_id = 0 if isinstance(ids, Tensor) else ids
        self.correction = target if correction is None else correction
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
        """Return (p, s), float32 [splits, T]: the sum over negatives of exp(score) is that over splits of s * 2^p."""
        tokens, num = len(self.states), len(self.rows)
        programs, splits, each = self._splits(tokens, self.tiles.tokens, num, self.tiles.negatives)
        peaks = self.states.new_empty((splits, tokens), dtype=torch.float32)
        sums = torch.empty_like(peaks)
        _forward[(programs, splits)](self.states, self.rows, self.target, self.ids, self.correction, peaks, sums,
                                     tokens, num, self.first_id, each, **self.shape)  # fmt: skip
        return peaks, sums

    def of_states(self, whole: Tensor) -> Tensor:
        """Return the sum over negatives of share * row, in parts [splits, T, D] to be added up.

        `whole` is log2 of the softmax's denominator.
        """
        tokens, num = len(self.states), len(self.rows)
        programs, splits, each = self._splits(tokens, self.tiles.tokens, num, self.tiles.negatives)
        out = self.states.new_empty((splits, tokens, self.states.shape[1]), dtype=torch.float32)
        _of_states[(programs, splits)](self.states, self.rows, self.target, self.ids, self.correction, whole, out,
                                       tokens, num, self.first_id, each, self.least, skip=self.least > 0,
                                       **self.shape)  # fmt: skip
        return out

    def of_rows(self, whole: Tensor, missing: Tensor, factor: Tensor, out: Tensor | None) -> Tensor:
        """Return `factor` times the sum over tokens of share * state, float32 [M, D], in `out` where given."""
        tokens, num = len(self.states), len(self.rows)
        programs, splits, each = self._splits(num, self.tiles.negatives, tokens, self.tiles.tokens)
        whole_rows = self.rows.new_empty(self.rows.shape, dtype=torch.float32) if out is None else out
        parts = whole_rows if splits == 1 else whole_rows.new_empty((splits, *whole_rows.shape))
        _of_rows[(programs, splits)](self.states, self.rows, self.target, self.ids, self.correction, whole, missing,
                                     factor, parts, tokens, num, self.first_id, each, self.least, skip=self.least > 0,
                                     **self.shape)  # fmt: skip
        return parts if splits == 1 else torch.sum(parts, 0, out=whole_rows)
