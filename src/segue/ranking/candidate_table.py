"""The candidate rows of a track table, and their fast scores in blocks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import torch
from torch import Tensor

from segue.axes import Float, Int
from segue.ranking.standing import NOTHING

CPU_CELLS: Final = 2**20
"""Scores in memory at a time on a CPU: 4 MB, so that they are counted from the cache."""
GPU_CELLS: Final = 2**26
CHUNK: Final = 128
"""Columns that are counted together."""
NORMED: Final = 2**13
"""Rows whose norms are computed at a time."""
ROUNDING: Final = 2.0**-24
INPUT_ROUNDING: Final = {"highest": 0.0, "high": 2.0**-9, "medium": 2.0**-7}
"""Relative rounding of both inputs together by torch's float32 matmul precision (TF32, bfloat16)."""


class CandidateTable:
    """The candidate rows of a table, in order; the table must not change while this is in use.

    Args:
        weight: the track table.
        candidates: candidate rows, ascending, int64.
    """

    def __init__(self, weight: Float[Tensor, "R D"], candidates: Int[Tensor, " C"]) -> None:
        self.weight, self.candidates = weight, candidates.contiguous()
        norms = torch.cat([_norms(rows) for _, rows in self.blocks(NORMED)] or [weight.new_zeros(0)])
        real = norms[torch.isfinite(norms)]
        self.finite = len(real) == len(norms)
        """Whether all rows are finite; fast and definite scores of a row that is not are the same infinity or NaN."""
        self.longest = float(real.max()) if len(real) else 0.0
        """Largest norm of a finite row."""

    def blocks(self, width: int) -> Iterator[tuple[int, Float[Tensor, "W D"]]]:
        """Yield the first index and the rows of each `width` candidates; a block is valid until the next."""
        gathered = self.weight.new_empty(0)
        for begin in range(0, len(self.candidates), width):
            rows = self.candidates[begin : begin + width]
            first, last = int(rows[0]), int(rows[-1])
            if last - first == len(rows) - 1:
                yield begin, self.weight[first : last + 1]
                continue
            if len(gathered) != len(rows):
                gathered = self.weight.new_empty(len(rows), self.weight.shape[1])
            yield begin, torch.index_select(self.weight, 0, rows, out=gathered)

    def slack(self, state: Float[Tensor, "B D"]) -> Float[Tensor, "B 1"]:
        """Return the largest difference of a fast score and a definite one, with the error of comparing in float32."""
        error = (self.weight.shape[1] + 16) * ROUNDING + INPUT_ROUNDING[torch.get_float32_matmul_precision()]
        bound: Tensor = error * self.longest * state.double().norm(dim=1, keepdim=True)
        return (bound + torch.finfo(torch.float32).tiny).float()

    def scored(self, state: Float[Tensor, "B D"]) -> Iterator[tuple[int, Float[Tensor, "B C W"]]]:
        """Yield the first index and the fast scores of each block in chunks, -inf after the last candidate."""
        num, count = len(state), len(self.candidates)
        cells = CPU_CELLS if state.device.type == "cpu" else GPU_CELLS
        width = min(max(cells // max(num, 1), CHUNK), count + CHUNK - 1) // CHUNK * CHUNK
        scores = state.new_empty(num, width)
        for begin, rows in self.blocks(width):
            if len(rows) == width:
                torch.mm(state, rows.T, out=scores)
            else:
                scores.fill_(NOTHING)[:, : len(rows)] = state @ rows.T
            yield begin, scores.view(num, -1, CHUNK)


def _norms(rows: Float[Tensor, "n D"]) -> Float[Tensor, " n"]:
    """Return upper bounds of the norms, float64, also if float32 overflows."""
    norms = torch.linalg.vector_norm(rows, dim=1).double()
    large = ~torch.isfinite(norms)
    if large.any():
        norms[large] = rows[large].double().norm(dim=1)
    bounds: Tensor = norms * (1 + 2.0**-16)
    return bounds
