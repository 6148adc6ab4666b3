"""Tidal's streaming history, from the data that Tidal hands out."""

from __future__ import annotations

from typing import Final

import polars as pl

from segue.data.mapping import Column, Mapping
from segue.data.sources.fields import amount, claim, column, text, time
from segue.data.sources.source import Sample, Source

_COLUMNS: Final = ("artist_name", "track_title", "entry_date", "stream_duration_ms", "product_type")
_NEEDED: Final = ("track_title", "entry_date", "stream_duration_ms")


def _recognise(sample: Sample) -> str | None:
    if not set(sample.columns).issuperset(_NEEDED):
        return None
    return claim(sample.columns, _COLUMNS, "Tidal's streaming history")


def _mapping(columns: tuple[str, ...]) -> Mapping:
    other = text(columns, "product_type").str.to_uppercase() != "TRACK"
    return Mapping(
        time=time(columns, "entry_date"),
        title=column(columns, "track_title"),
        artist=column(columns, "artist_name"),
        played=amount(columns, "stream_duration_ms", "ms"),
        left_out=Column(pl.when(other).then(pl.lit("video")), "product_type"),
    )


SOURCE: Final = Source(
    name="tidal",
    title="Tidal, streaming history",
    where="Ask Tidal's support for the personal data of your account; a zip file with CSV files comes by mail.",
    licence="Personal data of the listener, who alone decides on its use.",
    notes=(
        "Times are in UTC; Tidal does not say of what, they are read as the start of a play.",
        "Videos are left out.",
        "Tracks have no id and no length: title and artist are the identity.",
    ),
    files=("*streaming*.csv", "*tidal*.csv"),
    recognise=_recognise,
    mapping=_mapping,
    feedback="Not stated; judged by the seconds played.",
)
