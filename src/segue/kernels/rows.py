"""Adam over the rows of a table that a step reads, on a GPU: in place, and without waiting for the host.

The rule is that of `segue.training.row_adam`: a row's moments decay, and its momentum moves it, also in steps that do
not read it; both are made up for when the row is next read. A step reads P places of the table, in which rows may
repeat. Their number after removing repeats would have to reach the host, so repeats stay:

1. `look_up` copies the row of each place, brought up to date. The table does not change.
2. `sum_grads` sorts the places by row. Places of one row are then neighbours (a *run*), and the program of the run's
   first place adds up their gradients, always in the order of the places.
3. `update` moves each row once, again by the program of its run's first place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

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
"""All as in `segue.training.row_adam`."""


@triton.jit
def _correction(log2_beta, step):
    """Return 1 - beta ** step."""
    return 1.0 - tl.exp2(step.to(tl.float64) * log2_beta)


@triton.jit
def _brought_up(table, exp_avg, exp_avg_sq, at, momentum, step, rate, row, cell):
    """Return a row and its moments as they are after the steps made since it was last touched."""
    value, average, square = tl.load(table + cell), tl.load(exp_avg + cell), tl.load(exp_avg_sq + cell)
    since, done = tl.load(at + row), tl.load(step)
    missed = (done - since).to(tl.float32)
    epsilon = tl.maximum(tl.sqrt(_correction(LOG2_BETA_2, done).to(tl.float32)) * EPSILON, 1e-30)
    moved = rate * tl.load(momentum + since) * average / (tl.sqrt(square) + epsilon)
    return value - moved, average * tl.exp2(missed * LOG2_BETA_1), square * tl.exp2(missed * LOG2_BETA_2)


@triton.jit
def _look_up(table, exp_avg, exp_avg_sq, at, momentum, step, rate, ids, out, width: tl.constexpr):
    """Store the up-to-date row of one place in out [P, width]."""
    i = tl.program_id(0).to(tl.int64)
    row = tl.load(ids + i).to(tl.int64)
    cell = row * width + tl.arange(0, width)
    value, _, _ = _brought_up(table, exp_avg, exp_avg_sq, at, momentum, step, rate, row, cell)
    tl.store(out + i * width + tl.arange(0, width), value)


@triton.jit
def _starts_run(ids, i):
    """Return the row of sorted place i, and whether i is the first place of that row. PAD, 0, starts no run."""
    row = tl.load(ids + i)
    return row, row != tl.load(ids + i - 1, mask=i > 0, other=0)


@triton.jit
def _sum_grads(ids, order, grads, sums, squares, num, width: tl.constexpr, at_once: tl.constexpr):
    """Store the sum of the gradients of one run, and its squared norm (0 at places that start no run)."""
    i = tl.program_id(0).to(tl.int64)
    c = tl.arange(0, width)
    row, is_first = _starts_run(ids, i)
    square = 0.0
    if is_first:
        total = tl.zeros((width,), tl.float32)
        begin = i
        going = True
        while going:
            j = begin + tl.arange(0, at_once)
            same = (j < num) & (tl.load(ids + j, mask=j < num, other=-1) == row)
            source = tl.load(order + j, mask=same, other=0)
            part = tl.load(grads + source[:, None] * width + c[None, :], mask=same[:, None], other=0.0)
            total += tl.sum(part, 0)
            begin += at_once
            going = tl.sum(same.to(tl.int32), 0) == at_once
        tl.store(sums + i * width + c, total)
        square = tl.sum(total * total, 0)
    tl.store(squares + i, square)


@triton.jit
def _update(table, exp_avg, exp_avg_sq, at, momentum, step, rate, ids, sums, scale, width: tl.constexpr):
    """Move the row of one run by Adam."""
    i = tl.program_id(0).to(tl.int64)
    row, is_first = _starts_run(ids, i)
    if is_first:
        c = tl.arange(0, width)
        cell = row.to(tl.int64) * width + c
        done = tl.load(step)
        value, average, square = _brought_up(table, exp_avg, exp_avg_sq, at, momentum, step, rate, row, cell)
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
def _add_sums(ids, sums, out, width: tl.constexpr):
    """Add the sum of one run to its row of `out`."""
    i = tl.program_id(0).to(tl.int64)
    row, is_first = _starts_run(ids, i)
    if is_first:
        c = tl.arange(0, width)
        cell = row.to(tl.int64) * width + c
        tl.store(out + cell, tl.load(out + cell) + tl.load(sums + i * width + c))


@triton.jit
def _add_at(out, index, rows, width: tl.constexpr):
    """Add one row to the row of `out` that its index names, unless it is 0 everywhere."""
    i = tl.program_id(0).to(tl.int64)
    c = tl.arange(0, width)
    row = tl.load(rows + i * width + c)
    if tl.max((row != 0.0).to(tl.int32), 0) > 0:
        cell = tl.load(index + i).to(tl.int64) * width + c
        tl.store(out + cell, tl.load(out + cell) + row)


@triton.jit
def _advance(momentum, step, tail: tl.constexpr):
    """Count the step just made, and add it to the momentum of the rows not touched in it."""
    done = tl.load(step) + 1
    steps = done - 1 - tl.arange(0, tail)
    correction = tl.sqrt(_correction(LOG2_BETA_2, done)) / _correction(LOG2_BETA_1, done)
    decay = tl.exp2((done - steps).to(tl.float64) * (LOG2_BETA_1 - LOG2_BETA_2 / 2))
    before = tl.load(momentum + steps, mask=steps >= 0, other=0.0)
    tl.store(momentum + steps, before + (correction * decay).to(tl.float32), mask=steps >= 0)
    tl.debug_barrier()
    tl.store(step, done)


class RowState(NamedTuple):
    """A table and its Adam state on one CUDA device, in the order in which the kernels take them."""

    table: Tensor
    """float32 [R, D], D a power of two."""
    exp_avg: Tensor
    exp_avg_sq: Tensor
    at: Tensor
    """int32 [R], the step in which each row was last touched."""
    momentum: Tensor
    """float32 [number of steps, with room for those to come]; see `segue.training.row_adam`."""
    step: Tensor
    """int32 [1], number of steps made."""
    rate: float
    """Learning rate."""


@dataclass(frozen=True)
class Summed:
    """The gradients of one step, added up by row."""

    ids: Tensor
    """int32 [P], the row of each place, ascending."""
    sums: Tensor
    """float32 [P, D]: the sum at the first place of each row; undefined elsewhere."""
    square: Tensor
    """Squared 2-norm of all sums, scalar."""


def look_up(state: RowState, ids: Tensor) -> Tensor:
    """Return the rows `ids` (int32 [P], repeats allowed) as dense Adam would have them, [P, D]."""
    width = state.table.shape[1]
    out = state.table.new_empty(len(ids), width)
    _look_up[(len(ids),)](*state, ids, out, width=width, num_warps=1)
    return out


def sum_grads(ids: Tensor, grads: Tensor) -> Summed:
    """Return the gradients [P, D] of the places `ids` (int32 [P]) added up by row, always in the order of places.

    Row 0 (PAD) is left out.
    """
    ordered, order = torch.sort(ids, stable=True)
    sums, squares = torch.empty_like(grads), grads.new_empty(len(ids))
    _sum_grads[(len(ids),)](ordered, order, grads, sums, squares, len(ids), width=grads.shape[1], at_once=8,
                            num_warps=1)  # fmt: skip
    return Summed(ordered, sums, squares.sum())


def update(state: RowState, summed: Summed, scale: Tensor) -> None:
    """Make one step of Adam with the gradients times `scale` (scalar tensor), and count it."""
    _update[(len(summed.ids),)](*state, summed.ids, summed.sums, scale, width=state.table.shape[1], num_warps=1)
    _advance[(1,)](state.momentum, state.step, tail=TAIL.value, num_warps=4)


def add_to(out: Tensor, summed: Summed) -> None:
    """Add the gradients of one step to `out`, float32 [R, D], by row."""
    _add_sums[(len(summed.ids),)](summed.ids, summed.sums, out, width=out.shape[1], num_warps=1)


def add_at(out: Tensor, index: Tensor, rows: Tensor) -> None:
    """Add `rows` [n, D] to the rows `index` [n] of `out`, float32 [P, D].

    Indices may repeat only where at most one of their rows is not 0 everywhere: nothing is locked.
    """
    _add_at[(len(index),)](out, index, rows.contiguous(), width=out.shape[1], num_warps=1)
