"""How often each code occurs in a log, and which came first."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class CodeCounts:
    """Counts codes block by block."""

    def __init__(self) -> None:
        self.rows = np.zeros(0, np.int64)
        """Rows of each code."""
        self.appearance = np.zeros(0, np.int32)
        """Place of each code among all by first appearance; -1 where it did not appear."""
        self._num_codes = 0

    def add(self, codes: NDArray[np.int32]) -> None:
        """Take the codes of a block."""
        counts = np.bincount(codes, minlength=len(self.rows))
        if len(counts) > len(self.rows):
            self.appearance = np.append(self.appearance, np.full(len(counts) - len(self.rows), -1, np.int32))
            self.rows = np.append(self.rows, np.zeros(len(counts) - len(self.rows), np.int64))
        self.rows += counts
        unseen = codes[self.appearance[codes] < 0]
        if len(unseen):
            fresh, first = np.unique(unseen, return_index=True)
            self.appearance[fresh[np.argsort(first)]] = np.arange(
                self._num_codes, self._num_codes + len(fresh), dtype=np.int32
            )
            self._num_codes += len(fresh)

    def parts(self, rank: NDArray[np.int32], most: int) -> NDArray[np.int32]:
        """Return the part of each code, from 0, where codes in the order of `rank` fill parts of about `most` rows."""
        codes = np.flatnonzero(self.rows)
        ordered = codes[np.argsort(rank[codes])]
        start = np.cumsum(self.rows[ordered]) - self.rows[ordered]
        part = np.zeros(len(self.rows), np.int32)
        part[ordered] = np.unique(start // most, return_inverse=True)[1]
        return part
