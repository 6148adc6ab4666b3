"""Times as logs spell them: epoch numbers of any unit, and dates with times of any usual form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import polars as pl

Unit = Literal["auto", "s", "ms", "us", "ns"]
ACCEPTED: Final = "1698539400, 2023-10-29 00:30:00, 2023-10-29T02:30:00+02:00"
"""Accepted forms, for messages."""
_UNITS: Final = {
    "s": (1, 0, 10**11),
    "ms": (10**3, 10**11, 10**14),
    "us": (10**6, 10**14, 10**17),
    "ns": (10**9, 10**17, 2**63),
}
"""Units per second, and the range of numbers that have the unit with 'auto': unambiguous from 1973 to 5138."""
_LARGEST_S: Final = 253_402_300_800
"""The year 10000, in seconds."""
SHEET_DAYS: Final = (32_874, 55_154)
"""1990 and 2051 in days since 1899-12-30, as spreadsheets count them."""
_DAY_OF_1970: Final = 25_569
"""1970-01-01 in those days."""
_CUT_NUMBER: Final = r"^[-+]?\d+(?:\.(\d*))?[eE]\+?(\d{1,3})$"
"""A number in short form: decimals and exponent."""
_OFFSET: Final = r"(?i)\s*(?:(z|utc|gmt)|([+-])(\d{2}):?(\d{2})?)$"
"""'Z', 'UTC', '+02:00', '+0200' or '+02' at the end."""
_WITHOUT: Final = "text without offset"
_CLOCKS: Final = ("%H:%M:%S%.f", "%H:%M:%S", "%H:%M")
_DAYS: Final = ("%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y", "%d %b %Y", "%d %B %Y", "%Y%m%d")
"""Unambiguous forms of a day; 03/04/2023 is not one."""


@dataclass(frozen=True)
class Moments:
    """Parsed times, and their forms."""

    at: pl.Series
    """Microseconds since 1970-01-01 UTC, Int64; null if a value cannot be read."""
    readings: frozenset[str]
    """Forms that occur: 's', 'ms', 'us', 'ns', 'text with offset', 'text without offset'."""


def moments(values: pl.Series, unit: Unit = "auto") -> Moments:
    """Return the times in `values`; text without an offset is read as UTC.

    `unit` of numbers: 'auto' chooses for each the unit that gives a year from 1973 to 5138 (below 10^11: seconds).
    If all numbers are days of 1990 to 2051 since 1899-12-30, some with a fraction, they are
    dates of a spreadsheet. A number such as 1.7E+12 has lost digits and is not read.

    >>> times = moments(pl.Series(["2023-10-29T02:30:00+02:00", "1698539400000", "soon"]))
    >>> times.at.to_list(), sorted(times.readings)
    ([1698539400000000, 1698539400000000, None], ['ms', 'text with offset'])
    """
    if values.dtype.is_temporal():
        return Moments(_of_dates(values), frozenset({"text with offset"}))
    if values.dtype == pl.String:
        values = values.str.strip_chars()
    number = values.cast(pl.Float64, strict=False)
    number = number.set(~number.is_finite().fill_null(False) | _is_cut(values), None)
    if unit in ("auto", "s") and _are_days(number):
        return Moments(((number - _DAY_OF_1970) * 86_400_000).round().cast(pl.Int64) * 1000, frozenset({_WITHOUT}))
    exact = values.cast(pl.Int64, strict=False)  # nanoseconds do not fit a float
    at, readings = _of_numbers(number, exact, unit)
    if values.dtype == pl.String and number.null_count() > values.null_count():
        text, spelled = _of_text(values)
        at = at.zip_with(number.is_not_null(), text)
        readings |= spelled
    return Moments(at, frozenset(readings))


def _is_cut(values: pl.Series) -> pl.Series:
    """Return which texts are numbers in short form with digits missing."""
    none = pl.Series([False]).new_from_index(0, len(values))
    if values.dtype != pl.String:
        return none
    short = values.str.contains("E", literal=True) | values.str.contains("e", literal=True)
    if not short.any():
        return none
    parts = values.str.extract_groups(_CUT_NUMBER).struct.unnest()
    decimals, exponent = parts["1"].str.len_chars().fill_null(0), parts["2"].cast(pl.UInt32)
    return (decimals < exponent).fill_null(False)


def _are_days(number: pl.Series) -> bool:
    """Return whether numbers are days of a spreadsheet."""
    first, last = SHEET_DAYS
    there = number.drop_nulls()
    return bool(len(there) and there.is_between(first, last).all() and (there != there.floor()).any())


def _of_dates(values: pl.Series) -> pl.Series:
    if isinstance(values.dtype, pl.Datetime) and values.dtype.time_zone is not None:
        values = values.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    return values.cast(pl.Datetime("us")).dt.epoch("us")


def _of_numbers(number: pl.Series, integers: pl.Series, unit: Unit) -> tuple[pl.Series, set[str]]:
    """Return the times of numbers, and the units that occur."""
    size, exact, times = pl.col("number").abs(), pl.col("exact"), dict[str, pl.Expr]()
    for name, (per_second, least, bound) in _UNITS.items():
        whole = exact * (10**6 // per_second) if per_second <= 10**6 else exact // (per_second // 10**6)
        broken = (pl.col("number") * (10**6 / per_second)).round().cast(pl.Int64, strict=False)
        value = pl.when(exact.is_not_null()).then(whole).otherwise(broken)
        has_unit = size.is_between(least, bound, closed="left") if unit == "auto" else pl.lit(unit == name)
        times[name] = pl.when(has_unit & (size / per_second < _LARGEST_S)).then(value)
    of_units = pl.DataFrame({"number": number, "exact": integers}).select(**times)
    units = {name for name in times if of_units[name].count()}
    return of_units.select(pl.coalesce(*times).alias("at"))["at"], units


def _of_text(values: pl.Series) -> tuple[pl.Series, set[str]]:
    text = values.str.replace(r"(\d)T(\d)", "$1 $2").str.replace(", ", " ", literal=True)
    text = text.str.replace(r"(\d),(\d)", "$1.$2")  # a decimal comma of seconds
    zone = text.str.extract_groups(_OFFSET).struct.unnest()
    has_offset = text.str.contains(":", literal=True) & (zone["1"].is_not_null() | zone["2"].is_not_null())
    has_offset = has_offset.fill_null(False)
    plain = text.str.replace(_OFFSET, "").str.strip_chars().zip_with(has_offset, text)
    result = pl.Series("at", [None], pl.Int64).new_from_index(0, len(values))
    for pattern in (*(f"{day} {clock}" for day in _DAYS for clock in _CLOCKS), *_DAYS):
        if result.null_count() == values.null_count():
            break
        result = result.zip_with(result.is_not_null(), _read(plain, pattern))
    shift = _shift_minutes(zone).zip_with(has_offset, pl.zeros(len(has_offset), pl.Int64, eager=True))
    result = result - shift * (60 * 10**6)
    read = result.is_not_null()
    spelled = {"text with offset": (read & has_offset).any(), _WITHOUT: (read & ~has_offset).any()}
    return result, {name for name, there in spelled.items() if there}


def _shift_minutes(zone: pl.DataFrame) -> pl.Series:
    """Return offsets as minutes ahead of UTC, 0 without an offset."""
    sign = (zone["2"] == "-").fill_null(False).cast(pl.Int64) * -2 + 1
    hours, minutes = (zone[name].cast(pl.Int64, strict=False).fill_null(0) for name in ("3", "4"))
    return sign * (hours * 60 + minutes)


def _read(text: pl.Series, pattern: str) -> pl.Series:
    if "%H" not in pattern:
        return text.str.to_date(pattern, strict=False).cast(pl.Datetime("us")).dt.epoch("us")
    return text.str.to_datetime(pattern, strict=False, time_unit="us").dt.epoch("us")
