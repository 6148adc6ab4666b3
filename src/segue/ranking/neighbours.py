"""Products of sparse matrices on a device, as sorts and sums by key, for V-SKNN on a GPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from segue.axes import Float, Int


@dataclass(frozen=True)
class Entries:
    """The entries of a sparse matrix, by row and then column, without duplicates."""

    row: Int[Tensor, " n"]
    column: Int[Tensor, " n"]
    value: Float[Tensor, " n"]
    """float64."""

    @classmethod
    def of(cls, matrix: Any, device: torch.device) -> Entries:
        """Return the entries of a SciPy CSR matrix."""
        row = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
        parts = (torch.from_numpy(part).to(device) for part in (row, matrix.indices.astype(np.int64), matrix.data))
        return cls(*parts)

    def csr(self, shape: tuple[int, int]) -> Any:
        """Return the SciPy CSR matrix of these entries."""
        row, column, value = (part.cpu().numpy() for part in (self.row, self.column, self.value))
        indptr = np.searchsorted(row, np.arange(shape[0] + 1))
        return sparse.csr_matrix((value, column, indptr), shape=shape)


class Sets:
    """A sparse matrix of ones [P, Q] on a device: which of Q members are in each of P sets.

    Args:
        matrix: SciPy CSR.
        device: device of the products.
    """

    def __init__(self, matrix: Any, device: torch.device) -> None:
        self.width = matrix.shape[1]
        self._begin = torch.from_numpy(matrix.indptr.astype(np.int64)).to(device)
        self._members = torch.from_numpy(matrix.indices.astype(np.int32)).to(device)

    def summed(self, entries: Entries) -> Entries:
        """Return the product of `entries` [B, P] and this matrix [P, Q]."""
        first = self._begin[entries.column]
        count = self._begin[entries.column + 1] - first
        entry = torch.repeat_interleave(count)
        member = torch.arange(len(entry), device=entry.device) + (first - count.cumsum(0) + count)[entry]
        key, order = (entries.row[entry] * self.width + self._members[member]).sort(stable=True)
        key, group = torch.unique_consecutive(key, return_inverse=True)
        value = entries.value.new_zeros(len(key)).index_add_(0, group, entries.value[entry][order])
        return Entries(key // self.width, key % self.width, value)


def largest(entries: Entries, of: Int[Tensor, " n"], num: int, most: int) -> Entries:
    """Return the `num` entries of each row with the largest `of` (integers from 0 below `most`), equal by column."""
    width = int(entries.column.max()) + 1 if len(entries.column) else 1
    key, order = (entries.row * most + (most - 1 - of)).mul_(width).add_(entries.column).sort()
    row = key // (width * most)
    begin = torch.searchsorted(row, row)
    selected = order[torch.arange(len(row), device=row.device) - begin < num].sort().values
    return Entries(entries.row[selected], entries.column[selected], entries.value[selected])
