"""Records whose quotes are not as RFC 4180 has them: read one by one, and written again as it has them."""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from segue.data.records.dialect import Dialect
from segue.data.rejects import UNCLOSED_QUOTE, WRONG_FIELD_COUNT

csv.field_size_limit(sys.maxsize)  # of the whole process: a field may be of any size, and no reader here wants less
Bad = tuple[str, list[tuple[int, str]]]
"""Lines of one kind of reject, each `(line, text)`."""
_ESCAPED: Final = "surrogateescape"
"""Bytes that are no UTF-8 pass through: they are judged later."""


@dataclass
class Mended:
    """Records written again, each ended by a newline."""

    data: bytes = b""
    line: list[int] = field(default_factory=list)
    """Physical line of each record, from 0."""
    bad: list[Bad] = field(default_factory=list)
    num_lines: int = 0
    """Physical lines read."""
    size: int = 0
    """Bytes read."""


def mended(data: bytes, dialect: Dialect, final: bool, forced: bool) -> Mended:
    """Return the records that `data` begins with.

    A record of several lines is taken only where its quotes are sound. Otherwise its first line is bad, and the lines
    after it are read again, so that one quote too many costs one line. `final` = no bytes follow; `forced` = a quote
    that is open at the end of `data` is taken for one that is never closed.
    """
    pattern = rb"[^\r\n]*(?:\r\n?|\n)|[^\r\n]+$" if dialect.by_return else rb"[^\n]*\n|[^\n]+$"
    lines = re.findall(pattern, data)
    if not final and lines and not lines[-1].endswith(b"\n"):
        lines.pop()  # a last carriage return may be half of a line end
    records, parts, place = Mended(), list[bytes](), 0
    while place < len(lines):
        if b'"' not in lines[place]:
            parts.append(_ended(lines[place], dialect))
            records.line.append(place)
            place += 1
            continue
        used, row = _record(lines, place, dialect)
        if row is None and used > len(lines) - place and not (final or forced):
            break
        if row is None or not _fits(row, used, lines[place + 1 : place + used], dialect):
            used = _set_aside(records, lines, place, (row, used), dialect)
        else:
            parts.append(_written(row, dialect))
            records.line.append(place)
        place += used
    records.data, records.num_lines, records.size = b"".join(parts), place, sum(map(len, lines[:place]))
    return records


def _ended(line: bytes, dialect: Dialect) -> bytes:
    return (line.rstrip(b"\r\n") if dialect.by_return else line.removesuffix(b"\n")) + b"\n"


def _record(lines: list[bytes], place: int, dialect: Dialect) -> tuple[int, list[str] | None]:
    """Return how many lines the record at `place` takes, and its fields; None = its quotes are not sound (then the
    number is 1, or more than there are lines where a quote stays open)."""
    reader = csv.reader(_texts(lines, place), delimiter=dialect.separator, strict=True)
    try:
        row = next(reader)
        return reader.line_num, row
    except csv.Error:
        if reader.line_num == len(lines) - place and _is_open(lines[place:], dialect):
            return len(lines) - place + 1, None
    plain = _text(lines[place]).rstrip("\r\n").split(dialect.separator)
    if dialect.separator == "\t" and len(plain) == dialect.width:  # tab-separated files often know no quotes
        return 1, plain
    reader = csv.reader([_text(lines[place]), "end"], delimiter=dialect.separator)
    try:
        row = next(reader)
    except csv.Error:
        return 1, None
    return 1, row if reader.line_num == 1 else None


def _is_open(lines: list[bytes], dialect: Dialect) -> bool:
    """Return whether the record that begins with `lines` goes on behind them, its quotes sound so far."""
    reader = csv.reader([*_texts(lines, 0), '"'], delimiter=dialect.separator, strict=True)
    try:
        next(reader)
    except csv.Error:
        return False
    return reader.line_num > len(lines)


def _texts(lines: list[bytes], place: int) -> Iterator[str]:
    return (_text(lines[index]) for index in range(place, len(lines)))


def _text(line: bytes) -> str:
    return line.decode("utf-8", _ESCAPED)


def _fits(row: list[str], used: int, further: list[bytes], dialect: Dialect) -> bool:
    """Return whether the record is to be taken as it is: a wrong number of fields in one line is judged later."""
    return used == 1 or len(row) == dialect.width or (len(row) > dialect.width and not any(row[dialect.width :]))


def _set_aside(
    records: Mended, lines: list[bytes], place: int, record: tuple[list[str] | None, int], dialect: Dialect
) -> int:
    """Set a bad record aside and return its lines.

    A record of sound quotes and several lines is bad as a whole, unless most of its further lines are records when
    read alone: then two stray quotes were taken for a pair, and only its first line is bad.
    """
    row, used = record
    if row is not None:
        further = lines[place + 1 : place + used]
        alone = sum(_ended(line, dialect).count(dialect.separator.encode()) + 1 == dialect.width for line in further)
        if alone * 2 <= len(further):
            records.bad.append((WRONG_FIELD_COUNT, [(place, _shown(b"".join(lines[place : place + used])))]))
            return used
    records.bad.append((UNCLOSED_QUOTE, [(place, _shown(lines[place]))]))
    return 1


def _shown(data: bytes) -> str:
    return data.decode("utf-8", "replace").rstrip("\r\n")


def _written(row: list[str], dialect: Dialect) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=dialect.separator, lineterminator="\r\n").writerow(row)  # quotes what holds either
    return text.getvalue()[:-2].encode("utf-8", _ESCAPED) + b"\n"
