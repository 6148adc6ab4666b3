"""Apple Music's play activity, from Apple's export of personal data.

A record is an event, not always a play: a record without a name is not a track, and moving the slider or pausing
splits a play into several records. These are merged: the play starts with the first, the times played add up, and the
last gives the reason for the end.

"NATURAL_END_OF_TRACK" states that a track was played to its end. "TRACK_SKIPPED_FORWARDS" states that the listener
pressed "next", a skip whose strength depends on the time played. Skipping backwards, picking another track, pausing and
failures state no feedback.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from segue.data.cutting import GAP_MINUTES
from segue.data.mapping import Column, Mapping, Time
from segue.data.sources.fields import amount, claim, column, number, skip_strength, text
from segue.data.sources.source import Sample, Source

_START: Final = "Event Start Timestamp"
_END: Final = "Event End Timestamp"
_PLAYED: Final = "Play Duration Milliseconds"
_REASON: Final = "End Reason Type"
_TITLES: Final = ("Song Name", "Content Name")
"""In exports since 2022, and before."""
_ARTISTS: Final = ("Artist Name", "Container Artist Name")
_ALBUMS: Final = ("Album Name", "Container Album Name")
_KIND: Final = "Event Type"
_LENGTH: Final = "Media Duration In Milliseconds"
_MEDIA: Final = "Media Type"
_COLUMNS: Final = (_START, _END, _KIND, _REASON, _PLAYED, _LENGTH)
_READ: Final = (*_COLUMNS, *_TITLES, *_ARTISTS, *_ALBUMS, _MEDIA)
_GOES_ON: Final = ("SCRUB_BEGIN", "SCRUB_END", "PLAYBACK_MANUALLY_PAUSED")
"""Reasons after which the next record of the same track may belong to the same play."""
_LONGEST_PAUSE: Final = pl.duration(minutes=GAP_MINUTES)
"""Longest pause between two records of one play; a longer one also ends a session."""
_PART: Final = "part of a play"
"""Column that `whole` adds: True if a later record replaces this one."""
_NEEDED: Final = (_END, _REASON, _PLAYED)


def _recognise(sample: Sample) -> str | None:
    file_columns = set(sample.columns)
    if not file_columns.issuperset(_NEEDED) or not file_columns & set(_TITLES):
        return None
    return claim(file_columns, _COLUMNS, "Apple Music's play activity")


def prepare(frame: pl.DataFrame) -> pl.DataFrame:
    """Return records with the columns that are read and those of Segue ("__...")."""
    return frame.select(name for name in frame.columns if name in _READ or name.startswith("__"))


def whole(frame: pl.DataFrame) -> pl.DataFrame:
    """Return all records of a file, the last of each play with the start and the total time of the play.

    A record continues the play of the previous record in time if both have the same track, the previous one ended for
    a reason in _GOES_ON, and at most _LONGEST_PAUSE lies between them. All but the last record of a play are marked.
    """
    columns = tuple(frame.columns)
    timed = frame.with_columns(
        _start(columns).alias("start"), _end(columns).alias("end"), _no_play(columns).alias("no play")
    ).with_row_index("row")
    plays = timed.filter(pl.col("no play").is_null(), pl.col("start").is_not_null()).sort("start", "end", "row")
    track = pl.concat_str(text(columns, *_TITLES), text(columns, *_ARTISTS).fill_null(""), separator="\n")
    goes_on = text(columns, _REASON).shift().is_in(_GOES_ON) & (track == track.shift())
    goes_on &= pl.col("start") - pl.coalesce("end", "start").shift() <= _LONGEST_PAUSE
    play = (~goes_on.fill_null(False)).cum_sum()
    played = number(columns, _PLAYED)
    play_of_row = plays.with_columns(play.alias("play")).select(
        "row",
        (pl.col("row") != pl.col("row").last().over("play")).alias(_PART),
        pl.when(pl.len().over("play") > 1).then(_as_text(pl.col("start").first().over("play"))).alias("first start"),
        pl.when(pl.len().over("play") > 1).then(played.clip(lower_bound=0).sum().over("play")).alias("all played"),
    )
    records = timed.join(play_of_row, on="row", how="left", maintain_order="left").with_columns(
        pl.coalesce("first start", text(columns, _START)).alias(_START),
        pl.coalesce(pl.col("all played").cast(pl.String), text(columns, _PLAYED)).alias(_PLAYED),
        pl.col(_PART).fill_null(False),
    )
    return records.select(*dict.fromkeys([*columns, _START, _PLAYED]), _PART)


def _moment(columns: tuple[str, ...], name: str) -> pl.Expr:
    return text(columns, name).str.strip_suffix("Z").str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", strict=False)


def _start(columns: tuple[str, ...]) -> pl.Expr:
    """Return the start of a play: as recorded, else its end less the time played."""
    played = pl.duration(milliseconds=number(columns, _PLAYED).clip(lower_bound=0).fill_null(0).cast(pl.Int64))
    return pl.coalesce(_moment(columns, _START), _end(columns) - played)


def _end(columns: tuple[str, ...]) -> pl.Expr:
    return _moment(columns, _END)


def _as_text(moment: pl.Expr) -> pl.Expr:
    return moment.dt.strftime("%Y-%m-%dT%H:%M:%S%.3fZ")


def _time(columns: tuple[str, ...]) -> Time | None:
    time_columns = [name for name in (_START, _END) if name in columns]
    begin = pl.coalesce(text(columns, _START), _as_text(_start(columns)))
    return Time(begin, time_columns[0]) if time_columns else None


def _stated(columns: tuple[str, ...]) -> pl.Expr:
    reason = text(columns, _REASON)
    to_its_end = pl.when(reason == "NATURAL_END_OF_TRACK").then(pl.lit(0, pl.UInt8))
    return to_its_end.when(reason == "TRACK_SKIPPED_FORWARDS").then(skip_strength(number(columns, _PLAYED)))


def _no_play(columns: tuple[str, ...]) -> pl.Expr:
    """Return the kind of a record that is not a play, null for a play."""
    event = text(columns, _KIND)
    no_play = (event == "LYRIC_DISPLAY") | ((event == "PLAY_START") & text(columns, _PLAYED).is_null())
    return (
        pl.when(text(columns, *_TITLES).is_null())
        .then(pl.lit("no-track"))
        .when(text(columns, _MEDIA) == "VIDEO")
        .then(pl.lit("video"))
        .when(no_play)
        .then(pl.lit("no-play"))
    )


def _left_out(columns: tuple[str, ...]) -> pl.Expr:
    if _PART not in columns:
        return _no_play(columns)
    return pl.coalesce(_no_play(columns), pl.when(pl.col(_PART)).then(pl.lit("part-of-a-play")))


def _mapping(columns: tuple[str, ...]) -> Mapping:
    return Mapping(
        time=_time(columns),
        title=column(columns, *_TITLES),
        artist=column(columns, *_ARTISTS),
        album=column(columns, *_ALBUMS),
        length=amount(columns, _LENGTH, "ms"),
        played=amount(columns, _PLAYED, "ms"),
        stated=Column(_stated(columns), _REASON),
        left_out=Column(_left_out(columns), _REASON),
    )


SOURCE: Final = Source(
    name="apple-music",
    where="Ask for a copy of your data (Apple Media Services) on Apple's page about data and privacy; the file is in "
    "the inner archive Apple Music Activity.",
    licence="Personal data of the listener, who alone decides on its use.",
    notes=(
        "Times are those at which a play began, in UTC; where that is empty, its end less the time played.",
        "Columns and their order change from year to year; they are read by name.",
        "Records without a name, of music videos and of lyrics that were shown are left out.",
        "Moving the slider and pausing split a play into records; they are made one again, with all that was played "
        "and the last reason why it ended. The others are counted as parts.",
        "Tracks have no id: title and artist are the identity, and some exports lack the artist.",
        "Addresses, places and devices are not read.",
    ),
    files=("*Apple Music Play Activity*.csv",),
    recognise=_recognise,
    mapping=_mapping,
    prepare=prepare,
    whole=whole,
    feedback="Stated where a track ended by itself or the listener pressed 'next'; else judged by the share played.",
)
