"""Helpers for mappings over the columns that a file has; exports of one corpus differ by year."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from collections.abc import Mapping as AnyMapping
from dataclasses import replace
from typing import Any, Final, Literal

import polars as pl
from polars.expr.whenthen import ChainedThen, Then

from segue.data.mapping import WRONG, Amount, Column, Mapping, Time
from segue.data.sources.source import Sample
from segue.data.strengths import SECONDS
from segue.skips import MOSTLY

MISSING: Final = ("", "nan", "null", "none", "<na>")
"""Texts that mean a missing value, in lower case."""
_TRUE: Final = ("true", "1", "1.0")
"""True in JSON, and in pandas' text and float columns, in lower case."""
_BEYOND: Final = 1e12


def text(columns: Collection[str], *names: str) -> pl.Expr:
    """Return the first non-empty field of `names` as text; null if all are empty or missing."""
    texts = [pl.col(name).cast(pl.String) for name in names if name in columns]
    nothing = pl.lit(None, dtype=pl.String)
    return pl.coalesce(*(pl.when(value.str.strip_chars() != "").then(value) for value in texts), nothing)


def flag(columns: Collection[str], name: str) -> pl.Expr:
    """Return whether the field `name` is true, Boolean; null if it is empty."""
    return text(columns, name).str.to_lowercase().is_in(_TRUE)


def number(columns: Collection[str], *names: str) -> pl.Expr:
    """Return the first non-empty field of `names` as Float64; null if it is not a number below 10^12."""
    value = text(columns, *names).cast(pl.Float64, strict=False)
    return pl.when(value.abs() < _BEYOND).then(value)


def stated(value: pl.Expr, strength: Then | ChainedThen) -> pl.Expr:
    """Return the strength that `value` states, UInt8: by `strength`, null for a missing value, WRONG for any other."""
    words = value.cast(pl.String).str.strip_chars().str.to_lowercase()
    return strength.when(words.is_null() | words.is_in(MISSING)).then(None).otherwise(WRONG).cast(pl.UInt8)


def column(columns: Collection[str], *names: str) -> Column | None:
    """Return the first non-empty field of `names` as a role; None if the file has none of the columns."""
    fields = [name for name in names if name in columns]
    if not fields:
        return None
    return Column.of(fields[0]) if len(fields) == 1 else Column(text(columns, *fields), fields[0])


def amount(columns: Collection[str], name: str, unit: Literal["s", "ms", "text"] = "s") -> Amount | None:
    """Return the field `name` as a length of time; None if the file lacks the column."""
    return Amount(pl.col(name), name, unit) if name in columns else None


def time(columns: Collection[str], *names: str, unit: Literal["auto", "s"] = "auto", ends: bool = False) -> Time | None:
    """Return the first of `names` that is a column as the time of a play; None if none is."""
    name = first_name(columns, *names)
    return None if name is None else Time(pl.col(name), name, unit, ends=ends)


def first_name(columns: Collection[str], *names: str) -> str | None:
    """Return the first of `names` that is a column; None if none is."""
    return next((name for name in names if name in columns), None)


def claim(columns: Collection[str], usual: Iterable[str], of: str) -> str:
    """Return how many of the `usual` columns a file has, as text: '4 of 4 columns of ...'."""
    usual = tuple(usual)
    return f"{sum(name in columns for name in usual)} of {len(usual)} columns of {of}"


def strength_of(value: pl.Expr, strengths: AnyMapping[str, int]) -> pl.Expr:
    """Return the strength of each word, UInt8; null for a missing value, WRONG for an unknown word."""
    words = value.cast(pl.String).str.strip_chars()
    missing = words.is_null() | words.str.to_lowercase().is_in(MISSING)
    return pl.when(~missing).then(words.replace_strict(strengths, default=WRONG, return_dtype=pl.UInt8))


def skip_strength(played_ms: pl.Expr) -> pl.Expr:
    """Return the strength of a play that the source calls skipped, UInt8, by the seconds played (`strengths.SECONDS`).

    3 below 5 s, 2 below 30 s, else 1; 2 where `played_ms` is null or negative: a skip of unknown length is a skip.
    """
    (very_brief_s, very_briefly), (brief_s, briefly) = SECONDS
    return (
        pl.when(played_ms.is_null() | (played_ms < 0))
        .then(briefly)
        .when(played_ms < very_brief_s * 1000)
        .then(very_briefly)
        .when(played_ms < brief_s * 1000)
        .then(briefly)
        .otherwise(MOSTLY)
        .cast(pl.UInt8)
    )


def by_columns(
    of: str, usual: Collection[str], required: Collection[str] = (), one_of: Collection[str] = ()
) -> Callable[[Sample], str | None]:
    """Return a `recognise` that claims a file with all `required` columns, by default all `usual` ones, and one of
    `one_of`, if there are any."""

    def recognise(sample: Sample) -> str | None:
        complete = set(required or usual) <= set(sample.columns) and (not one_of or set(one_of) & set(sample.columns))
        return claim(sample.columns, usual, of) if complete else None

    return recognise


def by_forms(why: str, widths: Collection[int], forms: AnyMapping[str, str]) -> Callable[[Sample], str | None]:
    """Return a `recognise` that claims, with the reason `why`, a file without a header that has as many columns as one
    of `widths`, and in most records the given forms (see `most_fit`)."""

    def recognise(sample: Sample) -> str | None:
        bare = not sample.headed and len(sample.columns) in widths
        return why if bare and most_fit(sample.first, forms) else None

    return recognise


def by_column_names(roles: Mapping) -> Callable[[tuple[str, ...]], Mapping]:
    """Return a `mapping` that gives `roles` without those whose column (by name) the file lacks."""

    def mapping(columns: tuple[str, ...]) -> Mapping:
        all_roles = {role: column for role, column in vars(roles).items() if isinstance(column, Column)}
        missing_roles: dict[str, Any] = {role: None for role, one in all_roles.items() if one.name not in columns}
        side = {name: column for name, column in roles.side.items() if column.name in columns}
        return replace(roles, **missing_roles, side=side)

    return mapping


def most_fit(first: pl.DataFrame, forms: AnyMapping[str, str]) -> bool:
    """Return whether most records match the regular expression of each column; False without records. A few may be
    damaged; reading rejects them."""
    fit = [
        pl.col(name).cast(pl.String).str.contains(form).fill_null(False).mean() > 0.5 for name, form in forms.items()
    ]
    return bool(len(first)) and all(first.select(one.alias(str(at)) for at, one in enumerate(fit)).row(0))
