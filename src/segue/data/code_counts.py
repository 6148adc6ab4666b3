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
        if not len(codes):
            return
        low = int(codes.min())
        counts = np.bincount(codes - low)
        fresh = low + len(counts) - len(self.rows)
        if fresh > 0:
            self.rows = np.append(self.rows, np.zeros(fresh, np.int64))
            self.appearance = np.append(self.appearance, np.full(fresh, -1, np.int32))
        self.rows[low : low + len(counts)] += counts
        firsts = codes[np.flatnonzero(np.diff(codes, prepend=codes[0] - 1))]  # of runs of equal codes
        unseen = firsts[self.appearance[firsts] < 0]
        distinct, first = np.unique(unseen, return_index=True)
        self.appearance[distinct[np.argsort(first)]] = np.arange(len(distinct), dtype=np.int32) + self._num_codes
        self._num_codes += len(distinct)

    def parts(self, rank: NDArray[np.int32], most: int) -> NDArray[np.int32]:
        """Return the part of each code, from 0, where codes in the order of `rank` fill parts of about `most` rows."""
        codes = np.flatnonzero(self.rows)
        ordered = codes[np.argsort(rank[codes])]
        start = np.cumsum(self.rows[ordered]) - self.rows[ordered]
        part = np.zeros(len(self.rows), np.int32)
        part[ordered] = np.unique(start // most, return_inverse=True)[1]
        return part
