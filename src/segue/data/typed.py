"""The roles of records, typed; records that cannot be read are rejected with column, value and an accepted form."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
import polars as pl

from segue.data.mapping import WRONG, Amount, Column, Mapping
from segue.data.records.block import Block
from segue.data.role_checks import check_roles
from segue.data.times import ACCEPTED, moments
from segue.events.rejects import (
    MISSING_POSITION,
    MISSING_SESSION,
    MISSING_TIME,
    MISSING_TRACK,
    WRONG_AMOUNT,
    WRONG_COLUMN,
    WRONG_FLAG,
    WRONG_TIME,
    Rejects,
)
from segue.events.skips import UNKNOWN_STRENGTH

_FOLD: Final = "\uff5c"
"""Between artist and title in an identity, a fullwidth bar: NFKC leaves none in a name, and it is no control character,
which the service refuses in ids."""
_FORMS: Final = {
    WRONG_TIME: ACCEPTED,
    WRONG_FLAG: "true or false, 1 or 0, yes or no, a strength 0 to 3, or nothing where it is unknown",
    WRONG_COLUMN: "an id with all of its digits, which a spreadsheet or a column of floats has cut here",
}
_LARGEST: Final = 1e9
"""Seconds (32 years) or lengths of a track: no play lasts so long."""
_CUT_ID: Final = r"^-?\d(?:\.\d+)?[eE]\+\d+$"
"""An integer id as a spreadsheet shortens it: 1.23E+15."""
_PARTS: Final = {"ms": 1000, "percent": 100}
"""Of a second, and of a whole track."""
_EXACT_BITS: Final[dict[pl.DataType, int]] = {pl.Float16(): 11, pl.Float32(): 24, pl.Float64(): 53}
"""Integers of more bits are rounded by the type."""
_WHOLE_FLOAT: Final = r"^(-?\d+)\.0$"
"""An integer id that went through a column of floats."""
_NOTHING: Final = ("", "nan", "NaN", "null", "None", "<NA>", "NaT")
"""What stands for a missing value in text, besides null."""


@dataclass
class Reading:
    """What is noted while the files of a log are read."""

    rejects: Rejects
    times: set[str] = field(default_factory=set)
    """How times were spelled; see `moments`."""
    left_out: dict[str, int] = field(default_factory=dict)
    """Records that are no tracks, by what they are."""
    rows: int = 0
    """Records read."""
    rejected: int = 0
    """Of them, those that went to the rejects."""


def typed(block: Block, mapping: Mapping, file: str, reading: Reading) -> pl.DataFrame:
    """Return the sound records of a block, by role.

    Columns: `listener`, `session` (String, only where mapped), `place` Float64 (only where mapped), `at` Int64
    microseconds (only where mapped), `track` (String identity), `title`, `artist`, `album` (String, only where mapped),
    `length_s`, `played_s`, `share` Float64 (NaN = unknown), `told` UInt8 (255 = unknown), `line` Int64, and the side
    columns by name.

    Raises:
        InputError: the file's columns cannot play their roles (see `check_roles`).
    """
    check_roles(mapping, block.frame, file)
    reading.rows += block.frame.height
    frame = block.frame.with_columns(pl.Series("__line__", block.line))
    if mapping.left_out is not None:
        frame = _tracks_alone(frame, mapping.left_out, reading)
    columns: list[pl.Series] = [frame["__line__"].alias("line")]
    faults: list[Fault] = []
    for part in (_names, _amounts, _order):
        found, wrong = part(frame, mapping, reading)
        columns += found
        faults += wrong
    columns += [_values(frame, column).alias(name) for name, column in mapping.side.items()]
    return _sound(frame, pl.DataFrame(columns), faults, file, reading)


Fault = tuple[str, pl.Series, Column | None]
"""A kind of reject, where it is so, and the column at fault."""
Part = tuple[list[pl.Series], list[Fault]]


def _names(frame: pl.DataFrame, mapping: Mapping, _: Reading) -> Part:
    exact, names = mapping.exact_ids, ("listener", "session", "title", "artist", "album")
    roles = [_text(frame, getattr(mapping, name), name, exact=exact) for name in names]
    columns, faults = [*(role for role in roles if role is not None), _identity(frame, mapping)], list[Fault]()
    ids = (mapping.track, mapping.listener, mapping.session)
    faults += [(WRONG_COLUMN, _is_cut(_values(frame, role)), role) for role in ids if role is not None and not exact]
    faults += [(MISSING_TRACK, columns[-1].is_null(), None)]
    faults += [(MISSING_SESSION, role.is_null(), None) for role in roles[:2] if role is not None]
    return columns, faults


def _amounts(frame: pl.DataFrame, mapping: Mapping, _: Reading) -> Part:
    columns, faults = list[pl.Series](), list[Fault]()
    for name, amount in (("length_s", mapping.length), ("played_s", mapping.played), ("share", mapping.share)):
        values, wrong = _number(frame, amount)
        columns.append(values.alias(name))
        faults.append((WRONG_AMOUNT, wrong, amount))
    told = pl.Series([UNKNOWN_STRENGTH], dtype=pl.UInt8).new_from_index(0, frame.height)
    if mapping.told is not None:
        told = _values(frame, mapping.told).cast(pl.UInt8).fill_null(UNKNOWN_STRENGTH)
        faults.append((WRONG_FLAG, told == WRONG, _stated(mapping.told.name, frame.columns)))
    return [*columns, told.alias("told")], faults


def _stated(names: str, columns: list[str]) -> Column | None:
    """Return the values of the columns that state a strength, as the file has them."""
    there = [pl.col(name).cast(pl.String).fill_null("") for name in names.split(", ") if name in columns]
    return Column(pl.concat_str(there, separator=", "), names) if there else None


def _order(frame: pl.DataFrame, mapping: Mapping, reading: Reading) -> Part:
    columns, faults = list[pl.Series](), list[Fault]()
    if mapping.position is not None:
        given = _values(frame, mapping.position)
        place, absent = given.cast(pl.Float64, strict=False), _absent(given)
        columns.append(place.alias("place"))
        wrong = ~place.is_finite().fill_null(False) & ~absent
        faults += [(MISSING_POSITION, absent, None), (WRONG_AMOUNT, wrong, mapping.position)]
    if mapping.time is not None:
        raw = _values(frame, mapping.time)
        read = moments(raw, mapping.time.unit, mapping.time.step)
        reading.times |= read.readings
        columns.append(read.at.alias("at"))
        absent = _absent(raw)
        faults += [(MISSING_TIME, absent, None), (WRONG_TIME, read.at.is_null() & ~absent, mapping.time)]
    return columns, faults


def _tracks_alone(frame: pl.DataFrame, what: Column, reading: Reading) -> pl.DataFrame:
    """Return the records that are tracks; the others are counted by what they are."""
    kind = _values(frame, what)
    for name, count in kind.drop_nulls().value_counts().iter_rows():
        reading.left_out[name] = reading.left_out.get(name, 0) + count
    return frame.filter(kind.is_null())


def _values(frame: pl.DataFrame, column: Column) -> pl.Series:
    return frame.select(column.value.alias("value"))["value"]


def _absent(values: pl.Series) -> pl.Series:
    """Return where a value is missing: null, NaN, or text that stands for nothing."""
    if values.dtype.is_float():
        return values.is_null() | values.is_nan().fill_null(False)
    if values.dtype == pl.String:
        return values.is_null() | values.str.strip_chars().is_in(_NOTHING).fill_null(True)
    return values.is_null()


def _text(frame: pl.DataFrame, column: Column | None, name: str, *, exact: bool = False) -> pl.Series | None:
    """Return a column as text, null where it is missing; whole floats are written as integers unless ids are exact."""
    if column is None:
        return None
    if name in ("listener", "session", "track"):
        return _exact_texts(frame, column, name) if exact else id_texts(frame, column, name)
    values = _values(frame, column)
    return values.cast(pl.String).set(_absent(values), None).alias(name)


def id_texts(frame: pl.DataFrame, column: Column, name: str) -> pl.Series:
    """Return ids as text, called `name`: null where missing or cut, integers where they went through floats."""
    values = _values(frame, column)
    values = values.set(_absent(values) | _is_cut(values), None)
    if values.dtype.is_float() and (values.floor() == values).all():
        values = values.cast(pl.Int64)
    return values.cast(pl.String).str.replace(_WHOLE_FLOAT, "$1").alias(name)


def _is_cut(ids: pl.Series) -> pl.Series:
    """Return where ids have lost digits: text in a spreadsheet's short form, or floats that a whole number is rounded
    to."""
    if ids.dtype.is_float():
        rounded = ids.abs() >= float(1 << _EXACT_BITS[ids.dtype])
        return (rounded & ids.is_not_nan()).fill_null(False)
    if ids.dtype != pl.String or not (cut := ids.str.contains("+", literal=True).fill_null(False)).any():
        return pl.Series(np.zeros(len(ids), np.bool_))
    return cut & ids.str.strip_chars().str.contains(_CUT_ID).fill_null(False)


def _exact_texts(frame: pl.DataFrame, column: Column, name: str) -> pl.Series:
    """Return ids letter for letter, called `name`; null where they are empty."""
    texts = _values(frame, column).cast(pl.String).alias(name)
    return texts.set(texts == "", None)


def _identity(frame: pl.DataFrame, mapping: Mapping) -> pl.Series:
    """Return the id of each record's track: its own, else its folded artist and title."""
    given = _text(frame, mapping.track, "track", exact=mapping.exact_ids)
    title, artist = (_text(frame, getattr(mapping, name), name) for name in ("title", "artist"))
    if title is None or (given is not None and given.null_count() == 0):
        assert given is not None, "a mapping has an id or a title"
        return given.alias("track")
    names = pl.DataFrame({"artist": title.clear(len(title)) if artist is None else artist, "title": title})
    folded = names.select(pl.concat_str(_folded("artist").fill_null(""), _folded("title"), separator=_FOLD)).to_series()
    return (folded if given is None else given.zip_with(given.is_not_null(), folded)).alias("track")


