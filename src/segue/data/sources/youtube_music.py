"""YouTube Music's part of the watch history in a Google takeout."""

from __future__ import annotations

from typing import Final

import polars as pl

from segue.data.identities import names_as_aliases
from segue.data.mapping import Column, Mapping
from segue.data.sources.fields import by_columns, column, text, time
from segue.data.sources.source import Sample, Source

_COLUMNS: Final = ("header", "title", "titleUrl", "subtitles.0.name", "time")
_NEEDED: Final = ("header", "title", "time")
_MUSIC: Final = "YouTube Music"
_WATCHED: Final = "Watched "
"""Prefix of titles in an English takeout; words of other languages stay in the title."""
_TOPIC: Final = " - Topic"
"""Suffix of artists on channels that YouTube generates."""
_VIDEO_ID: Final = r"[?&]v=([\w-]+)"
_ADDRESS: Final = r"^https?://"


def _recognise(sample: Sample) -> str | None:
    header = sample.first.select(text(sample.columns, "header")).to_series()
    of_youtube = header.str.starts_with("YouTube").any()
    return by_columns("YouTube's watch history", _COLUMNS, _NEEDED)(sample) if of_youtube else None


def _track(columns: tuple[str, ...]) -> pl.Expr:
    return text(columns, "titleUrl").str.extract(_VIDEO_ID)


def _title(columns: tuple[str, ...]) -> pl.Expr:
    """Return the title without "Watched"; null if it is the video's address."""
    title = text(columns, "title").str.strip_prefix(_WATCHED)
    return pl.when(~title.str.contains(_ADDRESS)).then(title)


def _left_out(columns: tuple[str, ...]) -> pl.Expr:
    music = (text(columns, "header") == _MUSIC).fill_null(False)
    nameless = _track(columns).is_null() & text(columns, "subtitles.0.name").is_null()
    return pl.when(~music).then(pl.lit("video")).when(nameless).then(pl.lit("removed"))


def _mapping(columns: tuple[str, ...]) -> Mapping:
    artist = column(columns, "subtitles.0.name")
    return Mapping(
        time=time(columns, "time"),
        track=Column(_track(columns), "titleUrl"),
        title=Column(_title(columns), "title"),
        artist=Column(artist.value.str.strip_suffix(_TOPIC), artist.name) if artist else None,
        left_out=Column(_left_out(columns), "header"),
        newest_first=True,
    )


SOURCE: Final = Source(
    name="youtube-music",
    where="Ask Google Takeout for YouTube's history in the JSON format (HTML is its default).",
    licence="Personal data of the listener, who alone decides on its use.",
    notes=(
        "Times are those at which a play began, in UTC; the newest comes first.",
        "Videos watched on YouTube itself are left out, and so are tracks that were removed and have no id.",
        "The word before a title is of the takeout's language: 'Watched' is cut off, another stays.",
        "Artists are often missing.",
        "Neither the time played nor the length of the track is given.",
    ),
    files=("*watch-history.json",),
    recognise=_recognise,
    mapping=_mapping,
    aliases=names_as_aliases,
    feedback="Not stated, and there are no durations: gaps between plays are guesses.",
)
