"""Ids as codes: each text is checked once, when it first appears."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from segue.data.distinct import runs
from segue.data.event_table import coded_texts, shared_codes

_UNSEEN, _PLAIN, _ODD = range(3)
_ROOM: Final = 1 << 16
"""Initial capacity in codes."""
Check = Callable[[pl.Series], pl.Series]
"""Returns which texts cannot be used as ids unchanged, Boolean."""


class IdCodes:
    """Gives each id a code, the same in all blocks; safe in any thread.

    `odd`: returns which texts must be changed or refused before they are ids.
    """

    def __init__(self, name: str, odd: Check) -> None:
        self.column = shared_codes(name)
        """The Categorical column whose dtype maps codes to ids."""
        self._odd = odd
        self._looks = np.zeros(_ROOM, np.uint8)
        self._lock = Lock()

    def codes(self, ids: pl.Series) -> NDArray[np.int32]:
        """Return the codes of ids without nulls and odd texts."""
        firsts, lengths = runs(ids)
        codes = self._cast(firsts)
        return codes if lengths is None else np.repeat(codes, lengths)

    def codes_as_they_stand(self, texts: pl.Series) -> NDArray[np.int32] | None:
        """Return the codes of texts; None if any is null or odd."""
        if texts.null_count() or not len(texts):
            return None
        firsts, lengths = runs(texts)
        codes = self._cast(firsts)
        if self._any_odd(codes):
            return None
        return codes if lengths is None else np.repeat(codes, lengths)

    def _cast(self, texts: pl.Series) -> NDArray[np.int32]:
        return texts.cast(self.column.dtype).to_physical().to_numpy().view(np.int32)

    def _any_odd(self, codes: NDArray[np.int32]) -> bool:
        """Return whether any code belongs to an odd text; new codes are checked."""
        with self._lock:
            room = int(codes.max()) + 1
            if room > len(self._looks):
                self._looks = np.append(self._looks, np.zeros(max(room, 2 * len(self._looks)), np.uint8))
            looks = self._looks[codes]
        unseen = codes[looks == _UNSEEN]
        is_odd = bool((looks == _ODD).any())
        if len(unseen):
            fresh = np.unique(unseen)
            odd = self._odd(coded_texts(fresh, self.column)).to_numpy()
            with self._lock:
                self._looks[fresh] = np.where(odd, _ODD, _PLAIN)
            is_odd |= bool(odd.any())
        return is_odd


class CodeCounts:
    """Counts the rows of each code, block by block."""

    def __init__(self) -> None:
        self.rows = np.zeros(0, np.int64)
        """Rows of each code."""
        self.appearance = np.zeros(0, np.int32)
        """Rank of each code by first appearance; -1 if it did not appear."""
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
        """Return the part of each code, from 0: codes in the order of `rank` fill parts of about `most` rows."""
        codes = np.flatnonzero(self.rows)
        ordered = codes[np.argsort(rank[codes])]
        start = np.cumsum(self.rows[ordered]) - self.rows[ordered]
        part = np.zeros(len(self.rows), np.int32)
        part[ordered] = np.unique(start // most, return_inverse=True)[1]
        return part
