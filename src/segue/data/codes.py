"""Texts as codes: columns that are cast to one Categorical dtype share one code per text, from 0."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

_FEW: Final = 8
"""Average rows per distinct value from which one look per value is faster."""
_PROBED: Final = 4096
"""Values from which a column of short runs is recognised."""
_UNSEEN, _PLAIN, _ODD = range(3)
_ROOM: Final = 1 << 16
"""Initial capacity in codes."""
Work = Callable[[pl.Series], pl.Series]
"""Maps each value independently of the others."""


def shared_codes(name: str) -> pl.Series:
    """Return an empty Categorical column; columns cast to its dtype share one code per text, from 0.

    Keep the column alive: Polars drops the codes of a dtype with its last column.
    """
    return pl.Series(name, [], pl.Categorical(pl.Categories.random(name, pl.UInt32)))


def coded_texts(codes: NDArray[np.int32], column: pl.Series) -> pl.Series:
    """Return the text of codes of the dtype of the Categorical `column`, String."""
    return pl.Series(codes.view(np.uint32)).cat.to(column.dtype).cast(pl.String)


def codes_of(texts: pl.Series, column: pl.Series) -> NDArray[np.int32]:
    """Return the code of each text by the dtype of the Categorical `column`, int32."""
    firsts, lengths = runs(texts)
    return _repeated(_cast(firsts, column), lengths)


def ranked(occurs: NDArray[np.bool_], column: pl.Series) -> tuple[pl.Series, NDArray[np.int32]]:
    """Return the texts whose code occurs, in UTF-8 byte order, and the rank of each code among them."""
    codes = np.flatnonzero(occurs).astype(np.int32)
    texts = coded_texts(codes, column)
    order = texts.arg_sort().to_numpy()
    rank = np.zeros(len(occurs), np.int32)
    rank[codes[order]] = np.arange(len(codes), dtype=np.int32)
    return texts.gather(order), rank


def marked(occurs: NDArray[np.bool_], codes: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Return `occurs`, by code, with `codes` marked."""
    occurs = grown(occurs, int(codes.max(initial=-1)) + 1)
    occurs[codes] = True
    return occurs


def grown(values: NDArray[Any], size: int, fill: int = 0) -> NDArray[Any]:
    """Return `values`, lengthened by `fill` if they are fewer than `size`."""
    return values if len(values) >= size else np.append(values, np.full(size - len(values), fill, values.dtype))


def runs(values: pl.Series) -> tuple[pl.Series, NDArray[np.int64] | None]:
    """Return the first value and the length of each run of equal values; `(values, None)` if runs are short.

    `values` has no nulls.
    """
    start = np.zeros(0, np.intp)
    for seen in (values.head(_PROBED), values):
        start = np.flatnonzero((seen != seen.shift(1)).fill_null(True).to_numpy())
        if len(start) * _FEW > len(seen):
            return values, None
    return values.gather(start), np.diff(start, append=len(values))


def by_distinct(work: Work, texts: pl.Series) -> pl.Series:
    """Return `work(texts)`, done once per distinct text if there are few; flags become "true" and "false"."""
    if texts.dtype == pl.Boolean:
        of_flags = work(pl.Series(["false", "true", None], dtype=pl.String))
        return of_flags.gather(texts.cast(pl.UInt32).fill_null(2))
    column = shared_codes("distinct")
    codes = texts.cast(column.dtype).to_physical()
    num = 0 if codes.null_count() == len(codes) else int(codes.max()) + 1  # type: ignore[arg-type]
    if num * _FEW > len(texts):
        return work(texts)
    distinct = coded_texts(np.arange(num, dtype=np.int32), column)
    return work(distinct.extend(pl.Series([None], dtype=pl.String))).gather(codes.fill_null(num))


def _cast(texts: pl.Series, column: pl.Series) -> NDArray[np.int32]:
    return texts.cast(column.dtype).to_physical().to_numpy().view(np.int32)


def _repeated(codes: NDArray[np.int32], lengths: NDArray[np.int64] | None) -> NDArray[np.int32]:
    return codes if lengths is None else np.repeat(codes, lengths)


class IdCodes:
    """Gives each id a code, the same in all blocks; each id is checked once. Safe in any thread.

    `odd`: returns which texts (without nulls) must be changed or refused before they are ids, Boolean.
    """

    def __init__(self, name: str, odd: Work) -> None:
        self.column = shared_codes(name)
        """The Categorical column whose dtype maps codes to ids."""
        self._odd = odd
        self._looks = np.zeros(_ROOM, np.uint8)
        self._lock = Lock()

    def codes_as_they_stand(self, texts: pl.Series) -> NDArray[np.int32] | None:
        """Return the codes of texts; None if any is null or odd."""
        if texts.null_count() or not len(texts):
            return None
        firsts, lengths = runs(texts)
        codes = _cast(firsts, self.column)
        return None if self._any_odd(codes) else _repeated(codes, lengths)

    def _any_odd(self, codes: NDArray[np.int32]) -> bool:
        """Return whether any code belongs to an odd text; new codes are checked."""
        with self._lock:
            room = int(codes.max()) + 1
            if room > len(self._looks):
                self._looks = grown(self._looks, max(room, 2 * len(self._looks)))
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
        self.rows = grown(self.rows, low + len(counts))
        self.appearance = grown(self.appearance, len(self.rows), -1)
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
