"""A piece of text as a block: fast if all records have as many fields as the header, else record by record.

Line ends and separators are counted in the bytes. Polars would drop surplus fields and fill missing ones, so it
parses only records whose counts are right.
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
"""Bytes that may replace a separator of two characters."""
_TAKEN_FOR_ANOTHER: Final = (UTF8_MARK, b"\x1f\x8b", b"x\x01", b"x^", b"x\x9c", b"x\xda", b"\x28\xb5\x2f\xfd")
"""First bytes that Polars does not read as text: a byte-order mark, and those of gzip, zlib and zstd."""


@dataclass(frozen=True)
class Parsed:
    """The valid records of a piece, and those left out; lines count from 0 within the piece."""

    frame: pl.DataFrame
    line: NDArray[np.int64]
    num_lines: int
    bad: list[Bad] = field(default_factory=list)
    num_headers: int = 0
    """Repeated headers left out."""
    texts: Callable[[NDArray[np.int64]], list[str]] | None = None
    """Returns the complete text of the records on the given lines."""


@dataclass(frozen=True)
class Fields:
    """The fields of a record that are read."""

    width: int
    """Fields of a record."""
    indices: frozenset[int]
    """Fields that are read."""
    types: Mapping[int, Any] = field(default_factory=dict)
    """Polars type of fields that need not be text; used if all values of the piece have it."""


def parsed(piece: Piece, dialect: Dialect, wanted: Sequence[str], types: Mapping[str, Any] | None = None) -> Parsed:
    """Return the records of `piece`, columns `wanted` only: String, empty fields null.

    `types`: types to try for columns first; a column is String if a value has another type.
    """
    piece, separator = _single(piece, dialect)
    indices = [dialect.names.index(name) for name in wanted]
    typed = {dialect.names.index(name): dtype for name, dtype in (types or {}).items() if name in wanted}
    fields = Fields(dialect.width, frozenset(indices), typed)
    sound = None if dialect.width == 1 or b"\0" in piece.data else _sound(piece, separator, fields)
    if sound is not None:
        records, line, num_lines = sound
        whole = Parsed(_named(records, indices, wanted), line, num_lines, piece.bad)
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
        frame = _exact(structure, indices)
    whole = Parsed(_named(frame, indices, wanted), structure.line, num_lines, bad)
    return _with_texts(whole, lambda: structure, dialect)


def _single(piece: Piece, dialect: Dialect) -> tuple[Piece, int]:
    """Return the piece with a separator of one byte, and that byte."""
    separator = dialect.separator.encode()
    if len(separator) == 1:
        return piece, separator[0]
    byte = next((byte for byte in _STAND_INS if byte not in piece.data), None)
    if byte is None:
        raise InputError(
            f"text with '{dialect.separator}' between its fields has control characters in them; name a listening log"
        )
    return replace(piece, data=piece.data.replace(separator, bytes((byte,)))), byte


def _sound(piece: Piece, separator: int, fields: Fields) -> tuple[pl.DataFrame, NDArray[np.int64], int] | None:
    """Return the records of a valid piece, their lines and the number of lines; None if the piece may be invalid.

    If the number of separators in total is right and no record lacks its last field, every record has the right number.
    """
    width = fields.width
    if not piece.quoted and piece.line is None:
        num_rows, num_separators = counts_of(piece.data, _NEWLINE, separator)
        if num_separators != num_rows * (width - 1):
            return None
        frame = _fast(piece, separator, num_rows, replace(fields, indices=fields.indices | {width - 1}))
        if frame is not None and not frame[str(width - 1)].null_count():
            return frame, np.arange(num_rows, dtype=np.int64), num_rows
    lines = even_lines(piece, separator, width)
    if lines is None:
        return None
    if piece.quoted or piece.line is not None:
        frame = _fast(piece, separator, len(lines[0]), fields)
    return None if frame is None else (frame, *lines)


def _fast(piece: Piece, separator: int, num_rows: int, fields: Fields) -> pl.DataFrame | None:
    """Return valid records as Polars reads them, or None if it fails."""
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
            schema={str(index): fields.types.get(index, pl.String) for index in range(fields.width)},
            columns=sorted(fields.indices),
            separator=chr(separator),
            quote_char=quote,
        )
    except pl.exceptions.PolarsError:
        return None


def _exact(structure: Structure, indices: list[int]) -> pl.DataFrame:
    """Return valid records, split one by one."""
    rows = [structure.fields(record) for record in range(len(structure.line))]
    columns = [(index, [row[index].decode("utf-8") or None for row in rows]) for index in sorted(set(indices))]
    return pl.DataFrame([pl.Series(str(index), values, pl.String) for index, values in columns])


def _named(frame: pl.DataFrame, indices: list[int], wanted: Sequence[str]) -> pl.DataFrame:
    return frame.select(pl.col(str(index)).alias(name) for index, name in zip(indices, wanted, strict=True))


def _with_texts(whole: Parsed, structure: Callable[[], Structure], dialect: Dialect) -> Parsed:
    """Return `whole` with `texts`, without repeated headers."""
    return _without_headers(replace(whole, texts=partial(_texts_on, structure, dialect)), structure, dialect)


def _texts_on(structure: Callable[[], Structure], dialect: Dialect, lines: NDArray[np.int64]) -> list[str]:
    """Return the text of the records that begin on `lines`."""
    records = structure()
    return [shown(records.record(at), records, dialect) for at in np.searchsorted(records.line, lines).tolist()]


def _without_headers(whole: Parsed, structure: Callable[[], Structure], dialect: Dialect) -> Parsed:
    """Return `whole` without records that equal the header."""
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
