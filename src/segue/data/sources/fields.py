"""Roles and conditions over the columns that a file has; exports of one corpus differ by year."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final, Literal

import polars as pl
from polars.expr.whenthen import ChainedThen, Then

from segue.data.mapping import WRONG, Amount, Column, Time

_TRUE: Final = ("true", "1", "1.0")
"""How JSON, pandas' text and pandas' float columns spell true, in lower case."""
_BEYOND: Final = 1e12
_NOTHING: Final = ("", "nan", "null", "none", "<na>")
"""What stands for a missing value, in lower case."""


def text(columns: Collection[str], *names: str) -> pl.Expr:
    """Return the first of the fields `names` that has a value, as text; null where none has, or no column is there."""
    there = [pl.col(name).cast(pl.String) for name in names if name in columns]
    nothing = pl.lit(None, dtype=pl.String)
    return pl.coalesce(*(pl.when(value.str.strip_chars() != "").then(value) for value in there), nothing)


def flag(columns: Collection[str], name: str) -> pl.Expr:
    """Return whether the field `name` is true, Boolean; null where it has no value."""
    return text(columns, name).str.to_lowercase().is_in(_TRUE)


def number(columns: Collection[str], *names: str) -> pl.Expr:
    """Return the first of the fields `names` that has a value, as Float64; null where that is no number, or one beyond
    10^12, which counts nothing of a play."""
    value = text(columns, *names).cast(pl.Float64, strict=False)
    return pl.when(value.abs() < _BEYOND).then(value)


def stated(value: pl.Expr, strength: Then | ChainedThen) -> pl.Expr:
    """Return the strength that `value` states, UInt8: as `strength` has it, null where there is no value, WRONG where
    it says nothing."""
    words = value.cast(pl.String).str.strip_chars().str.to_lowercase()
    return strength.when(words.is_null() | words.is_in(_NOTHING)).then(None).otherwise(WRONG).cast(pl.UInt8)


def column(columns: Collection[str], *names: str) -> Column | None:
    """Return the first of the fields `names` that has a value, as a role; None where no column is there."""
    there = [name for name in names if name in columns]
    if not there:
        return None
    return Column.of(there[0]) if len(there) == 1 else Column(text(columns, *there), there[0])


def amount(columns: Collection[str], name: str, unit: Literal["s", "ms", "text"] = "s") -> Amount | None:
    """Return the field `name` as a length of time; None where the column is not there."""
    return Amount(pl.col(name), name, unit) if name in columns else None


def time(columns: Collection[str], *names: str, unit: Literal["auto", "s"] = "auto", ends: bool = False) -> Time | None:
    """Return the first of `names` that is a column as the time of a play; None where none is."""
    name = first_name(columns, *names)
    return None if name is None else Time(pl.col(name), name, unit, ends=ends)


def first_name(columns: Collection[str], *names: str) -> str | None:
    """Return the first of `names` that is a column; None where none is."""
    return next((name for name in names if name in columns), None)


def most_fit(first: pl.DataFrame, forms: Mapping[str, str]) -> bool:
    """Return whether most records have the form (a regular expression) of each column; False where there is none. A
    few may be damaged: they are shown when they are read."""
    fit = [
        pl.col(name).cast(pl.String).str.contains(form).fill_null(False).mean() > 0.5 for name, form in forms.items()
    ]
    return bool(len(first)) and all(first.select(one.alias(str(at)) for at, one in enumerate(fit)).row(0))


def claim(columns: Collection[str], wanted: Iterable[str], of: str) -> str:
    """Return how many of the `wanted` columns are there: '4 of 4 columns of ...'."""
    wanted = tuple(wanted)
    return f"{sum(name in columns for name in wanted)} of {len(wanted)} columns of {of}"
