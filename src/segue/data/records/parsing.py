"""A piece of text as records: fast if all of them have as many fields as the header, else record by record.

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
from segue.data.records.pieces import Bad, Piece
from segue.data.records.sifting import Records, readable, records_of, sifted
from segue.data.records.utf8_text import UTF8_MARK
from segue.errors import InputError

_NEWLINE: Final = 10
_QUOTE: Final = 34
_PART: Final = 1 << 19
"""Bytes searched at once: half of a core's second-level cache (1 MiB)."""
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
    bad: list[Bad]
    texts: Callable[[NDArray[np.int64]], list[str]]
    """Returns the complete text of the records on the given lines."""
    num_headers: int = 0
    """Repeated headers left out."""


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
    fields, bad = Fields(dialect.width, frozenset(indices), typed), list(piece.bad)
    sound = None if dialect.width == 1 or b"\0" in piece.data else _sound(piece, separator, fields)
    if sound is not None:
        frame, line, num_lines = sound
        texts = partial(_texts_on, piece, separator, dialect)
    else:
        records = sifted(records_of(piece, separator), dialect, piece.cut, bad)
        records, frame = _read(records, replace(fields, types={}), bad)
        line, num_lines, texts = records.line, records.num_lines, partial(records.texts_on, dialect)
    named = frame.select(pl.col(str(index)).alias(name) for index, name in zip(indices, wanted, strict=True))
    return _without_headers(Parsed(named, line, num_lines, bad, texts), dialect)


def _texts_on(piece: Piece, separator: int, dialect: Dialect, lines: NDArray[np.int64]) -> list[str]:
    return records_of(piece, separator).texts_on(dialect, lines)


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
    is_plain = not piece.quoted and piece.line is None
    frame = None
    if is_plain:
        num_rows, num_separators = counts_of(piece.data, _NEWLINE, separator)
        if num_separators != num_rows * (width - 1):
            return None
        frame = _fast(piece, separator, num_rows, replace(fields, indices=fields.indices | {width - 1}))
        if frame is not None and not frame[str(width - 1)].null_count():
            return frame, np.arange(num_rows, dtype=np.int64), num_rows
    lines = even_lines(piece, separator, width)
    if lines is not None and not is_plain:
        frame = _fast(piece, separator, len(lines[0]), fields)
    return None if lines is None or frame is None else (frame, *lines)


def _read(records: Records, fields: Fields, bad: list[Bad]) -> tuple[Records, pl.DataFrame]:
    """Return records of the right width, and their fields; those that are not UTF-8 go to `bad`."""
    frame = _fast(Piece(records.data, records.quoted), records.separator[0], len(records.texts), fields)
    if frame is None:
        records = readable(records, bad)
        frame = _fast(Piece(records.data, records.quoted), records.separator[0], len(records.texts), fields)
    return records, _exact(records, fields) if frame is None else frame


def _exact(records: Records, fields: Fields) -> pl.DataFrame:
    """Return the fields of valid records, split one by one."""
    rows = [records.fields(text) for text in records.texts]
    columns = {str(index): [row[index].decode("utf-8") or None for row in rows] for index in sorted(fields.indices)}
    return pl.DataFrame(columns, dict.fromkeys(columns, pl.String))


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


def even_lines(piece: Piece, separator: int, width: int) -> tuple[NDArray[np.int64], int] | None:
    """Return the physical line of each record and the number of lines if every record has `width` fields (two or
    more), else None. Only the order of newlines and separators is checked, not their positions."""
    array = np.frombuffer(piece.data, np.uint8)
    parts = [array[start : start + _PART] for start in range(0, len(array) or 1, _PART)]
    kinds = np.concatenate([part[_is_limit(part, separator, piece.quoted)] for part in parts])
    newline = kinds == _NEWLINE
    num_lines = int(np.count_nonzero(newline))
    outside, rows = np.ones(len(kinds), np.bool_), kinds
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


def _is_limit(part: NDArray[np.uint8], separator: int, quoted: bool) -> NDArray[np.bool_]:
    """Return which bytes are newlines, separators or (in quoted text) quotes."""
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


def _without_headers(whole: Parsed, dialect: Dialect) -> Parsed:
    """Return `whole` without records that equal the header."""
    if not dialect.header or not whole.frame.width or whole.frame.dtypes[-1] != pl.String:  # a header is text
        return whole
    name = whole.frame.columns[-1]
    cell = dialect.cells[dialect.names.index(name)]
    alike = whole.frame[name].is_in([cell, "\ufeff" + cell]).fill_null(False).to_numpy()
    if not alike.any():
        return whole
    header = dialect.header.decode("utf-8")
    repeated = np.zeros(len(alike), np.bool_)
    repeated[alike] = [text.removeprefix("\ufeff") == header for text in whole.texts(whole.line[alike])]
    frame = whole.frame.filter(~repeated)
    return replace(whole, frame=frame, line=whole.line[~repeated], num_headers=int(repeated.sum()))
