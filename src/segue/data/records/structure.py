"""Positions of the records and fields in a piece of text."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from segue.data.records.pieces import Piece

_NEWLINE: Final = 10
_QUOTE: Final = 34
_PART: Final = 1 << 19
"""Bytes searched at once: half of a core's second-level cache (1 MiB)."""


@dataclass(frozen=True)
class Structure:
    """Text, and the positions of its line ends and separators outside quotes."""

    data: bytes
    separator: int
    quoted: bool
    ends: NDArray[np.int64]
    """Position of each record's newline, int64 [records]."""
    marks: NDArray[np.int64]
    """Positions of the separators, int64."""
    line: NDArray[np.int64]
    """Physical line of each record, int64 [records]."""
    num_lines: int

    @property
    def piece(self) -> Piece:
        """The text as a piece."""
        return Piece(self.data, self.quoted, self.line, self.num_lines)

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """First byte of each record."""
        starts = np.zeros(len(self.ends), np.int64)
        starts[1:] = self.ends[:-1] + 1
        return starts

    def is_even(self, width: int) -> bool:
        """Return whether every record has `width` fields (and is not empty if `width` is 1)."""
        if width == 1:
            return len(self.marks) == 0 and bool((self.sizes() > 1).all())
        if len(self.marks) != len(self.ends) * (width - 1):
            return False
        marks = self.marks.reshape(len(self.ends), width - 1)
        return bool((marks[:, 0] >= self.starts).all() and (marks[:, -1] < self.ends).all())

    def num_fields(self) -> NDArray[np.int64]:
        """Return the fields of each record."""
        return np.searchsorted(self.marks, self.ends) - np.searchsorted(self.marks, self.starts) + 1

    def sizes(self) -> NDArray[np.int64]:
        """Return the bytes of each record without its line end, plus one."""
        array = np.frombuffer(self.data, np.uint8)
        last = array[np.maximum(self.ends - 1, 0)]
        sizes: NDArray[np.int64] = self.ends - self.starts + (last != 13)
        return sizes

    def holding(self, byte: int) -> NDArray[np.bool_]:
        """Return which records contain a byte, bool [records]."""
        contains = np.zeros(len(self.ends), np.bool_)
        if byte in self.data:
            contains[np.searchsorted(self.ends, np.flatnonzero(np.frombuffer(self.data, np.uint8) == byte))] = True
        return contains

    def record(self, record: int) -> bytes:
        """Return the bytes of a record without its newline."""
        return self.data[self.starts[record] : self.ends[record]]

    def between(self, first: int, last: int) -> bytes:
        """Return the bytes of records `first` up to `last`, exclusive."""
        return self.data[self.starts[first] : self.ends[last - 1] + 1] if first < last else b""

    def fields(self, record: int) -> list[bytes]:
        """Return the fields of a record, unquoted."""
        start, end = int(self.starts[record]), int(self.ends[record])
        low, high = np.searchsorted(self.marks, (start, end))
        if end > start and self.data[end - 1] == 13:
            end -= 1
        places = [start - 1, *self.marks[low:high].tolist(), end]
        parts = [self.data[a + 1 : b] for a, b in pairwise(places)]
        if not self.quoted:
            return parts
        return [part[1:-1].replace(b'""', b'"') if part.startswith(b'"') else part for part in parts]


def structure_of(piece: Piece, separator: int) -> Structure:
    """Return the structure of `piece`."""
    array = np.frombuffer(piece.data, np.uint8)
    places = _places(array, separator, piece.quoted)
    kinds = array[places]
    newline, mark = kinds == _NEWLINE, kinds == separator
    num_newlines = int(np.count_nonzero(newline))
    line = piece.line
    if piece.quoted:
        outside = ~np.bitwise_xor.accumulate(kinds == _QUOTE)
        if line is None:
            above = np.cumsum(newline)[newline & outside]
            line = np.concatenate([np.zeros(1, np.int64), above[:-1]])[: len(above)]
        newline, mark = newline & outside, mark & outside
    ends = places[newline]
    line = np.arange(len(ends), dtype=np.int64) if line is None else line
    num_lines = num_newlines if piece.num_lines is None else piece.num_lines
    return Structure(piece.data, separator, piece.quoted, ends, places[mark], line, num_lines)


def even_lines(piece: Piece, separator: int, width: int) -> tuple[NDArray[np.int64], int] | None:
    """Return the physical line of each record and the number of lines if every record has `width` fields (two or
    more), else None. Only the order of newlines and separators is checked, not their positions."""
    kinds = _kinds(piece.data, separator, piece.quoted)
    newline = kinds == _NEWLINE
    num_lines = int(np.count_nonzero(newline))
    outside, rows = np.ones(0, np.bool_), kinds
    if piece.quoted:
        quote = kinds == _QUOTE
        outside = ~(np.bitwise_xor.accumulate(quote) | quote)
        rows = kinds[outside]
    if len(rows) % width:
        return None
    table = rows.reshape(-1, width)
    if not ((table[:, -1] == _NEWLINE).all() and (table[:, :-1] == separator).all()):
        return None
    if piece.line is not None:
        return piece.line, num_lines if piece.num_lines is None else piece.num_lines
    if len(table) == num_lines:
        return np.arange(num_lines, dtype=np.int64), num_lines
    above = np.cumsum(newline)[newline & outside]
    return np.concatenate([np.zeros(1, np.int64), above[:-1]])[: len(above)], num_lines


def _kinds(data: bytes, separator: int, quoted: bool) -> NDArray[np.uint8]:
    """Return the newlines, separators and (in quoted text) quotes of `data`, in order."""
    array = np.frombuffer(data, np.uint8)
    parts = [part[_limits(part, separator, quoted)] for part in np.split(array, range(_PART, len(array), _PART))]
    return np.concatenate(parts)


def _limits(part: NDArray[np.uint8], separator: int, quoted: bool) -> NDArray[np.bool_]:
    mask: NDArray[np.bool_] = part == separator
    mask |= part == _NEWLINE
    if quoted:
        mask |= part == _QUOTE
    return mask


def counts_of(data: bytes, *kinds: int) -> list[int]:
    """Return how often each of the given bytes occurs in `data`, counted in parts that fit in the cache."""
    array, mask, counts = np.frombuffer(data, np.uint8), np.empty(_PART, np.bool_), [0] * len(kinds)
    for start in range(0, len(array), _PART):
        part = array[start : start + _PART]
        for index, kind in enumerate(kinds):
            counts[index] += int(np.count_nonzero(np.equal(part, kind, out=mask[: len(part)])))
    return counts


def _places(array: NDArray[np.uint8], separator: int, quoted: bool) -> NDArray[np.int64]:
    """Return the positions of newlines, separators and (in quoted text) quotes, in parts that fit in the cache."""
    starts = range(0, len(array), _PART)
    parts = [np.flatnonzero(_limits(array[at : at + _PART], separator, quoted)) + at for at in starts]
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)
