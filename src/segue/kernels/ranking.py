"""Two parts of ranking on a GPU, each in one pass over its input: exact scores of some tracks, and counts of scores.

`dots` multiplies each state by the rows of its own list of tracks. `count` compares fast, inexact scores of all tracks
with an interval around the exact score of a target: scores above it rank higher, and only chunks with a score inside it
must be scored exactly.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from segue.axes import Bool, Float, Int

_TRACKS = 32
"""Tracks of a session that one program scores."""
_CHUNKS = 16
"""Chunks of a session that one program counts."""


@triton.jit
def _dots(weight, state, tracks, out, each, width, columns: tl.constexpr, per_program: tl.constexpr):
    """Store the dot products of a session's state and `per_program` of its tracks, summed in float64."""
    session = tl.program_id(0).to(tl.int64)
    cell = tl.program_id(1) * per_program + tl.arange(0, per_program)
    column = tl.arange(0, columns)
    inside = column < width
    row = tl.load(tracks + session * each + cell, mask=cell < each, other=0).to(tl.int64)
    session_state = tl.load(state + session * width + column, mask=inside, other=0.0).to(tl.float64)
    rows = tl.load(weight + row[:, None] * width + column[None, :], mask=inside[None, :], other=0.0).to(tl.float64)
    scores = tl.sum(rows * session_state[None, :], 1)
    tl.store(out + session * each + cell, scores.to(tl.float32), mask=cell < each)


def dots(weight: Float[Tensor, "R D"], state: Float[Tensor, "B D"], tracks: Int[Tensor, "B K"]) -> Float[Tensor, "B K"]:
    """Return the dot product of each state and the rows of `tracks` in `weight`, float32; as `segue.ranking.dots`."""
    (num, each), width = tracks.shape, weight.shape[1]
    scores = torch.empty(num, each, dtype=torch.float32, device=weight.device)
    if scores.numel():
        shape: dict[str, Any] = {"columns": triton.next_power_of_2(width), "per_program": _TRACKS}
        grid = (num, triton.cdiv(each, _TRACKS))
        _dots[grid](weight, state.float().contiguous(), tracks.contiguous(), scores, each, width, **shape)
    return scores


@triton.jit
def _count(scores, low, high, above, undecided, most, num_chunks, per_program: tl.constexpr, chunk: tl.constexpr,
           chunks: tl.constexpr):  # fmt: skip
    """Count the scores of `chunks` chunks of a session that lie above the intervals of its targets.

    A chunk with a NaN has the largest score NaN.
    """
    session = tl.program_id(0).to(tl.int64)
    which = tl.program_id(1) * chunks + tl.arange(0, chunks)
    real = which < num_chunks
    cell = (session * num_chunks + which)[:, None] * chunk + tl.arange(0, chunk)[None, :]
    cells = tl.load(scores + cell, mask=real[:, None], other=-float("inf"))
    has_nan = tl.max((cells != cells).to(tl.int32), 1) > 0
    largest = tl.max(tl.where(cells != cells, -float("inf"), cells), 1)
    tl.store(most + session * num_chunks + which, tl.where(has_nan, float("nan"), largest), mask=real)
    has_undecided = tl.zeros((chunks,), tl.int32)
    for t in tl.static_range(per_program):
        top = tl.load(high + session * per_program + t)
        bottom = tl.load(low + session * per_program + t)
        within = cells <= top
        not_above = tl.sum(within.to(tl.int32), 1)
        below = tl.sum((cells < bottom).to(tl.int32), 1)
        has_undecided = has_undecided | (not_above > below).to(tl.int32)
        num = tl.sum(tl.where(real, chunk - not_above, 0), 0)
        tl.atomic_add(above + session * per_program + t, num.to(tl.int64))
    tl.store(undecided + session * num_chunks + which, has_undecided.to(tl.int8), mask=real)


def count(
    chunks: Float[Tensor, "B C W"], low: Float[Tensor, "B T"], high: Float[Tensor, "B T"], above: Int[Tensor, "B T"]
) -> tuple[Bool[Tensor, "B C"], Float[Tensor, "B C"]]:
    """Return which of the C chunks have a score within an interval, and the largest score of each chunk.

    As `segue.ranking.block_standing.plain_count`, in one pass over the scores.

    Args:
        chunks: scores, in C chunks of W; W is a power of two.
        low, high: the interval of each of T targets of a session.
        above: the number of scores above `high` is added here.
    """
    num, num_chunks, chunk = chunks.shape
    undecided = torch.empty(num, num_chunks, dtype=torch.bool, device=chunks.device)
    most = torch.empty(num, num_chunks, dtype=chunks.dtype, device=chunks.device)
    grid = (num, triton.cdiv(num_chunks, _CHUNKS))
    shape: dict[str, Any] = {"per_program": low.shape[1], "chunk": chunk, "chunks": _CHUNKS}
    _count[grid](chunks, low, high, above, undecided.view(torch.int8), most, num_chunks, **shape)
    return undecided, most
