"""A piece of text as a block: fast where all records have as many fields as the header, one by one where not.

Line ends and separators are counted in the bytes themselves; Polars, which would drop surplus fields and fill missing
ones, parses only what was found sound.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from segue.data.records.dialect import Dialect
from segue.data.records.encoding import UTF8_MARK
from segue.data.records.mending import Bad
from segue.data.records.pieces import Piece
from segue.data.records.sifting import readable, shown, sifted
from segue.data.records.structure import Structure, counts_of, even_lines, structure_of
from segue.errors import InputError

_NEWLINE: Final = 10
_STAND_INS: Final = bytes((31, 30, 29, 28, *range(1, 9), *range(14, 28)))
"""Bytes that may stand for a separator of two characters."""
_TAKEN_FOR_ANOTHER: Final = (UTF8_MARK, b"\x1f\x8b", b"x\x01", b"x^", b"x\x9c", b"x\xda", b"\x28\xb5\x2f\xfd")
"""First bytes that Polars does not read as text: a mark, which it takes away, and those of gzip, zlib and zstd."""


@dataclass(frozen=True)
class Parsed:
    """The sound records of a piece, and what was left out; lines from 0 at the piece's first."""

    frame: pl.DataFrame
    line: NDArray[np.int64]
    num_lines: int
    bad: list[Bad] = field(default_factory=list)
    num_headers: int = 0
    """Repeated headers left out."""
    texts: Callable[[NDArray[np.int64]], list[str]] | None = None
    """Returns the whole records that begin on the given lines, as they stand in the file."""


@dataclass(frozen=True)
class Fields:
    """Which fields of a record are read."""

    width: int
    """Fields of a record."""
    places: frozenset[int]
    """Those that are read."""
    types: Mapping[int, Any] = field(default_factory=dict)
    """Polars type of those that need not be text, where all values of the piece are of it."""


def parsed(piece: Piece, dialect: Dialect, wanted: Sequence[str], types: Mapping[str, Any] | None = None) -> Parsed:
    """Return the records of `piece`, columns `wanted` only: String, an empty field null.

    `types`: what columns are tried as first; they are String where a value is of another type.
    """
    piece, separator = _single(piece, dialect)
    places = [dialect.names.index(name) for name in wanted]
    typed = {dialect.names.index(name): dtype for name, dtype in (types or {}).items() if name in wanted}
    fields = Fields(dialect.width, frozenset(places), typed)
    sound = None if dialect.width == 1 or b"\0" in piece.data else _sound(piece, separator, fields)
    if sound is not None:
        records, line, num_lines = sound
        whole = Parsed(_named(records, places, wanted), line, num_lines, piece.bad)
        return _with_texts(whole, lambda: structure_of(piece, separator), dialect)
    bad = list(piece.bad)
    structure = structure_of(piece, separator)
    num_lines = structure.num_lines
    if not structure.is_even(dialect.width) or b"\0" in structure.data:
        structure = sifted(structure, dialect, piece.cut, bad)
    fields = replace(fields, types={})
    frame = _fast(structure.piece, separator, len(structure.line), fields)
    if frame is None:
        structure = readable(structure, bad)
        frame = _fast(structure.piece, separator, len(structure.line), fields)
    if frame is None:
        frame = _exact(structure, places)
    whole = Parsed(_named(frame, places, wanted), structure.line, num_lines, bad)
    return _with_texts(whole, lambda: structure, dialect)


def _single(piece: Piece, dialect: Dialect) -> tuple[Piece, int]:
    """Return the piece with a separator of one byte, and that byte."""
    separator = dialect.separator.encode()
    if len(separator) == 1:
        return piece, separator[0]
    byte = next((byte for byte in _STAND_INS if byte not in piece.data), None)
    if byte is None:
        raise InputError(f"text with '{dialect.separator}' between its fields and control characters in them: no log")
    return replace(piece, data=piece.data.replace(separator, bytes((byte,)))), byte


