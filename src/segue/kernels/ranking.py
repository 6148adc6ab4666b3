"""Scores of asked tracks, and what is counted over blocks of fast scores: one pass over each on a GPU."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from segue.axes import Bool, Float, Int

_ASKED = 32
"""Tracks of a session that a program scores."""
_CHUNKS = 16
"""Chunks of a session that a program counts."""


@triton.jit
def _dots(weight, state, tracks, out, each, width, columns: tl.constexpr, per_program: tl.constexpr):
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
    """Return the score of each of `tracks` (rows of `weight`) for its state, float32; as `segue.ranking.dots`."""
    (num, each), width = tracks.shape, weight.shape[1]
    scores = torch.empty(num, each, dtype=torch.float32, device=weight.device)
    if scores.numel():
        shape: dict[str, Any] = {"columns": triton.next_power_of_2(width), "per_program": _ASKED}
        grid = (num, triton.cdiv(each, _ASKED))
        _dots[grid](weight, state.float().contiguous(), tracks.contiguous(), scores, each, width, **shape)
    return scores


@triton.jit
def _count(scores, low, high, above, undecided, most, num_chunks, per_program: tl.constexpr, chunk: tl.constexpr,
           chunks: tl.constexpr):  # fmt: skip
    session = tl.program_id(0).to(tl.int64)
    which = tl.program_id(1) * chunks + tl.arange(0, chunks)
    real = which < num_chunks
    cell = (session * num_chunks + which)[:, None] * chunk + tl.arange(0, chunk)[None, :]
    cells = tl.load(scores + cell, mask=real[:, None], other=-float("inf"))
    torn = tl.max((cells != cells).to(tl.int32), 1) > 0
    largest = tl.max(tl.where(cells != cells, -float("inf"), cells), 1)
    tl.store(most + session * num_chunks + which, tl.where(torn, float("nan"), largest), mask=real)
    looked = tl.zeros((chunks,), tl.int32)
    for t in tl.static_range(per_program):
        top = tl.load(high + session * per_program + t)
        bottom = tl.load(low + session * per_program + t)
        within = cells <= top
        not_above = tl.sum(within.to(tl.int32), 1)
        below = tl.sum((cells < bottom).to(tl.int32), 1)
        looked = looked | (not_above > below).to(tl.int32)
        num = tl.sum(tl.where(real, chunk - not_above, 0), 0)
        tl.atomic_add(above + session * per_program + t, num.to(tl.int64))
    tl.store(undecided + session * num_chunks + which, looked.to(tl.int8), mask=real)


def count(
    chunks: Float[Tensor, "B C W"], low: Float[Tensor, "B T"], high: Float[Tensor, "B T"], above: Int[Tensor, "B T"]
) -> tuple[Bool[Tensor, "B C"], Float[Tensor, "B C"]]:
    """Count scores surely above into `above`; return which chunks hold undecided ones, and the largest of each.

    As `segue.ranking.block_standing.plain_count`, in one pass over the scores. W must be a power of two.
    """
    num, num_chunks, chunk = chunks.shape
    undecided = torch.empty(num, num_chunks, dtype=torch.bool, device=chunks.device)
    most = torch.empty(num, num_chunks, dtype=chunks.dtype, device=chunks.device)
    grid = (num, triton.cdiv(num_chunks, _CHUNKS))
    shape: dict[str, Any] = {"per_program": low.shape[1], "chunk": chunk, "chunks": _CHUNKS}
    _count[grid](chunks, low, high, above, undecided.view(torch.int8), most, num_chunks, **shape)
    return undecided, most
