"""LFM-2b: listening events of Last.fm."""

from __future__ import annotations

from typing import Final

from segue.data.mapping import Column, Mapping, Time
from segue.data.sources.fields import by_column_names
from segue.data.sources.source import Sample, Source

_COLUMNS: Final = ("user_id", "track_id", "album_id", "timestamp")
_FILE: Final = "listening_events"
_ROLES: Final = Mapping(
    time=Time.of("timestamp"),
    track=Column.of("track_id"),
    album=Column.of("album_id"),
    listener=Column.of("user_id"),
)


def recognise(sample: Sample) -> str | None:
    """Return why a file has LFM-2b's events, or None; the header is too common, so the file's name counts, too."""
    has_name = _FILE in sample.name.lower()
    return f"4 of 4 columns of LFM-2b's {_FILE}" if has_name and set(_COLUMNS) == set(sample.columns) else None


SOURCE: Final = Source(
    name="lfm-2b",
    where="Johannes Kepler University Linz: listening_events.tsv.bz2; no longer downloadable.",
    licence="Non-commercial research only.",
    notes=(
        "Only what was heard for half its length or 4 minutes is there, so skips are rare and gaps are guesses.",
        "Times have no zone and are read as UTC.",
        "Titles, artists and lengths stand in other files and are not read.",
    ),
    files=("listening_events.tsv*", "*/listening_events.tsv*"),
    recognise=recognise,
    mapping=by_column_names(_ROLES),
    feedback="None is stated, and there are no lengths.",
)
