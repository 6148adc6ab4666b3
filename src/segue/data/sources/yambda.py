"""Yambda: plays of Yandex Music with the share of the track that was played."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import polars as pl

from segue.data import identities, opinions
from segue.data.mapping import Amount, Column, Mapping, Time
from segue.data.sources.fields import by_column_names, flag
from segue.data.sources.source import Beside, OpinionFiles, Sample, Source

_LISTENS: Final = ("uid", "timestamp", "item_id", "is_organic", "played_ratio_pct", "track_length_seconds")
_REQUIRED: Final = {"uid", "timestamp", "item_id", "played_ratio_pct"}
_EVENT: Final = "event_type"
_SCORES: Final = {"like": 1, "dislike": -1, "unlike": 0, "undislike": 0}
_OPINIONS: Final = tuple(f"{folder}{kind}s*.parquet" for kind in _SCORES for folder in ("", "*/"))


def recognise(sample: Sample) -> str | None:
    """Return why a file has listens of Yambda (flat, sequential or among other events), or None."""
    if not _REQUIRED.issubset(sample.columns):
        return None
    num_columns = sum(name in sample.columns for name in _LISTENS)
    kind = "events of several kinds" if _EVENT in sample.columns else "listens"
    layout = "sequential" if isinstance(sample.first.schema.get("timestamp"), pl.List) else "flat"
    return f"{num_columns} of {len(_LISTENS)} columns of Yambda's {layout} {kind}"


def prepare(frame: pl.DataFrame) -> pl.DataFrame:
    """Return one row per event; a row of the sequential layout has a listener's whole history in lists."""
    lists = [name for name, kind in frame.schema.items() if isinstance(kind, pl.List)]
    if not lists:
        return frame
    return frame.filter(pl.col(lists[0]).list.len() > 0).explode(lists)


def scores(frame: pl.DataFrame, name: str) -> pl.DataFrame:
    """Return the opinions among events of several kinds, or in a file of one kind, given by its name."""
    kind = pl.lit(name.rsplit("/", 1)[-1].lower())
    event = pl.col(_EVENT).cast(pl.String) if _EVENT in frame.columns else kind.str.extract(r"^((?:un)?(?:dis)?like)")
    return frame.select(
        pl.col("uid").cast(pl.String).alias(opinions.LISTENER),
        pl.col("item_id").cast(pl.String).alias(identities.TRACK),
        event.replace_strict(_SCORES, default=None, return_dtype=pl.Int8).alias(opinions.SCORE),
        pl.col("timestamp").cast(pl.Float64).alias(opinions.AT),
    ).drop_nulls(opinions.SCORE)


def beside(path: Path) -> Beside:
    """Return the mark of a simulated log beside its files."""
    mark = (path if path.is_dir() else path.parent) / "simulation.json"
    return Beside(simulation=mark if mark.is_file() else None)


_KIND: Final = pl.col(_EVENT).cast(pl.String)
_ROLES: Final = Mapping(
    time=Time(pl.col("timestamp"), "timestamp", unit="s", dated=False),
    track=Column.of("item_id"),
    listener=Column.of("uid"),
    share=Amount(pl.col("played_ratio_pct"), "played_ratio_pct", "percent"),
    length=Amount.of("track_length_seconds"),
    side={"is_organic": Column(flag(("is_organic",), "is_organic"), "is_organic")},
    left_out=Column(pl.when(_KIND != "listen").then(_KIND), _EVENT),
)
SOURCE: Final = Source(
    name="yambda",
    where="Hugging Face, yandex/yambda: flat/50m or sequential/50m: listens.parquet, with "
    "likes.parquet and dislikes.parquet beside it, or multi_event.parquet.",
    licence="Apache-2.0.",
    notes=(
        "Times are seconds from an unknown start, to 5 s: the dates are not real, and plays within 5 s are tied.",
        "The share of a track that was played may exceed 100 %.",
        "The sequential layout holds one row a listener with lists; both layouts give the same events.",
        "is_organic (the listener's own choice, not the service's) is kept beside the plays.",
        "Likes and dislikes are no plays: those of likes, dislikes, unlikes and undislikes.parquet beside it and of "
        "multi_event are joined to the plays of the listener and track.",
        "A like (strength 0) or dislike (3) tells of the play in which it was given; else the last one counts where no "
        "share is known.",
    ),
    files=("listens*.parquet", "*/listens*.parquet", "multi_event*.parquet", "*/multi_event*.parquet"),
    recognise=recognise,
    mapping=by_column_names(_ROLES),
    repeats=True,
    beside=beside,
    feedback="Likes and dislikes during a play are stated; else the share of the track that was played counts.",
    prepare=prepare,
    opinions=OpinionFiles(files=_OPINIONS, columns=("uid", "timestamp", "item_id"), read=scores, among_plays=_EVENT),
)