def _folded(name: str) -> pl.Expr:
    """Return a name by which two spellings of it agree: NFKC, lower case, single blanks."""
    return pl.col(name).str.normalize("NFKC").str.to_lowercase().str.replace_all(r"[\s\p{Cc}]+", " ").str.strip_chars()


def _number(frame: pl.DataFrame, column: Column | None) -> tuple[pl.Series, pl.Series]:
    """Return a length of time in seconds or a plain number, NaN where missing; and where it is none."""
    if column is None:
        size = frame.height
        return pl.Series(np.full(size, np.nan)), pl.Series(np.zeros(size, np.bool_))
    raw = _values(frame, column)
    if raw.dtype == pl.String:
        raw = raw.str.strip_chars()
    unit = column.unit if isinstance(column, Amount) else "s"
    if isinstance(raw.dtype, pl.Duration):
        raw, unit = raw.dt.total_microseconds() / 10**6, "s"
    number = _clock(raw) if unit == "text" else raw.cast(pl.Float64, strict=False)
    number = number / _PARTS.get(unit, 1)
    wrong = (number.is_null() | ((number.abs() >= _LARGEST) & ~number.is_nan())) & ~_absent(raw)
    return number.fill_null(float("nan")), wrong


def _clock(values: pl.Series) -> pl.Series:
    """Return the seconds of minutes:seconds or hours:minutes:seconds."""
    parts = values.cast(pl.String).str.extract_groups(r"^\s*(?:(\d+):)?(\d+):(\d+(?:\.\d+)?)\s*$").struct.unnest()
    hours, minutes, seconds = (part.cast(pl.Float64) for part in parts)
    return hours.fill_null(0.0) * 3600 + minutes * 60 + seconds


