"""A table with a track and a session or a listener."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, Literal

import polars as pl

from segue.data.codes import by_distinct
from segue.data.mapping import WRONG, Amount, Column, Mapping, Time
from segue.data.sources.fields import MISSING
from segue.data.sources.source import Sample, Source
from segue.data.sources.table_columns import USUAL, TableColumns
from segue.errors import InputError
from segue.skips import UNKNOWN_STRENGTH

_TRUE: Final = ("true", "1", "1.0", "yes", "t", "y")
_FALSE: Final = ("false", "0", "0.0", "no", "f", "n")


def mapping_of(columns: TableColumns) -> Mapping:
    """Return the roles of resolved columns."""

    def column(name: str | None) -> Column | None:
        return None if name is None else Column.of(name)

    return Mapping(
        time=_time(columns),
        track=column(columns.track),
        title=column(columns.title),
        artist=column(columns.artist),
        listener=column(columns.user),
        session=column(columns.session),
        position=column(columns.position) if columns.session is not None else None,
        played=_amount(columns.played),
        length=_amount(columns.duration),
        share=_share(columns),
        stated=_stated(columns),
        side={name: Column.of(name) for name in columns.side},
        exact_ids=columns.exact_ids,
        typed_columns=tuple(name for name in (columns.skipped, columns.listened, columns.strength) if name is not None),
    )


def _time(columns: TableColumns) -> Time | None:
    if columns.time is not None:
        return Time(pl.col(columns.time), columns.time)
    return None if columns.ended is None else Time(pl.col(columns.ended), columns.ended, ends=True)


def _amount(name: str | None) -> Amount | None:
    if name is None:
        return None
    words = name.lower().replace("-", "_").split("_")
    unit: Literal["s", "ms"] = "ms" if "ms" in words or words[0].startswith("ms") else "s"
    return Amount(pl.col(name), name, unit)


def _share(columns: TableColumns) -> Column | None:
    if columns.ratio is not None:
        return Column.of(columns.ratio)
    if columns.percent is None:
        return None
    return Amount(pl.col(columns.percent), columns.percent, "percent")


def _stated(columns: TableColumns) -> Column | None:
    if columns.strength is not None:
        return Column(_each(columns.strength, _strengths), columns.strength)
    for name, true, false in ((columns.skipped, 3, 0), (columns.listened, 0, 3)):
        if name is not None:
            return Column(_each(name, partial(_flags, true=true, false=false)), name)
    return None


def _each(name: str, work: Callable[[pl.Expr], pl.Expr]) -> pl.Expr:
    """Return `work` of a column as text in lower case, done once per distinct value."""

    def looked_up(values: pl.Series) -> pl.Series:
        text = pl.col("text").str.strip_chars().str.to_lowercase()
        empty = text.is_null() | text.is_in(MISSING)
        strength = pl.when(empty).then(None).otherwise(work(text)).cast(pl.UInt8).alias("strength")
        texts = values if values.dtype == pl.Boolean else values.cast(pl.String)
        return by_distinct(lambda distinct: pl.DataFrame({"text": distinct}).select(strength)["strength"], texts)

    return pl.col(name).map_batches(looked_up, return_dtype=pl.UInt8)


def _strengths(text: pl.Expr) -> pl.Expr:
    value = text.cast(pl.Float64, strict=False)
    strength = pl.when(value.is_in([0.0, 1.0, 2.0, 3.0])).then(value)
    return strength.when(value == UNKNOWN_STRENGTH).then(None).otherwise(WRONG)


def _flags(text: pl.Expr, true: int, false: int) -> pl.Expr:
    return pl.when(text.is_in(_TRUE)).then(true).when(text.is_in(_FALSE)).then(false).otherwise(WRONG)


def _recognise(sample: Sample) -> str | None:
    try:
        columns = TableColumns().resolved(sample.columns, sample.name)
    except InputError:
        return None
    roles = {role: getattr(columns, role) for role in USUAL}
    columns_with_roles = ", ".join(f"{name} ({role})" for role, name in roles.items() if name is not None)
    return f"a table of plays: {columns_with_roles}"


SOURCE: Final = Source(
    name="table",
    where="Your own: CSV, JSON lines or Parquet with a track and a session, or a listener and a time.",
    licence="Yours to say.",
    notes=(
        "Columns are found by their usual names; segue prepare table takes others.",
        "A name with ms in it counts milliseconds, any other seconds.",
    ),
    files=("*.csv", "*.tsv", "*.csv.gz", "*.tsv.gz", "*.parquet", "*.pq", "*.jsonl"),
    recognise=_recognise,
    mapping=lambda columns: mapping_of(TableColumns().resolved(columns, "the table")),
    feedback="By the columns that are there: strength, skipped or listened, share, time played, gaps.",
)
