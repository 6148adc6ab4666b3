"""Adam over the touched rows of a track table, in place and without finding the distinct rows first."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

BETA_1 = tl.constexpr(0.9)
BETA_2 = tl.constexpr(0.999)
EPSILON = tl.constexpr(1e-8)
LOG2_BETA_1 = tl.constexpr(-0.15200309344504995)
LOG2_BETA_2 = tl.constexpr(-0.0014434168696687186)
TAIL = tl.constexpr(256)
"""As in `segue.training.row_adam`, whose rule these kernels follow."""


@triton.jit
def _correction(log2_beta, step):
    """Return 1 - beta ** step."""
    return 1.0 - tl.exp2(step.to(tl.float64) * log2_beta)


@triton.jit
def _brought_up(value, average, square, since, momentum, done, rate):
    """Return a row and its moments after the steps since it was last touched."""
    missed = (done - since).to(tl.float32)
    epsilon = tl.maximum(tl.sqrt(_correction(LOG2_BETA_2, done).to(tl.float32)) * EPSILON, 1e-30)
    moved = rate * tl.load(momentum + since) * average / (tl.sqrt(square) + epsilon)
    return value - moved, average * tl.exp2(missed * LOG2_BETA_1), square * tl.exp2(missed * LOG2_BETA_2)


@triton.jit
def _look_up(table, exp_avg, exp_avg_sq, at, momentum, step, ids, out, rate, width: tl.constexpr):
    i = tl.program_id(0).to(tl.int64)
    row = tl.load(ids + i).to(tl.int64)
    cell = row * width + tl.arange(0, width)
    done = tl.load(step)
    value, _, _ = _brought_up(
        tl.load(table + cell), tl.load(exp_avg + cell), tl.load(exp_avg_sq + cell), tl.load(at + row), momentum, done,
        rate,
    )  # fmt: skip
    tl.store(out + i * width + tl.arange(0, width), value)


@triton.jit
def _sum_grads(ids, order, grads, sums, squares, num, width: tl.constexpr, at_once: tl.constexpr):
    i = tl.program_id(0).to(tl.int64)
    c = tl.arange(0, width)
    row = tl.load(ids + i)
    before = tl.load(ids + i - 1, mask=i > 0, other=0)
    square = 0.0
    if row != before:  # PAD is 0 and sorts first: it is never the head of a run
        total = tl.zeros((width,), tl.float32)
        begin = i
        going = True
        while going:
            j = begin + tl.arange(0, at_once)
            same = (j < num) & (tl.load(ids + j, mask=j < num, other=-1) == row)
            which = tl.load(order + j, mask=same, other=0)
            part = tl.load(grads + which[:, None] * width + c[None, :], mask=same[:, None], other=0.0)
            total += tl.sum(part, 0)
            begin += at_once
            going = tl.sum(same.to(tl.int32), 0) == at_once
        tl.store(sums + i * width + c, total)
        square = tl.sum(total * total, 0)
    tl.store(squares + i, square)


@triton.jit
def _update(table, exp_avg, exp_avg_sq, at, momentum, step, ids, sums, scale, rate, width: tl.constexpr):
    i = tl.program_id(0).to(tl.int64)
    row = tl.load(ids + i).to(tl.int64)
    if row != tl.load(ids + i - 1, mask=i > 0, other=0):
        c = tl.arange(0, width)
        cell = row * width + c
        done = tl.load(step)
        value, average, square = _brought_up(
            tl.load(table + cell), tl.load(exp_avg + cell), tl.load(exp_avg_sq + cell), tl.load(at + row), momentum,
            done, rate,
        )  # fmt: skip
        grad = tl.load(sums + i * width + c) * tl.load(scale)
        average += (grad - average) * (1.0 - BETA_1)
        square = square * BETA_2 + grad * grad * (1.0 - BETA_2)
        of_average = _correction(LOG2_BETA_1, done + 1).to(tl.float32)
        of_square = _correction(LOG2_BETA_2, done + 1).to(tl.float32)
        value -= rate / of_average * average / (tl.sqrt(square / of_square) + EPSILON)
        tl.store(table + cell, value)
        tl.store(exp_avg + cell, average)
        tl.store(exp_avg_sq + cell, square)
        tl.store(at + row, done + 1)


@triton.jit
def _add_heads(ids, sums, out, width: tl.constexpr):
    i = tl.program_id(0).to(tl.int64)
    row = tl.load(ids + i).to(tl.int64)
    if row != tl.load(ids + i - 1, mask=i > 0, other=0):
        c = tl.arange(0, width)
        cell = row * width + c
        tl.store(out + cell, tl.load(out + cell) + tl.load(sums + i * width + c))


@triton.jit
def _advance(momentum, step, tail: tl.constexpr):
    """Add the step just made to the momentum of rows not touched in it, and count it."""
    done = tl.load(step) + 1
    steps = done - 1 - tl.arange(0, tail)
    correction = tl.sqrt(_correction(LOG2_BETA_2, done)) / _correction(LOG2_BETA_1, done)
    decay = tl.exp2((done - steps).to(tl.float64) * (LOG2_BETA_1 - LOG2_BETA_2 / 2))
    before = tl.load(momentum + steps, mask=steps >= 0, other=0.0)
    tl.store(momentum + steps, before + (correction * decay).to(tl.float32), mask=steps >= 0)
    tl.debug_barrier()
    tl.store(step, done)


@dataclass(frozen=True)
class RowState:
    """A table and its Adam state on one CUDA device."""

    table: Tensor
    """float32 [R, D], D a power of two."""
    exp_avg: Tensor
    exp_avg_sq: Tensor
    at: Tensor
    """int32 [R], step each row was last touched in."""
    momentum: Tensor
    """float32, longer than all steps to come."""
    step: Tensor
    """int32 [1], steps made."""
    rate: float


@dataclass(frozen=True)
class Summed:
    """The gradients of one step, added up by row."""

    ids: Tensor
    """int32 [P], ascending."""
    sums: Tensor
    """float32 [P, D]: at the first place of each row; elsewhere undefined."""
    square: Tensor
    """Scalar, the squared 2-norm of all."""


def look_up(state: RowState, ids: Tensor) -> Tensor:
    """Return the rows `ids` (int32 [P], repeats welcome) as dense Adam would hold them, [P, D]."""
    out = state.table.new_empty(len(ids), state.table.shape[1])
    _look_up[(len(ids),)](state.table, state.exp_avg, state.exp_avg_sq, state.at, state.momentum, state.step, ids, out,
                          state.rate, width=state.table.shape[1], num_warps=1)  # fmt: skip
    return out


def sum_grads(ids: Tensor, grads: Tensor) -> Summed:
    """Return the gradients [P, D] of the places `ids` (int32 [P]) added up by row, always in the order of places.

    Row 0 (PAD) takes no part.
    """
    ordered, order = torch.sort(ids, stable=True)
    sums, squares = torch.empty_like(grads), grads.new_empty(len(ids))
    _sum_grads[(len(ids),)](ordered, order, grads, sums, squares, len(ids), width=grads.shape[1], at_once=8,
                            num_warps=1)  # fmt: skip
    return Summed(ordered, sums, squares.sum())


def update(state: RowState, summed: Summed, scale: Tensor) -> None:
    """Make one step of Adam with the gradients times `scale` (scalar tensor), and count it."""
    _update[(len(summed.ids),)](state.table, state.exp_avg, state.exp_avg_sq, state.at, state.momentum, state.step,
                                summed.ids, summed.sums, scale, state.rate, width=state.table.shape[1],
                                num_warps=1)  # fmt: skip
    _advance[(1,)](state.momentum, state.step, tail=TAIL.value, num_warps=4)


def add_to(out: Tensor, summed: Summed) -> None:
    """Add the gradients of one step to `out`, float32 [R, D], by row."""
    _add_heads[(len(summed.ids),)](summed.ids, summed.sums, out, width=out.shape[1], num_warps=1)
