"""Apple Music's play activity, from the data that Apple hands out.

A record is an event, not always a play: one that lacks a name is no track, and moving the slider splits a play into
records that belong together, of which the last is kept: the one that says how the play ended.

"NATURAL_END_OF_TRACK" states that a track was played to its end, "TRACK_SKIPPED_FORWARDS" that the listener pressed
"next", a skip whose strength is the time played's. Skipping backwards, picking another track, pausing and failures say
that playing stopped, not what the listener thought of it: they state nothing.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from segue.data.mapping import Column, Mapping, Time
from segue.data.sources.fields import amount, claim, column, number, text
from segue.data.sources.source import Sample, Source
from segue.data.sources.stated_skip import skip_strength

_START: Final = "Event Start Timestamp"
_END: Final = "Event End Timestamp"
_PLAYED: Final = "Play Duration Milliseconds"
_REASON: Final = "End Reason Type"
_TITLES: Final = ("Song Name", "Content Name")
"""Of exports since 2022, and before."""
_ARTISTS: Final = ("Artist Name", "Container Artist Name")
_ALBUMS: Final = ("Album Name", "Container Album Name")
_COLUMNS: Final = (_START, _END, "Event Type", _REASON, _PLAYED, "Media Duration In Milliseconds")
_NEEDED: Final = (_END, _REASON, _PLAYED)


def _recognise(sample: Sample) -> str | None:
    there = set(sample.columns)
    if not there.issuperset(_NEEDED) or not there & set(_TITLES):
        return None
    return claim(there, _COLUMNS, "Apple Music's play activity")


def _begun(columns: tuple[str, ...]) -> Time | None:
    """Return the start of a play: as it stands there, else its end less the time played."""
    there = [name for name in (_START, _END) if name in columns]
    ended = text(columns, _END).str.strip_suffix("Z").str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", strict=False)
    played = pl.duration(milliseconds=number(columns, _PLAYED).clip(lower_bound=0).fill_null(0).cast(pl.Int64))
    begun = (ended - played).dt.strftime("%Y-%m-%dT%H:%M:%S%.3fZ")
    return Time(pl.coalesce(text(columns, _START), begun), there[0]) if there else None


def _told(columns: tuple[str, ...]) -> pl.Expr:
    reason = text(columns, _REASON)
    to_its_end = pl.when(reason == "NATURAL_END_OF_TRACK").then(pl.lit(0, pl.UInt8))
    return to_its_end.when(reason == "TRACK_SKIPPED_FORWARDS").then(skip_strength(number(columns, _PLAYED)))


def _left_out(columns: tuple[str, ...]) -> pl.Expr:
    event = text(columns, "Event Type")
    no_play = (event == "LYRIC_DISPLAY") | ((event == "PLAY_START") & text(columns, _PLAYED).is_null())
    return (
        pl.when(text(columns, *_TITLES).is_null())
        .then(pl.lit("no-track"))
        .when(text(columns, "Media Type") == "VIDEO")
        .then(pl.lit("video"))
        .when(no_play)
        .then(pl.lit("no-play"))
        .when(text(columns, _REASON) == "SCRUB_BEGIN")
        .then(pl.lit("part-of-a-play"))
    )


def _mapping(columns: tuple[str, ...]) -> Mapping:
    return Mapping(
        time=_begun(columns),
        title=column(columns, *_TITLES),
        artist=column(columns, *_ARTISTS),
        album=column(columns, *_ALBUMS),
        length=amount(columns, "Media Duration In Milliseconds", "ms"),
        played=amount(columns, _PLAYED, "ms"),
        told=Column(_told(columns), _REASON),
        left_out=Column(_left_out(columns), _REASON),
    )


SOURCE: Final = Source(
    name="apple-music",
    title="Apple Music, play activity",
    where="Ask for a copy of your data (Apple Media Services) on Apple's page about data and privacy; the file is in "
    "the inner archive Apple Music Activity.",
    licence="Personal data of the listener, who alone decides on its use.",
    notes=(
        "Times are those at which a play began, in UTC; where that is empty, its end less the time played.",
        "Columns and their order change from year to year; they are read by name.",
        "Records without a name, of music videos and of lyrics that were shown are left out.",
        "Moving the slider splits a play into records; only the last is kept, so its time played is that of a part.",
        "Tracks have no id: title and artist are the identity, and some exports lack the artist.",
        "Addresses, places and devices are not read.",
    ),
    files=("*Apple Music Play Activity*.csv",),
    recognise=_recognise,
    mapping=_mapping,
    feedback="Stated where a track ended by itself or the listener pressed 'next'; else judged by the share played.",
)
