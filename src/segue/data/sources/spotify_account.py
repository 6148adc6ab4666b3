"""The streaming history of Spotify's account export: the last year, to the minute."""

from __future__ import annotations

from typing import Final

from segue.data.mapping import Mapping
from segue.data.sources.fields import amount, claim, column, time
from segue.data.sources.source import Sample, Source

_COLUMNS: Final = ("endTime", "artistName", "trackName", "msPlayed")


def _recognise(sample: Sample) -> str | None:
    if not set(sample.columns).issuperset(_COLUMNS):
        return None
    return claim(sample.columns, _COLUMNS, "Spotify's account export")


def _mapping(columns: tuple[str, ...]) -> Mapping:
    return Mapping(
        time=time(columns, "endTime", ends=True),
        title=column(columns, "trackName"),
        artist=column(columns, "artistName"),
        played=amount(columns, "msPlayed", "ms"),
    )


SOURCE: Final = Source(
    name="spotify-account",
    title="Spotify, account export",
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
    recognise=_recognise,
    mapping=_mapping,
    feedback="Not stated; judged by the seconds played.",
)
