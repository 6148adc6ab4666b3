"""Text cut into pieces of whole records, each safe to split at separators and line ends outside quotes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from segue.data.records.dialect import Dialect
from segue.data.records.mending import Bad, mended
from segue.errors import InputError

MAX_RECORD_BYTES: Final = 1 << 26
"""A quote still open after this many bytes (64 MiB) counts as never closed."""
_NEWLINE, _RETURN, _QUOTE = 10, 13, 34


@dataclass(frozen=True)
class Piece:
    """Whole records, each ended by a newline."""

    data: bytes
    quoted: bool = False
    """True: fields may be in double quotes, which close before a separator or a line end, with inner quotes doubled.
    False: quotes are plain characters."""
    line: NDArray[np.int64] | None = None
    """Physical line of each record, from 0 within the piece; None = to be counted."""
    num_lines: int | None = None
    """Physical lines of the file in the piece; None = to be counted."""
    bad: list[Bad] = field(default_factory=list)
    """Lines left out, numbered from 0."""
    cut: bool = False
    """True if the last record lacks its line end in the file."""


def pieces_of(chunks: Iterable[bytes], dialect: Dialect, name: str, *, whole: bool = True) -> Iterator[Piece]:
    """Yield the records in `chunks` after byte `dialect.start`; `whole` = the last record ends with the last byte.

    Raises:
        InputError: a line longer than `MAX_RECORD_BYTES`.
    """
    unread, above = b"", dialect.start
    for chunk in chunks:
        above, chunk = max(above - len(chunk), 0), chunk[above:]
        unread = unread + chunk if unread else chunk
        piece, unread = _cut(unread, dialect, False)
        if piece is not None:
            yield piece
        elif len(unread) > 2 * MAX_RECORD_BYTES:
            raise InputError(f"{name}: a line of more than {MAX_RECORD_BYTES >> 20} MiB; is it a listening log?")
    if whole and unread:
        piece, unread = _cut(unread, dialect, True)
        assert piece is not None
        assert not unread
        yield piece


def _cut(data: bytes, dialect: Dialect, final: bool) -> tuple[Piece | None, bytes]:
    """Return the whole records that `data` begins with, and the remaining bytes; `final` = no bytes follow `data`."""
    ended = data.endswith((b"\n", b"\r") if dialect.by_return else b"\n")
    if not dialect.quoted or b'"' not in data:
        if dialect.by_return:
            data = _newlines(data, final)
        return _cut_at(data, len(data) if final else data.rfind(b"\n") + 1, False, final and not ended)
    marks = np.flatnonzero(np.frombuffer(data, np.uint8) == _QUOTE)
    opens, clean = _quoting(data, marks, dialect)
    if clean and not (final and len(marks) % 2):
        if dialect.by_return:
            data, marks = _newlines_outside(data, marks, final)
        end = len(data) if final else _last_end(data, marks)
        if end or len(data) <= MAX_RECORD_BYTES:
            return _cut_at(data, end, True, final and not ended)
    elif not opens and not dialect.by_return:
        return _cut_at(data, len(data) if final else data.rfind(b"\n") + 1, False, final and not ended)
    records = mended(data, dialect, final, len(data) > MAX_RECORD_BYTES)
    if not records.num_lines:
        return None, data
    line = np.array(records.line, dtype=np.int64)
    piece = Piece(records.data, True, line, records.num_lines, records.bad, final and not ended)
    return piece, data[records.size :]


def _cut_at(data: bytes, end: int, quoted: bool, cut: bool) -> tuple[Piece | None, bytes]:
    if not end:
        return None, data
    whole = data if end == len(data) else data[:end]
    return Piece(whole if whole.endswith(b"\n") else whole + b"\n", quoted, cut=cut), data[end:]


def _quoting(data: bytes, marks: NDArray[np.int64], dialect: Dialect) -> tuple[bool, bool]:
    """Return whether any quote opens a field, and whether all quotes conform to RFC 4180: each quote of even index
    opens a field or is the second of two, each of odd index closes a field or is the first of two."""
    array = np.frombuffer(data, np.uint8)
    before, after = array.take(marks - 1, mode="wrap"), array.take(marks + 1, mode="clip")
    before[0] = before[0] if marks[0] else _NEWLINE
    after[-1] = after[-1] if marks[-1] < len(array) - 1 else _NEWLINE
    opening = (before == ord(dialect.separator)) | (before == _NEWLINE)
    closing = (after == ord(dialect.separator)) | (after == _NEWLINE)
    if dialect.by_return:
        opening, closing = opening | (before == _RETURN), closing | (after == _RETURN)
    elif b"\r" in data:
        second = array.take(marks + 2, mode="clip")
        second[marks + 2 >= len(array)] = _NEWLINE
        closing |= (after == _RETURN) & (second == _NEWLINE)
    even = (opening[::2] | (before[::2] == _QUOTE)).all()
    odd = (closing[1::2] | (after[1::2] == _QUOTE)).all()
    return bool(opening.any()), bool(even and odd)


def _last_end(data: bytes, marks: NDArray[np.int64]) -> int:
    """Return the byte after the last newline outside quotes, 0 if there is none."""
    newline = data.rfind(b"\n")
    while newline >= 0:
        quotes = int(np.searchsorted(marks, newline))
        if quotes % 2 == 0:
            return newline + 1
        newline = data.rfind(b"\n", 0, int(marks[quotes - 1]))
    return 0


def _newlines(data: bytes, final: bool) -> bytes:
    """Return text without quotes, lines ended by newlines; a last carriage return may be half of a line end."""
    last = b"\r" if data.endswith(b"\r") and not final else b""
    return re.sub(rb"\r\n?", b"\n", data[: len(data) - len(last)]) + last


def _newlines_outside(data: bytes, marks: NDArray[np.int64], final: bool) -> tuple[bytes, NDArray[np.int64]]:
    """Return the text with newlines as line ends outside quotes, and the new positions of its quotes."""
    array = np.frombuffer(data, np.uint8).copy()
    returns = np.flatnonzero(array == _RETURN)
    returns = returns[np.searchsorted(marks, returns) % 2 == 0]
    if not final:
        returns = returns[returns < len(array) - 1]
    array[returns] = _NEWLINE
    followed = returns[returns < len(array) - 1] + 1
    surplus = followed[np.frombuffer(data, np.uint8)[followed] == _NEWLINE]
    array = np.delete(array, surplus)
    return array.tobytes(), np.flatnonzero(array == _QUOTE)
