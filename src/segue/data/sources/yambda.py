"""Yambda: plays of Yandex Music with the share of the track that was heard."""

from __future__ import annotations

from typing import Final

import polars as pl

from segue.data.mapping import Amount, Column, Mapping, Time
from segue.data.sources.fields import amount, column
from segue.data.sources.source import Sample, Source

_STEP_S: Final = 5.0
"""Seconds that a timestamp counts."""
_LISTENS: Final = ("uid", "timestamp", "item_id", "is_organic", "played_ratio_pct", "track_length_seconds")
_REQUIRED: Final = {"uid", "timestamp", "item_id", "played_ratio_pct"}
_EVENT: Final = "event_type"


def recognise(sample: Sample) -> str | None:
    """Return why a file holds listens of Yambda, flat, sequential or among other events; None where it does not."""
    if not _REQUIRED.issubset(sample.columns):
        return None
    seen = sum(name in sample.columns for name in _LISTENS)
    kind = "events of several kinds" if _EVENT in sample.columns else "listens"
    layout = "sequential" if isinstance(sample.first.schema.get("timestamp"), pl.List) else "flat"
    return f"{seen} of {len(_LISTENS)} columns of Yambda's {layout} {kind}"


def prepare(frame: pl.DataFrame) -> pl.DataFrame:
    """Return one row an event: rows of the sequential layout hold a listener's whole history in lists."""
    lists = [name for name, kind in frame.schema.items() if isinstance(kind, pl.List)]
    if not lists:
        return frame
    return frame.filter(pl.col(lists[0]).list.len() > 0).explode(lists)


def mapping(columns: tuple[str, ...]) -> Mapping:
    """Return the roles of a file with these columns."""
    return Mapping(
        time=_time() if "timestamp" in columns else None,
        track=column(columns, "item_id"),
        listener=column(columns, "uid"),
        share=_share() if "played_ratio_pct" in columns else None,
        length=amount(columns, "track_length_seconds"),
        told=_told() if _EVENT in columns else None,
        left_out=_left_out() if _EVENT in columns else None,
    )


def _time() -> Time:
    return Time(pl.col("timestamp"), "timestamp", unit="s", step=_STEP_S)


def _share() -> Column:
    return Amount(pl.col("played_ratio_pct"), "played_ratio_pct", "percent")


def _told() -> Column:
    event = pl.col(_EVENT).cast(pl.String)
    strength = pl.when(event == "like").then(0).when(event == "dislike").then(3)
    return Column(strength.otherwise(None).cast(pl.UInt8), _EVENT)


def _left_out() -> Column:
    event = pl.col(_EVENT).cast(pl.String)
    return Column(pl.when(~event.is_in(["listen", "like", "dislike"])).then(event), _EVENT)


SOURCE: Final = Source(
    name="yambda",
    title="Yambda, plays of Yandex Music",
    where="Hugging Face, yandex/yambda: flat/50m/listens.parquet, or multi_event.parquet with likes and dislikes.",
    licence="Apache-2.0.",
    notes=(
        "Times count 5 s from an unknown start, so the dates are not real and plays within 5 s are tied.",
        "The share of a track that was played may exceed 100 %.",
        "The sequential layout holds one row a listener with lists; both layouts give the same events.",
        "In multi_event a like is strength 0 and a dislike strength 3; unlike and undislike are left out.",
        "likes.parquet and dislikes.parquet alone hold no plays and are not read.",
    ),
    files=("listens*.parquet", "*/listens*.parquet", "multi_event*.parquet", "*/multi_event*.parquet"),
    recognise=recognise,
    mapping=mapping,
    repeats=True,
    feedback="The share of the track that was played is stated; likes and dislikes are stated in multi_event.",
    prepare=prepare,
)