def _sound(frame: pl.DataFrame, result: pl.DataFrame, faults: list[Fault], file: str, reading: Reading) -> pl.DataFrame:
    """Return the records without fault; the others go to `rejects`, each once, by its first fault."""
    seen = np.zeros(frame.height, np.bool_)
    for kind, where, column in faults:
        rows = np.flatnonzero(where.to_numpy() & ~seen)
        seen[rows] = True
        if len(rows):
            bad = frame[rows]
            text = bad.drop("__line__").select(_joined(bad)).to_series().to_list()
            found = _values(bad, column).cast(pl.String).to_list() if column is not None else [None] * len(rows)
            name = column.name if column is not None else ""
            why = [_why(kind, name, value) for value in found]
            reading.rejects.add(kind, file, zip(bad["__line__"].to_list(), text, strict=True), why)
            reading.rejected += len(rows)
    return result.filter(pl.Series(~seen))


def _joined(frame: pl.DataFrame) -> pl.Expr:
    texts = [pl.col(n).cast(pl.String, strict=False).fill_null("") for n in frame.columns if n != "__line__"]
    return pl.concat_str(texts, separator=",")


def _why(kind: str, column: str, value: str | None) -> str:
    if not column:
        return ""
    return f"{column} is {value!r}; accepted: {_FORMS.get(kind, 'a number below 10^9, or nothing where it is unknown')}"
