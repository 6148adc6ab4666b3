"""Records whose quotes do not conform to RFC 4180, read one by one and rewritten to conform."""

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

csv.field_size_limit(sys.maxsize)  # for the whole process: fields may have any size
Bad = tuple[str, list[tuple[int, str]]]
"""Lines of one kind of reject, each `(line, text)`."""
_ESCAPED: Final = "surrogateescape"
"""Bytes that are not UTF-8 pass through; they are checked later."""


@dataclass
class Mended:
    """Rewritten records, each ended by a newline."""

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

    A record of several lines is accepted only if its quotes are valid. Otherwise its first line is bad, and the lines
    after it are read again, so that a stray quote costs one line. `final` = no bytes follow; `forced` = a quote that
    is open at the end of `data` counts as never closed.
    """
    pattern = rb"[^\r\n]*(?:\r\n?|\n)|[^\r\n]+$" if dialect.by_return else rb"[^\n]*\n|[^\n]+$"
    lines = re.findall(pattern, data)
    if not final and lines and not lines[-1].endswith(b"\n"):
        lines.pop()  # a last carriage return may be half of a line end
    records, parts, at = Mended(), list[bytes](), 0
    while at < len(lines):
        if b'"' not in lines[at]:
            parts.append(_ended(lines[at], dialect))
            records.line.append(at)
            at += 1
            continue
        used, row = _record(lines, at, dialect)
        if row is None and used > len(lines) - at and not (final or forced):
            break
        if row is None or not _fits(row, used, dialect):
            used = _set_aside(records, lines, at, (row, used), dialect)
        else:
            parts.append(_written(row, dialect))
            records.line.append(at)
        at += used
    records.data, records.num_lines, records.size = b"".join(parts), at, sum(map(len, lines[:at]))
    return records


def _ended(line: bytes, dialect: Dialect) -> bytes:
    return (line.rstrip(b"\r\n") if dialect.by_return else line.removesuffix(b"\n")) + b"\n"


def _record(lines: list[bytes], at: int, dialect: Dialect) -> tuple[int, list[str] | None]:
    """Return how many lines the record at line `at` takes, and its fields; None = its quotes are invalid (then the
    number is 1, or more than the remaining lines if a quote stays open)."""
    reader = csv.reader(_texts(lines, at), delimiter=dialect.separator, strict=True)
    try:
        row = next(reader)
        return reader.line_num, row
    except csv.Error:
        if reader.line_num == len(lines) - at and _is_open(lines[at:], dialect):
            return len(lines) - at + 1, None
    plain = _text(lines[at]).rstrip("\r\n").split(dialect.separator)
    if dialect.separator == "\t" and len(plain) == dialect.width:  # in tab-separated files quotes are often plain
        return 1, plain
    reader = csv.reader([_text(lines[at]), "end"], delimiter=dialect.separator)
    try:
        row = next(reader)
    except csv.Error:
        return 1, None
    return 1, row if reader.line_num == 1 else None


def _is_open(lines: list[bytes], dialect: Dialect) -> bool:
    """Return whether the record that begins with `lines` continues after them, its quotes valid so far."""
    reader = csv.reader([*_texts(lines, 0), '"'], delimiter=dialect.separator, strict=True)
    try:
        next(reader)
    except csv.Error:
        return False
    return reader.line_num > len(lines)


def _texts(lines: list[bytes], first: int) -> Iterator[str]:
    return (_text(lines[index]) for index in range(first, len(lines)))


def _text(line: bytes) -> str:
    return line.decode("utf-8", _ESCAPED)


def _fits(row: list[str], used: int, dialect: Dialect) -> bool:
    """Return whether to accept the record; a wrong number of fields in a record of one line is checked later."""
    return used == 1 or len(row) == dialect.width or (len(row) > dialect.width and not any(row[dialect.width :]))


def _set_aside(
    records: Mended, lines: list[bytes], at: int, record: tuple[list[str] | None, int], dialect: Dialect
) -> int:
    """Return the number of lines of a bad record, which is added to `records.bad`.

    A record of several lines with valid quotes is bad as a whole, unless most of its further lines are records by
    themselves: then two stray quotes look like a pair, and only the first line is bad.
    """
    row, used = record
    if row is not None:
        further = lines[at + 1 : at + used]
        alone = sum(_ended(line, dialect).count(dialect.separator.encode()) + 1 == dialect.width for line in further)
        if alone * 2 <= len(further):
            records.bad.append((WRONG_FIELD_COUNT, [(at, _shown(b"".join(lines[at : at + used])))]))
            return used
    records.bad.append((UNCLOSED_QUOTE, [(at, _shown(lines[at]))]))
    return 1


def _shown(data: bytes) -> str:
    return data.decode("utf-8", "replace").rstrip("\r\n")


def _written(row: list[str], dialect: Dialect) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=dialect.separator, lineterminator="\r\n").writerow(
        row
    )  # quotes fields with separators or quotes
    return text.getvalue()[:-2].encode("utf-8", _ESCAPED) + b"\n"
