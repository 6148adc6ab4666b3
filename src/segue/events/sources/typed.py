"""Columns of a table typed: times, strengths, side columns; what cannot be read is null."""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl

from segue.errors import InputError
from segue.events.skips import PLAYED_SHARES, TO_ITS_END, UNKNOWN_STRENGTH, VERY_BRIEFLY
from segue.events.sources.table import TableColumns
from segue.events.table import Side, encode_text

_NO_TEXT: Final = (pl.List, pl.Array, pl.Struct, pl.Binary, pl.Object)
"""Types that are no id, flag or number."""
_NO_TIME: Final = (pl.Boolean, pl.Duration, pl.Time)
_NO_LENGTH: Final = (pl.Boolean, pl.Date, pl.Datetime, pl.Time)
_TRUE: Final = ("true", "1", "yes", "t", "y", "1.0")
_FALSE: Final = ("false", "0", "no", "f", "n", "0.0")
_LARGE_CODE: Final = 255


def check_types(name: str, frame: pl.DataFrame, columns: TableColumns) -> None:
    """Refuse columns of a type that their role cannot have (text, as of a CSV, is judged row by row).

    Raises:
        InputError: names the role, the column and its type.
    """
    refused = {"time": _NO_TEXT + _NO_TIME, "played": _NO_TEXT + _NO_LENGTH, "duration": _NO_TEXT + _NO_LENGTH}
    roles = ("session", "user", "track", "position", "time", "skipped", "listened", "strength", "played", "duration")
    asked = [(role, getattr(columns, role)) for role in roles] + [("side", name) for name in columns.side]
    for role, column in asked:
        if column is not None and isinstance(frame[column].dtype, refused.get(role, _NO_TEXT)):
            kind = frame[column].dtype
            raise InputError(f"{name}: {role} column {column!r} is of type {kind}; write it as text or numbers")


def no_numbers(frame: pl.DataFrame, columns: TableColumns) -> pl.Series:
    """Return True where a strength is to be inferred and the time played or the length is text, but no number."""
    wrong = pl.Series(np.zeros(frame.height, np.bool_))
    for column in (columns.played, columns.duration) if infers(columns) else ():
        assert column is not None, "infers"
        raw = frame[column]
        wrong = wrong | (raw.cast(pl.Float64, strict=False).is_null() & raw.is_not_null())
    return wrong


def infers(columns: TableColumns) -> bool:
    """Return whether strengths are inferred from the time played."""
    told = columns.strength or columns.skipped or columns.listened
    return told is None and columns.played is not None and columns.duration is not None


def seconds(values: pl.Series) -> pl.Series:
    """Return times as int64 UTC seconds (fractions cut off), null where unreadable.

    Numbers are UTC seconds; text is a number or a date and time, read as UTC.
    """
    if values.dtype.is_temporal():
        return values.cast(pl.Datetime("us")).dt.epoch("s")
    number = values.cast(pl.Float64, strict=False)
    number = number.set(number.is_nan() | number.is_infinite() | (number.abs() > 2**53), None)
    result = number.floor().cast(pl.Int64, strict=False)
    if values.dtype == pl.String and result.null_count() > values.null_count():
        text = values.str.replace("T", " ", literal=True).str.replace(r"(Z|\+00:00)$", "")
        parsed = text.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", strict=False, time_unit="us").dt.epoch("s")
        result = result.zip_with(result.is_not_null(), parsed)
    return result


def strengths(frame: pl.DataFrame, columns: TableColumns) -> tuple[pl.Series, bool]:
    """Return `(strength UInt8, inferred)`; null where a flag or a strength is wrong, 255 where it is empty."""
    if columns.strength is not None:
        raw = frame[columns.strength]
        value = raw.cast(pl.Float64, strict=False)
        known = value.is_in([0.0, 1.0, 2.0, 3.0, float(UNKNOWN_STRENGTH)]).fill_null(True)
        code = value.set(~known, None).cast(pl.UInt8)
        return code.set(raw.is_null(), UNKNOWN_STRENGTH), False
    if columns.skipped is not None:
        return _flags(frame[columns.skipped], VERY_BRIEFLY, TO_ITS_END), False
    if columns.listened is not None:
        return _flags(frame[columns.listened], TO_ITS_END, VERY_BRIEFLY), False
    if infers(columns):
        assert columns.played is not None, "infers"
        assert columns.duration is not None, "infers"
        return _played(frame[columns.played], frame[columns.duration]), True
    return pl.Series(np.full(frame.height, UNKNOWN_STRENGTH, np.uint8)), False


def _flags(raw: pl.Series, true: int, false: int) -> pl.Series:
    text = raw.cast(pl.String).str.to_lowercase()
    frame = pl.DataFrame({"text": text}).select(
        pl.when(pl.col("text").is_null())
        .then(UNKNOWN_STRENGTH)
        .when(pl.col("text").is_in(_TRUE))
        .then(true)
        .when(pl.col("text").is_in(_FALSE))
        .then(false)
        .cast(pl.UInt8)
    )
    return frame.to_series()


def _played(played: pl.Series, duration: pl.Series) -> pl.Series:
    share = played.cast(pl.Float64, strict=False) / duration.cast(pl.Float64, strict=False)
    values = share.fill_null(float("nan")).to_numpy()
    bounds = np.array([bound for bound, _ in PLAYED_SHARES])
    codes = np.array([*(code for _, code in PLAYED_SHARES), TO_ITS_END], np.uint8)
    known = np.isfinite(values) & (values >= 0)
    strength = codes[np.searchsorted(bounds, np.where(known, values, 0.0), side="right")]
    return pl.Series(np.where(known, strength, np.uint8(UNKNOWN_STRENGTH)))


def side_column(values: pl.Series) -> Side:
    """Return a side column of a reader's choosing: flags bool, numbers float32 (NaN unknown), text as codes.

    Raises:
        InputError: text of more than 65,535 values.
    """
    if values.dtype == pl.Boolean and values.null_count() == 0:
        return Side(values.to_numpy(), "bool")
    number = values.cast(pl.Float32, strict=False)
    if number.null_count() == values.null_count():
        return Side(number.fill_null(float("nan")).to_numpy(), "float32")
    codes, texts = encode_text(values.cast(pl.String).fill_null(""))
    if len(texts) > 2**16 - 1:
        raise InputError(f"side column {values.name!r} has {len(texts)} values, at most 65,535; leave it out")
    dtype = "uint8" if len(texts) <= _LARGE_CODE else "uint16"
    return Side(codes.astype(dtype), dtype, "event", tuple(texts.to_list()))
