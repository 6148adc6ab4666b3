"""Delimited text in blocks of whole lines: fast where it is sound, exact where it is not.

Polars parses each block, reading only the columns asked for. Alone it would drop surplus fields and fail a whole file
on one unclosed quote; so lines and separators of the same bytes are counted beside it, and where the counts
disagree every line's fields are counted exactly and the bad lines go to the rejects. A line is a physical line:
a quoted field that holds a newline makes its lines bad.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from segue.errors import InputError
from segue.events.rejects import NOT_UTF8, TRUNCATED_LAST_LINE, WRONG_FIELD_COUNT, Rejects
from segue.events.sources.raw import first_line, whole_lines

_NEWLINE: Final = 10


@dataclass(frozen=True)
class Layout:
    """How a text file is laid out."""

    header: tuple[str, ...]
    separator: str = ","
    quoted: bool = False
    """True where a field may stand in double quotes; False reads quotes as plain characters."""
    last_values: frozenset[str] = frozenset()
    """What the last field may be, where known: tells a whole last line from a cut one."""


@dataclass(frozen=True)
class Block:
    """Parsed lines: `frame` (all String, empty = null), `line` int64 [rows] (header = 1), and their bytes."""

    frame: pl.DataFrame
    line: NDArray[np.int64]
    data: bytes

    def texts(self, rows: NDArray[np.int64]) -> list[tuple[int, str]]:
        """Return `(line, text)` of the given rows of the block, as read."""
        starts, ends = _line_bounds(self.data)
        return [(int(self.line[i]), _decode(self.data[starts[i] : ends[i]])) for i in rows]


@dataclass(frozen=True)
class _Held:
    """Bad lines of one block, held until the caller takes the block: rejects stay in file order."""

    bad: list[tuple[str, list[tuple[int, str]]]] = field(default_factory=list)

    def add(self, kind: str, file: str, rows: list[tuple[int, str]]) -> None:
        """Hold bad rows of one kind."""
        del file  # a block knows one file
        self.bad.append((kind, rows))


def read_layout(path: Path, *, separator: str | None = None, quoted: bool = False) -> Layout:
    """Return the layout that the first line of `path` shows; the separator (tab, comma, semicolon) is guessed.

    Raises:
        InputError: no such file, empty, not UTF-8, or the same column twice.
    """
    try:
        line = first_line(path).rstrip(b"\r\n").decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: the header is no UTF-8 ({error}); save the file as UTF-8") from error
    if not line.strip():
        raise InputError(f"{path} is empty; name a file with a header line")
    if separator is None:
        separator = max(("\t", ",", ";"), key=line.count)
    header = tuple(next(csv.reader([line], delimiter=separator)) if quoted else line.split(separator))
    if len(set(header)) != len(header):
        raise InputError(f"{path}: the header names a column twice ({', '.join(header)}); rename one")
    return Layout(header, separator, quoted)


def read_blocks(path: Path, layout: Layout, wanted: tuple[str, ...], rejects: Rejects) -> Iterator[Block]:
    """Yield the lines of `path` below its header, columns `wanted` only; bad lines go to `rejects`."""
    blocks = _parsed(path, layout, wanted)
    with ThreadPoolExecutor(1) as pool:  # the next block is parsed while the caller works on this one
        ahead = pool.submit(next, blocks, None)
        while (found := ahead.result()) is not None:
            ahead = pool.submit(next, blocks, None)
            block, held = found
            for kind, rows in held.bad:
                rejects.add(kind, path.name, rows)
            if block is not None:
                yield block


def _parsed(path: Path, layout: Layout, wanted: tuple[str, ...]) -> Iterator[tuple[Block | None, _Held]]:
    """Yield each block with the lines that were bad in it."""
    line, first = 1, True
    for data in whole_lines(path):
        if first:
            data, line, first = data.partition(b"\n")[2], 2, False
        count = int(np.count_nonzero(np.frombuffer(data, np.uint8) == _NEWLINE))
        count += not data.endswith(b"\n") and bool(data)
        numbers = np.arange(line, line + count, dtype=np.int64)
        line += count
        held = _Held()
        whole = _whole_last_line(data, numbers, layout, path.name, held)
        kept = numbers if len(whole) >= len(data) else numbers[:-1]
        yield (_parse(whole, kept, layout, wanted, path.name, held) if whole else None), held


def _whole_last_line(data: bytes, numbers: NDArray[np.int64], layout: Layout, name: str, rejects: _Held) -> bytes:
    """Return `data` ended by a newline; a last line that was cut short goes to `rejects`."""
    if not data or data.endswith(b"\n"):
        return data
    cut = data.rfind(b"\n") + 1
    text = _decode(data[cut:])
    fields = next(csv.reader([text], delimiter=layout.separator)) if layout.quoted else text.split(layout.separator)
    known = not layout.last_values or fields[-1].rstrip("\r") in layout.last_values
    if len(fields) == len(layout.header) and known:
        return data + b"\n"
    rejects.add(TRUNCATED_LAST_LINE, name, [(int(numbers[-1]), text)])
    return data[:cut]


def _parse(
    data: bytes, line: NDArray[np.int64], layout: Layout, wanted: tuple[str, ...], name: str, rejects: _Held
) -> Block:
    quotes = layout.quoted and b'"' in data
    separator = ord(layout.separator)
    expected = len(line) * (len(layout.header) - 1)
    if quotes or int(np.count_nonzero(np.frombuffer(data, np.uint8) == separator)) == expected:
        frame = _polars(data, layout, wanted, quotes)
        if frame is not None and frame.height == len(line) and frame[layout.header[-1]].null_count() == 0:
            return Block(frame.select(wanted), line, data)
    return _exact(data, line, layout, wanted, (name, rejects))


def _polars(data: bytes, layout: Layout, wanted: tuple[str, ...], quotes: bool) -> pl.DataFrame | None:
    """Return the block as Polars reads it, or None where it refuses; with quotes every column is parsed."""
    if not data:
        return pl.DataFrame(schema=dict.fromkeys(layout.header, pl.String))
    needed = set(wanted) | {layout.header[-1]}
    index = [i for i, name in enumerate(layout.header) if name in needed]
    try:
        return pl.read_csv(
            data,
            has_header=False,
            schema=dict.fromkeys(layout.header, pl.String),
            columns=None if quotes else index,
            separator=layout.separator,
            quote_char='"' if quotes else None,
        )
    except pl.exceptions.PolarsError:
        return None


def _exact(
    data: bytes, line: NDArray[np.int64], layout: Layout, wanted: tuple[str, ...], out: tuple[str, _Held]
) -> Block:
    """Return the sound lines of a suspicious block, its fields counted line by line."""
    name, rejects = out
    starts, ends = _line_bounds(data)
    if layout.quoted and b'"' in data:
        return _exact_quoted(data, line, layout, wanted, out)
    marks = np.flatnonzero(np.frombuffer(data, np.uint8) == ord(layout.separator))
    fields = np.searchsorted(marks, ends) - np.searchsorted(marks, starts) + 1
    sound = fields == len(layout.header)
    bad = np.flatnonzero(~sound)
    rejects.add(WRONG_FIELD_COUNT, name, [(int(line[i]), _decode(data[starts[i] : ends[i]])) for i in bad])
    data, line = _kept(data, sound), line[sound]
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        data, line = _drop_undecodable(data, line, name, rejects)
    frame = _polars(data, layout, wanted, False)
    if frame is None or frame.height != len(line):
        raise InputError(f"{name}, lines {line[0]} to {line[-1]}: cannot be read as text; is it a CSV file?")
    return Block(frame.select(wanted), line, data)


def _exact_quoted(
    data: bytes, line: NDArray[np.int64], layout: Layout, wanted: tuple[str, ...], out: tuple[str, _Held]
) -> Block:
    """Return the sound lines of a block with quotes, each physical line read alone."""
    texts = [_decode(part).rstrip("\r") for part in data.split(b"\n")[:-1]]
    rows = [_fields(text, layout.separator) for text in texts]
    sound = np.array([len(row) == len(layout.header) for row in rows], dtype=bool)
    bad = np.flatnonzero(~sound)
    out[1].add(WRONG_FIELD_COUNT, out[0], [(int(line[i]), texts[i]) for i in bad])
    good = [[field or None for field in rows[i]] for i in np.flatnonzero(sound)]
    frame = pl.DataFrame(good, schema=dict.fromkeys(layout.header, pl.String), orient="row")
    return Block(frame.select(wanted), line[sound], _kept(data, sound))


def _fields(text: str, separator: str) -> list[str]:
    """Return the fields of one line; an unclosed quote yields none."""
    try:
        return next(csv.reader([text], delimiter=separator, strict=True), [])
    except csv.Error:
        return []


def _drop_undecodable(
    data: bytes, line: NDArray[np.int64], name: str, rejects: _Held
) -> tuple[bytes, NDArray[np.int64]]:
    parts = data.split(b"\n")[:-1]
    sound = np.array([_is_utf8(part) for part in parts], dtype=bool)
    rejects.add(NOT_UTF8, name, [(int(line[i]), _decode(parts[i])) for i in np.flatnonzero(~sound)])
    return _kept(data, sound), line[sound]


def _is_utf8(part: bytes) -> bool:
    try:
        part.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _kept(data: bytes, sound: NDArray[np.bool_]) -> bytes:
    """Return the lines of `data` where `sound` holds."""
    starts, ends = _line_bounds(data)
    keep = np.repeat(sound, ends + 1 - starts)
    return np.frombuffer(data, np.uint8)[keep].tobytes()


def _line_bounds(data: bytes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return first byte and newline byte of each line of `data` (which ends with a newline)."""
    ends = np.flatnonzero(np.frombuffer(data, np.uint8) == _NEWLINE)
    return np.concatenate([np.zeros(1, np.int64), ends[:-1] + 1])[: len(ends)], ends


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "replace").rstrip("\r")
