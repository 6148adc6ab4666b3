"""The candidate rows of a track table, in blocks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import torch
from torch import Tensor

from segue.axes import Float, Int

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
        self._on_host = candidates.cpu()  # a block that asked the device for its ends would wait for it
        norms = torch.cat([_norms(rows) for _, rows in self.blocks(NORMED)] or [weight.new_zeros(0)])
        real = norms[torch.isfinite(norms)]
        self.finite = len(real) == len(norms)
        """Whether all rows are finite; fast and exact scores of a row that is not are the same infinity or NaN."""
        self.longest = float(real.max()) if len(real) else 0.0
        """Largest norm of a finite row."""

    def blocks(self, width: int) -> Iterator[tuple[int, Float[Tensor, "W D"]]]:
        """Yield the first index and the rows of each `width` candidates; a block is valid until the next."""
        gathered = self.weight.new_empty(0)
        for begin in range(0, len(self.candidates), width):
            rows = self.candidates[begin : begin + width]
            first, last = int(self._on_host[begin]), int(self._on_host[begin + len(rows) - 1])
            if last - first == len(rows) - 1:
                yield begin, self.weight[first : last + 1]
                continue
            if len(gathered) != len(rows):
                gathered = self.weight.new_empty(len(rows), self.weight.shape[1])
            yield begin, torch.index_select(self.weight, 0, rows, out=gathered)

    def block_width(self, num: int) -> int:
        """Return the number of candidates to score at a time after `num` sessions, a multiple of CHUNK."""
        cells = CPU_CELLS if self.weight.device.type == "cpu" else GPU_CELLS
        return min(max(cells // max(num, 1), CHUNK), len(self.candidates) + CHUNK - 1) // CHUNK * CHUNK

    def slack(self, state: Float[Tensor, "B D"]) -> Float[Tensor, "B 1"]:
        """Return the largest difference of a fast and an exact product, with the error of comparing in float32."""
        error = (self.weight.shape[1] + 16) * ROUNDING + INPUT_ROUNDING[torch.get_float32_matmul_precision()]
        bound: Tensor = error * self.longest * state.double().norm(dim=1, keepdim=True)
        return (bound + torch.finfo(torch.float32).tiny).float()


def _norms(rows: Float[Tensor, "n D"]) -> Float[Tensor, " n"]:
    """Return upper bounds of the norms, float64, also if float32 overflows."""
    norms = torch.linalg.vector_norm(rows, dim=1).double()
    large = ~torch.isfinite(norms)
    if large.any():
        norms[large] = rows[large].double().norm(dim=1)
    bounds: Tensor = norms * (1 + 2.0**-16)
    return bounds
