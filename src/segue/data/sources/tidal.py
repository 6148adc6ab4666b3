"""Tidal's streaming history, from Tidal's export of personal data."""

from __future__ import annotations

from typing import Final

import polars as pl

from segue.data.mapping import Amount, Column, Mapping, Time
from segue.data.sources.fields import by_column_names, by_columns
from segue.data.sources.source import Source

_COLUMNS: Final = ("artist_name", "track_title", "entry_date", "stream_duration_ms", "product_type")
_NEEDED: Final = ("track_title", "entry_date", "stream_duration_ms")


_NO_TRACK: Final = pl.col("product_type").cast(pl.String).str.to_uppercase().str.strip_chars() != "TRACK"
_ROLES: Final = Mapping(
    time=Time.of("entry_date"),
    title=Column.of("track_title"),
    artist=Column.of("artist_name"),
    played=Amount(pl.col("stream_duration_ms"), "stream_duration_ms", "ms"),
    left_out=Column(pl.when(_NO_TRACK).then(pl.lit("video")), "product_type"),
)
SOURCE: Final = Source(
    name="tidal",
    where="Ask Tidal's support for the personal data of your account; a zip file with CSV files comes by mail.",
    licence="Personal data of the listener, who alone decides on its use.",
    notes=(
        "Times are in UTC; Tidal does not say of what, they are read as the start of a play.",
        "Videos are left out.",
        "Tracks have no id and no length: title and artist are the identity.",
    ),
    files=("*streaming*.csv", "*tidal*.csv"),
    recognise=by_columns("Tidal's streaming history", _COLUMNS, _NEEDED),
    mapping=by_column_names(_ROLES),
    feedback="Not stated; judged by the seconds played.",
)
