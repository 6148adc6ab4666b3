"""The Music Streaming Sessions Dataset: sessions of Spotify with nested skip flags."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import polars as pl

from segue import columns as names
from segue.data.mapping import CONTRADICTORY, WRONG, Column, Mapping
from segue.data.sources.fields import by_columns, column
from segue.data.sources.source import Beside, Source

_SESSION, _POSITION, _, _TRACK, *_FLAGS = names.MSSD_LOG[:8]
_STRENGTHS: Final = {0b0111: 3, 0b0110: 2, 0b0100: 1, 0b1000: 0, 0b0000: None}
"""Strength by flags; the first flag is the lowest bit."""
_NO_FLAGS: Final = 2 ** len(_FLAGS)
_TRUE: Final = ("true", "True", "TRUE")
_FALSE: Final = ("false", "False", "FALSE")
_SHUFFLE, _HOUR, _PREMIUM = "hist_user_behavior_is_shuffle", "hour_of_day", "premium"
_LAST_HOUR: Final = 23
_YEAR_FIRST: Final = len("2018-07-15")
_NEEDED: Final = (_SESSION, _POSITION, _TRACK, *_FLAGS)


def mapping(columns: tuple[str, ...]) -> Mapping:
    """Return the roles of a file with these columns."""
    return Mapping(
        track=column(columns, _TRACK),
        session=column(columns, _SESSION),
        position=column(columns, _POSITION),
        stated=_stated(columns),
        side={name: role for name, role in _side().items() if role.name in columns},
        unique_positions=True,
        typed_columns=(*_FLAGS, _SHUFFLE, _HOUR, _PREMIUM),
    )


def _flag(name: str) -> pl.Expr:
    """Return a flag, null if invalid; pandas writes True and False, spreadsheets TRUE and FALSE."""
    return pl.col(name).map_batches(_flags_of, return_dtype=pl.Boolean)


def _flags_of(values: pl.Series) -> pl.Series:
    if values.dtype == pl.Boolean:
        return values
    true, false = (values.cast(pl.String).is_in(words).fill_null(False) for words in (_TRUE, _FALSE))
    return true.set(~(true | false), None)


def _stated(columns: tuple[str, ...]) -> Column | None:
    """Return the strength by the nested flags: the first true flag counts."""
    if not set(_FLAGS).issubset(columns):
        return None
    flags = (_flag(name).cast(pl.UInt8) * 2**bit for bit, name in enumerate(_FLAGS))
    code = pl.sum_horizontal(flags, ignore_nulls=False).fill_null(_NO_FLAGS)
    table = pl.Series([_STRENGTHS.get(flags, CONTRADICTORY) for flags in range(_NO_FLAGS)] + [WRONG], dtype=pl.UInt8)
    return Column(pl.lit(table).gather(code), ", ".join(_FLAGS))


def _side() -> dict[str, Column]:
    number = pl.col(_HOUR).cast(pl.UInt8, strict=False)
    return {
        names.CONTEXT_TYPE: Column.of("context_type"),
        names.SHUFFLE: Column(_flag(_SHUFFLE), _SHUFFLE),
        names.HOUR: Column(pl.when(number <= _LAST_HOUR).then(number), _HOUR),
        names.PREMIUM: Column(_flag(_PREMIUM), _PREMIUM),
        names.DATE: Column(_date(), "date"),
    }


def _date() -> pl.Expr:
    """Return the day; some files write 15-07-18, which Polars would read as a day of the year 15."""
    text = pl.col("date").cast(pl.String)
    year_first = text.str.len_bytes() == _YEAR_FIRST
    return (
        pl.when(year_first)
        .then(text.str.to_date("%Y-%m-%d", strict=False))
        .otherwise(pl.when(~year_first).then(text).str.to_date("%d-%m-%y", strict=False))
    )


def beside(path: Path) -> Beside:
    """Return the track tables, oracle and simulation mark beside a log, or beside its folder `training_set`."""
    folder = path if path.is_dir() else path.parent
    root = folder.parent if folder.name == "training_set" else folder
    tables = [root / "tracks.csv", *sorted((root / "track_features").glob("*.csv"))]
    oracle, simulation = root / "oracle.parquet", root / "simulation.json"
    return Beside(
        track_files=tuple(file for file in tables if file.is_file()),
        oracle=oracle if oracle.is_file() else None,
        simulation=simulation if simulation.is_file() else None,
    )


SOURCE: Final = Source(
    name="mssd",
    where="Spotify's Sequential Skip Prediction Challenge at AIcrowd; not downloadable since July 2024.",
    licence="Research only, under Spotify's terms of the challenge.",
    notes=(
        "Sessions hold 10 to 20 tracks in stated order; there are days and hours but no times.",
        "There are no listeners.",
        "Flags are true and false, or True and False; days are 2018-07-15 or 15-07-18.",
    ),
    files=("log_*.csv*", "*/log_*.csv*"),
    needs=_NEEDED,
    beside=beside,
    recognise=by_columns("MSSD's session logs", names.MSSD_LOG, _NEEDED),
    mapping=mapping,
    feedback="Stated by nested flags: skip_1 is strength 3, else skip_2 is 2, else skip_3 is 1, else not_skipped is 0.",
)
