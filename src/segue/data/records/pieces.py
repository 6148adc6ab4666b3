"""Text cut into pieces of whole records, each safe to split at separators and line ends outside quotes."""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from segue.data.records.dialect import Dialect
from segue.data.rejects import UNCLOSED_QUOTE, WRONG_FIELD_COUNT
from segue.errors import InputError

csv.field_size_limit(sys.maxsize)  # for the whole process: fields may have any size
Bad = tuple[str, list[tuple[int, str]]]
"""Lines of one kind of reject, each `(line, text)`."""
MAX_RECORD_BYTES: Final = 1 << 26
"""A quote still open after this many bytes (64 MiB) counts as never closed."""
_ESCAPED: Final = "surrogateescape"
"""Bytes that are not UTF-8 pass through; they are checked later."""
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


def with_newlines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield `chunks` with a newline for each carriage return (and newline after it)."""
    last = b""
    for chunk in chunks:
        text = last + chunk
        last = b"\r" if text.endswith(b"\r") else b""  # it may be half of a line end
        yield re.sub(rb"\r\n?", b"\n", text.removesuffix(b"\r"))
    if last:
        yield b"\n"


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
    quoted, end = False, len(data) if final else data.rfind(b"\n") + 1
    if dialect.quoted and b'"' in data:
        marks = np.flatnonzero(np.frombuffer(data, np.uint8) == _QUOTE)
        opens, clean = _quoting(data, marks, dialect)
        quoted = clean and not (final and len(marks) % 2)
        if quoted and not final:
            end = _last_end(data, marks)
        if (opens and not quoted) or (quoted and not end and len(data) > MAX_RECORD_BYTES):
            return _mended(data, dialect, final)
    if not end:
        return None, data
    whole = data if end == len(data) else data[:end]
    ended = whole.endswith(b"\n")
    return Piece(whole if ended else whole + b"\n", quoted, cut=not ended), data[end:]


def _quoting(data: bytes, marks: NDArray[np.int64], dialect: Dialect) -> tuple[bool, bool]:
    """Return whether any quote opens a field, and whether all quotes conform to RFC 4180: each quote of even index
    opens a field or is the second of two, each of odd index closes a field or is the first of two."""
    array = np.frombuffer(data, np.uint8)
    before, after = array.take(marks - 1, mode="wrap"), array.take(marks + 1, mode="clip")
    before[0] = before[0] if marks[0] else _NEWLINE
    after[-1] = after[-1] if marks[-1] < len(array) - 1 else _NEWLINE
    opening = (before == ord(dialect.separator)) | (before == _NEWLINE)
    closing = (after == ord(dialect.separator)) | (after == _NEWLINE)
    if b"\r" in data:
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


def _mended(data: bytes, dialect: Dialect, final: bool) -> tuple[Piece | None, bytes]:
    """Return the records that `data` begins with, rewritten so that their quotes conform, and the remaining bytes.

    A record of several lines is accepted only if its quotes are valid. Otherwise its first line is bad, and the lines
    after it are read again, so that a stray quote costs one line.
    """
    lines = io.StringIO(data.decode("utf-8", _ESCAPED), newline="\n").readlines()
    if not final and lines and not lines[-1].endswith("\n"):
        lines.pop()
    waits = not final and len(data) <= MAX_RECORD_BYTES  # an open quote may be closed in the bytes to come
    texts, first_lines, bad, at = list[str](), list[int](), list[Bad](), 0
    while at < len(lines):
        used, row = 1, None
        if '"' in lines[at]:
            used, row = _record(lines, at, dialect)
            if row is None and used > len(lines) - at and waits:
                break
            if row is None or not _fits(row, used, dialect):
                kind, used = _fault(lines, at, 1 if row is None else used, dialect)
                text = "".join(lines[at : at + used]).encode("utf-8", _ESCAPED)
                bad.append((kind, [(at, text.decode("utf-8", "replace").rstrip("\r\n"))]))
                at += used
                continue
        texts.append(lines[at].removesuffix("\n") if row is None else _written(row, dialect))
        first_lines.append(at)
        at += used
    if not at:
        return None, data
    size = len("".join(lines[:at]).encode("utf-8", _ESCAPED))
    records = "".join(f"{text}\n" for text in texts).encode("utf-8", _ESCAPED)
    cut = final and not data.endswith(b"\n")
    return Piece(records, True, np.array(first_lines, np.int64), at, bad, cut), data[size:]


def _record(lines: list[str], at: int, dialect: Dialect) -> tuple[int, list[str] | None]:
    """Return how many lines the record at line `at` takes, and its fields; None = its quotes are invalid (then the
    number is 1, or more than the remaining lines if a quote stays open)."""
    reader = csv.reader(map(lines.__getitem__, range(at, len(lines))), delimiter=dialect.separator, strict=True)
    try:
        row = next(reader)
        return reader.line_num, row
    except csv.Error as error:
        if str(error) == "unexpected end of data":
            return len(lines) - at + 1, None
    plain = lines[at].rstrip("\r\n").split(dialect.separator)
    if dialect.separator == "\t" and len(plain) == dialect.width:  # in tab-separated files quotes are often plain
        return 1, plain
    reader = csv.reader([lines[at], "end"], delimiter=dialect.separator)
    try:
        row = next(reader)
    except csv.Error:
        return 1, None
    return 1, row if reader.line_num == 1 else None


def _fits(row: list[str], used: int, dialect: Dialect) -> bool:
    """Return whether to accept the record; a wrong number of fields in a record of one line is checked later."""
    return used == 1 or len(row) == dialect.width or (len(row) > dialect.width and not any(row[dialect.width :]))


def _fault(lines: list[str], at: int, used: int, dialect: Dialect) -> tuple[str, int]:
    """Return the kind of reject of a bad record, and its number of lines; `used` = 1 if its quotes are invalid.

    A record of several lines with valid quotes is bad as a whole, unless most of its further lines are records by
    themselves: then two stray quotes look like a pair, and only the first line is bad.
    """
    further = lines[at + 1 : at + used]
    alone = sum(line.count(dialect.separator) + 1 == dialect.width for line in further)
    return (WRONG_FIELD_COUNT, used) if further and alone * 2 <= len(further) else (UNCLOSED_QUOTE, 1)


def _written(row: list[str], dialect: Dialect) -> str:
    """Return a record, fields with separators, quotes or line ends in quotes."""
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=dialect.separator, lineterminator="\r\n").writerow(row)
    return text.getvalue().removesuffix("\r\n")
