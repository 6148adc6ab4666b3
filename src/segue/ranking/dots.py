"""The exact score of a track after a session.

score = float32 of (state . row), products and sum in float64. The error of the sum (2**-53 a term) is far below the
rounding to float32, so the score does not depend on matrix shape, thread count or device, and equal rows have equal
scores. A faster product (float32) may exclude tracks, but does not decide between two close ones.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import Final

import torch
from torch import Tensor

from segue.axes import Float, Int
from segue.objectives.log_sum import HAS_TRITON

CPU_ROWS: Final = 2**13
"""Table rows gathered at a time on a CPU: 4 MB of 128 floats, which fit in the cache."""
GPU_ROWS: Final = 2**18
CELLS: Final = 2**18
"""Cells whose rows are gathered at a time."""
DENSE: Final = 32
"""Products in a whole block that cost as much as one of a gathered row."""
FEW_ROWS: Final = 8
"""Rows of a table, for each requested track, up to which its whole product costs less than gathering rows on a CPU."""
MOST_DENSE: Final = 2**25
"""Most scores of a whole block in memory."""


def kernels(device: torch.device) -> ModuleType | None:
    """Return the module of GPU kernels for `device`; None = use the plain functions, which the kernels equal."""
    return _triton() if device.type == "cuda" else None


@cache
def _triton() -> ModuleType | None:
    if not HAS_TRITON:
        return None
    from segue.kernels import ranking

    return ranking


def dots(weight: Float[Tensor, "R D"], state: Float[Tensor, "B D"], tracks: Int[Tensor, "B K"]) -> Float[Tensor, "B K"]:
    """Return the score of each of `tracks` (rows of `weight`) for its state, float32."""
    faster = kernels(weight.device)
    if faster is None and len(weight) <= FEW_ROWS * tracks.shape[1]:
        return all_dots(weight, state).gather(1, tracks)
    scores: Tensor = plain_dots(weight, state, tracks) if faster is None else faster.dots(weight, state, tracks)
    return scores


def plain_dots(
    weight: Float[Tensor, "R D"], state: Float[Tensor, "B D"], tracks: Int[Tensor, "B K"]
) -> Float[Tensor, "B K"]:
    """Return what `dots` returns, on any device."""
    (num, each), width = tracks.shape, weight.shape[1]
    scores = torch.empty(num, each, dtype=torch.float32, device=weight.device)
    step = max(1, (CPU_ROWS if weight.device.type == "cpu" else GPU_ROWS) // max(each, 1))
    rows = torch.empty(min(step, num) * each, width, dtype=weight.dtype, device=weight.device)
    products = torch.empty(min(step, num), each, width, dtype=torch.float64, device=weight.device)
    for begin in range(0, num, step):
        some = tracks[begin : begin + step]
        gathered = torch.index_select(weight, 0, some.reshape(-1), out=rows[: some.numel()])
        part = products[: len(some)].copy_(gathered.view(len(some), each, width))
        part.mul_(state[begin : begin + step, None].double())
        scores[begin : begin + step] = part.sum(2)
    return scores


def all_dots(weight: Float[Tensor, "R D"], state: Float[Tensor, "B D"]) -> Float[Tensor, "B R"]:
    """Return the score of every row of `weight` for each state, float32, at four bytes a score."""
    scores = torch.empty(len(state), len(weight), dtype=torch.float32, device=weight.device)
    wide = state.double()
    for begin in range(0, len(weight), GPU_ROWS):
        scores[:, begin : begin + GPU_ROWS] = wide @ weight[begin : begin + GPU_ROWS].double().T
    return scores


def cell_dots(
    weight: Float[Tensor, "R D"], state: Float[Tensor, "B D"], who: Int[Tensor, " n"], rows: Int[Tensor, " n"]
) -> Float[Tensor, " n"]:
    """Return the score of each cell (session, row), float32; by whole blocks if there are many cells among few rows."""
    if len(state) * len(weight) <= min(DENSE * len(who), MOST_DENSE):
        whole: Tensor = all_dots(weight, state)
        return whole[who, rows]
    pairs = zip(torch.split(who, CELLS), torch.split(rows, CELLS), strict=True)
    parts = [dots(weight, state[some], row[:, None])[:, 0] for some, row in pairs]
    return torch.cat(parts) if parts else weight.new_zeros(0)
