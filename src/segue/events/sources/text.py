"""Delimited text in blocks of whole lines: fast where it is sound, exact where it is not.

Polars parses each block, reading only the columns asked for. Alone it would drop surplus fields and fail a whole file
on one unclosed quote; so lines and separators of the same bytes are counted beside it, and where the counts
disagree every line's fields are counted exactly and the bad lines go to the rejects. A line is a physical line:
a quoted field that holds a newline makes its lines bad.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from segue.errors import InputError
from segue.events.rejects import NOT_UTF8, TRUNCATED_LAST_LINE, WRONG_FIELD_COUNT, HeldRejects, Rejects
from segue.events.sources.ahead import worked_ahead
from segue.events.sources.raw import first_line, whole_lines

_NEWLINE: Final = 10
_PIECE: Final = 1 << 19
"""Bytes counted at once: half of a core's second-level cache (1 MiB), 2x the rate of a whole block."""


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
    """Parsed lines: `frame` (all String, empty = null), `line` int64 [rows], and their bytes."""

    frame: pl.DataFrame
    line: NDArray[np.int64]
    data: bytes

    def texts(self, rows: NDArray[np.int64]) -> list[tuple[int, str]]:
        """Return `(line, text)` of the given rows of the block, as read."""
        starts, ends = _line_bounds(self.data)
        return [(int(self.line[i]), _decode(self.data[starts[i] : ends[i]])) for i in rows]


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
    """Yield the lines of `path` below its header, columns `wanted` only; bad lines go to `rejects`.

    `line` of a block is that of the file: the header is line 1.
    """

    def parsed(data: bytes) -> tuple[Block, int, HeldRejects]:
        held = HeldRejects()
        return parse_block(data, layout, wanted, path.name, held), num_lines(data), held

    first = 2
    for block, count, held in worked_ahead(parsed, whole_lines(path)):
        held.release(rejects, path.name, first)
        if block.data:
            yield replace(block, line=block.line + first)
        first += count


def num_lines(data: bytes) -> int:
    """Return the lines of `data`; the last may lack its newline."""
    return count_bytes(data, np.equal, _NEWLINE) + (not data.endswith(b"\n") and bool(data))


def count_bytes(data: bytes, compare: np.ufunc, value: int) -> int:
    """Return how many bytes of `data` compare with `value`, in pieces that stay in the cache."""
    array, mask, count = np.frombuffer(data, np.uint8), np.empty(_PIECE, np.bool_), 0
    for start in range(0, len(array), _PIECE):
        piece = array[start : start + _PIECE]
        count += int(np.count_nonzero(compare(piece, value, out=mask[: len(piece)])))
    return count


def parse_block(data: bytes, layout: Layout, wanted: tuple[str, ...], name: str, held: HeldRejects) -> Block:
    """Return the sound lines of `data`, lines counted from 0; bad ones go to `held`.

    Raises:
        InputError: file `name` is no such text.
    """
    line = np.arange(num_lines(data), dtype=np.int64)
    whole = _whole_last_line(data, line, layout, held)
    return _parse(whole, line if len(whole) >= len(data) else line[:-1], layout, wanted, (name, held))


def _whole_last_line(data: bytes, numbers: NDArray[np.int64], layout: Layout, held: HeldRejects) -> bytes:
    """Return `data` ended by a newline; a last line that was cut short goes to `rejects`."""
    if not data or data.endswith(b"\n"):
        return data
    cut = data.rfind(b"\n") + 1
    text = _decode(data[cut:])
    fields = next(csv.reader([text], delimiter=layout.separator)) if layout.quoted else text.split(layout.separator)
    known = not layout.last_values or fields[-1].rstrip("\r") in layout.last_values
    if len(fields) == len(layout.header) and known:
        return data + b"\n"
    held.add(TRUNCATED_LAST_LINE, [(int(numbers[-1]), text)])
    return data[:cut]


def _parse(
    data: bytes, line: NDArray[np.int64], layout: Layout, wanted: tuple[str, ...], out: tuple[str, HeldRejects]
) -> Block:
    quotes = layout.quoted and b'"' in data
    separator = ord(layout.separator)
    expected = len(line) * (len(layout.header) - 1)
    if quotes or count_bytes(data, np.equal, separator) == expected:
        frame = _polars(data, layout, wanted, quotes)
        if frame is not None and frame.height == len(line) and frame[layout.header[-1]].null_count() == 0:
            return Block(frame.select(wanted), line, data)
    return _exact(data, line, layout, wanted, out)


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
    data: bytes, line: NDArray[np.int64], layout: Layout, wanted: tuple[str, ...], out: tuple[str, HeldRejects]
) -> Block:
    """Return the sound lines of a suspicious block, its fields counted line by line."""
    name, held = out
    starts, ends = _line_bounds(data)
    if layout.quoted and b'"' in data:
        return _exact_quoted(data, line, layout, wanted, out)
    marks = np.flatnonzero(np.frombuffer(data, np.uint8) == ord(layout.separator))
    fields = np.searchsorted(marks, ends) - np.searchsorted(marks, starts) + 1
    sound = fields == len(layout.header)
    bad = np.flatnonzero(~sound)
    held.add(WRONG_FIELD_COUNT, [(int(line[i]), _decode(data[starts[i] : ends[i]])) for i in bad])
    data, line = _kept(data, sound), line[sound]
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        data, line = _drop_undecodable(data, line, held)
    frame = _polars(data, layout, wanted, False)
    if frame is None or frame.height != len(line):
        raise InputError(f"{name}, lines {line[0]} to {line[-1]}: cannot be read as text; is it a CSV file?")
    return Block(frame.select(wanted), line, data)


def _exact_quoted(
    data: bytes, line: NDArray[np.int64], layout: Layout, wanted: tuple[str, ...], out: tuple[str, HeldRejects]
) -> Block:
    """Return the sound lines of a block with quotes, each physical line read alone."""
    texts = [_decode(part).rstrip("\r") for part in data.split(b"\n")[:-1]]
    rows = [_fields(text, layout.separator) for text in texts]
    sound = np.array([len(row) == len(layout.header) for row in rows], dtype=bool)
    bad = np.flatnonzero(~sound)
    out[1].add(WRONG_FIELD_COUNT, [(int(line[i]), texts[i]) for i in bad])
    good = [[field or None for field in rows[i]] for i in np.flatnonzero(sound)]
    frame = pl.DataFrame(good, schema=dict.fromkeys(layout.header, pl.String), orient="row")
    return Block(frame.select(wanted), line[sound], _kept(data, sound))


def _fields(text: str, separator: str) -> list[str]:
    """Return the fields of one line; an unclosed quote yields none."""
    try:
        return next(csv.reader([text], delimiter=separator, strict=True), [])
    except csv.Error:
        return []


def _drop_undecodable(data: bytes, line: NDArray[np.int64], held: HeldRejects) -> tuple[bytes, NDArray[np.int64]]:
    parts = data.split(b"\n")[:-1]
    sound = np.array([_is_utf8(part) for part in parts], dtype=bool)
    held.add(NOT_UTF8, [(int(line[i]), _decode(parts[i])) for i in np.flatnonzero(~sound)])
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