def _sound(piece: Piece, separator: int, fields: Fields) -> tuple[pl.DataFrame, NDArray[np.int64], int] | None:
    """Return the records of a piece without a flaw, their lines and how many lines there are; None where it may have a
    flaw.

    Where as many separators stand as sound records have in all, and no record lacks its last field, each has as many.
    """
    width = fields.width
    if not piece.quoted and piece.line is None:
        num_rows, num_separators = counts_of(piece.data, _NEWLINE, separator)
        if num_separators != num_rows * (width - 1):
            return None
        frame = _fast(piece, separator, num_rows, replace(fields, places=fields.places | {width - 1}))
        if frame is not None and not frame[str(width - 1)].null_count():
            return frame, np.arange(num_rows, dtype=np.int64), num_rows
    lines = even_lines(piece, separator, width)
    if lines is None:
        return None
    if piece.quoted or piece.line is not None:
        frame = _fast(piece, separator, len(lines[0]), fields)
    return None if frame is None else (frame, *lines)


def _fast(piece: Piece, separator: int, num_rows: int, fields: Fields) -> pl.DataFrame | None:
    """Return sound records as Polars reads them, or None where it refuses."""
    quote = '"' if piece.quoted else None
    frame = _polars(piece.data, separator, quote, fields)
    if frame is None and fields.types:
        frame = _polars(piece.data, separator, quote, replace(fields, types={}))
    if frame is None or frame.height != num_rows:
        return None
    if piece.quoted and b'""' in piece.data:
        return frame.with_columns(pl.when(pl.col(pl.String) != "").then(pl.col(pl.String)))
    return frame


def _polars(data: bytes, separator: int, quote: str | None, fields: Fields) -> pl.DataFrame | None:
    if not data or data.startswith(_TAKEN_FOR_ANOTHER):
        return None
    try:
        return pl.read_csv(
            data,
            has_header=False,
            schema={str(place): fields.types.get(place, pl.String) for place in range(fields.width)},
            columns=sorted(fields.places),
            separator=chr(separator),
            quote_char=quote,
        )
    except pl.exceptions.PolarsError:
        return None


def _exact(structure: Structure, places: list[int]) -> pl.DataFrame:
    """Return sound records split one by one."""
    rows = [structure.fields(record) for record in range(len(structure.line))]
    columns = [(place, [row[place].decode("utf-8") or None for row in rows]) for place in sorted(set(places))]
    return pl.DataFrame([pl.Series(str(place), values, pl.String) for place, values in columns])


def _named(frame: pl.DataFrame, places: list[int], wanted: Sequence[str]) -> pl.DataFrame:
    return frame.select(pl.col(str(place)).alias(name) for place, name in zip(places, wanted, strict=True))


def _with_texts(whole: Parsed, structure: Callable[[], Structure], dialect: Dialect) -> Parsed:
    """Return what was parsed, with the texts of its records."""
    return _without_headers(replace(whole, texts=partial(_texts_on, structure, dialect)), structure, dialect)


def _texts_on(structure: Callable[[], Structure], dialect: Dialect, lines: NDArray[np.int64]) -> list[str]:
    """Return the text of the records that begin on `lines`."""
    records = structure()
    return [shown(records.record(at), records, dialect) for at in np.searchsorted(records.line, lines).tolist()]


def _without_headers(whole: Parsed, structure: Callable[[], Structure], dialect: Dialect) -> Parsed:
    """Return what was parsed without the records that are the header again."""
    if not dialect.header or not whole.frame.width or whole.frame.dtypes[-1] != pl.String:  # a header is text
        return whole
    name = whole.frame.columns[-1]
    cell = dialect.cells[dialect.names.index(name)]
    alike = whole.frame[name].is_in([cell, "\ufeff" + cell])
    if not alike.any():
        return whole
    repeated, records = np.zeros(len(whole.line), dtype=np.bool_), structure()
    for record in alike.arg_true().to_list():
        text = shown(records.record(record), records, dialect).removeprefix("\ufeff")
        repeated[record] = text.encode() == dialect.header
    return replace(
        whole, frame=whole.frame.filter(~repeated), line=whole.line[~repeated], num_headers=int(repeated.sum())
    )
