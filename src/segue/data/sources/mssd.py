"""The Music Streaming Sessions Dataset: sessions of Spotify with nested skip flags."""

from __future__ import annotations

from typing import Final

import polars as pl

from segue import columns as names
from segue.data.mapping import WRONG, Column, Mapping
from segue.data.sources.fields import column
from segue.data.sources.source import Sample, Source

_SESSION, _POSITION, _, _TRACK, *_FLAGS = names.MSSD_LOG[:8]
_STRENGTHS: Final = dict(zip(_FLAGS, (3, 2, 1, 0), strict=True))
"""Strength by flag; the flags are nested, so the first that is true says it."""
_REQUIRED: Final = {_SESSION, _POSITION, _TRACK, *_FLAGS}


def recognise(sample: Sample) -> str | None:
    """Return why a file is a log of the Music Streaming Sessions Dataset, or None."""
    if not _REQUIRED.issubset(sample.columns):
        return None
    seen = sum(name in sample.columns for name in names.MSSD_LOG)
    return f"{seen} of {len(names.MSSD_LOG)} columns of MSSD's session logs"


def mapping(columns: tuple[str, ...]) -> Mapping:
    """Return the roles of a file with these columns."""
    return Mapping(
        track=column(columns, _TRACK),
        session=column(columns, _SESSION),
        position=column(columns, _POSITION),
        told=_told() if set(_FLAGS).issubset(columns) else None,
        side={name: role for name, role in _side().items() if role.name in columns},
    )


def _flag(name: str) -> pl.Expr:
    return pl.col(name).cast(pl.String).str.to_lowercase() == "true"


def _told() -> Column:
    stated = [pl.when(_flag(flag)).then(pl.lit(strength, pl.UInt8)) for flag, strength in _STRENGTHS.items()]
    words = [pl.col(flag).cast(pl.String).str.to_lowercase() for flag in _FLAGS]
    wrong = pl.any_horizontal(~word.is_in(("true", "false", "")).fill_null(True) for word in words)
    return Column(pl.when(wrong).then(pl.lit(WRONG, pl.UInt8)).otherwise(pl.coalesce(stated)), ", ".join(_FLAGS))


def _side() -> dict[str, Column]:
    shuffle, hour, premium = "hist_user_behavior_is_shuffle", "hour_of_day", "premium"
    return {
        names.CONTEXT_TYPE: Column.of("context_type"),
        names.SHUFFLE: Column(_flag(shuffle), shuffle),
        names.HOUR: Column(pl.col(hour).cast(pl.UInt8, strict=False), hour),
        names.PREMIUM: Column(_flag(premium), premium),
        names.DATE: Column(_date(), "date"),
    }


def _date() -> pl.Expr:
    """Return the day; some files write 15-07-18, which Polars would take for a day of the year 15."""
    text = pl.col("date").cast(pl.String)
    year_first = text.str.contains(r"^\d{4}-")
    return (
        pl.when(year_first)
        .then(text.str.to_date("%Y-%m-%d", strict=False))
        .otherwise(text.str.to_date("%d-%m-%y", strict=False))
    )


SOURCE: Final = Source(
    name="mssd",
    title="Music Streaming Sessions Dataset (Spotify)",
    where="Spotify's Sequential Skip Prediction Challenge at AIcrowd; not downloadable since July 2024.",
    licence="Research only, under Spotify's terms of the challenge.",
    notes=(
        "Sessions hold 10 to 20 tracks in stated order; there are days and hours but no times.",
        "There are no listeners.",
        "Flags are true and false, or True and False; days are 2018-07-15 or 15-07-18.",
    ),
    files=("log_*.csv*", "*/log_*.csv*"),
    recognise=recognise,
    mapping=mapping,
    feedback="Stated by nested flags: skip_1 is strength 3, else skip_2 is 2, else skip_3 is 1, else not_skipped is 0.",
)
