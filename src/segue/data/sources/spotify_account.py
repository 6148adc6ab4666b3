"""The streaming history of Spotify's account export: the last year, to the minute."""

from __future__ import annotations

from typing import Final

import polars as pl

from segue.data.mapping import Amount, Column, Mapping, Time
from segue.data.sources.fields import by_column_names, by_columns
from segue.data.sources.source import Source

_COLUMNS: Final = ("endTime", "artistName", "trackName", "msPlayed")


_ROLES: Final = Mapping(
    time=Time(pl.col("endTime"), "endTime", ends=True),
    title=Column.of("trackName"),
    artist=Column.of("artistName"),
    played=Amount(pl.col("msPlayed"), "msPlayed", "ms"),
)
SOURCE: Final = Source(
    name="spotify-account",
    where="Ask for the 'Account data' on the privacy page of your Spotify account; a link to a zip file comes by mail "
    "within a few days.",
    licence="Personal data of the listener, who alone decides on its use.",
    notes=(
        "Times are the minute in which a play stopped, in UTC; plays of the same minute keep the order of the file.",
        "Tracks have no id and no length: title and artist are the identity.",
        "Many plays lasted 0 ms: the listener passed over them.",
        "Files of podcasts and audiobooks are left out; files of before 2023 mix podcasts in without a sign.",
        "It holds one year; the extended streaming history holds all, with ids and the reason why a play ended.",
    ),
    files=(
        "*StreamingHistory[0-9]*.json",
        "*StreamingHistory_music_*.json",
        "*StreamingHistory[0-9]*.csv",
        "*StreamingHistory_music_*.csv",
    ),
    recognise=by_columns("Spotify's account export", _COLUMNS),
    mapping=by_column_names(_ROLES),
    feedback="Not stated; judged by the seconds played.",
)
