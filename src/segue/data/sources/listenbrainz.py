"""ListenBrainz's export: listens, and the listener's loves and hates.

A track is the recording that ListenBrainz matched, else the submitted one, else the id of its spelling
(`recording_msid`). Feedback uses either id.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from segue.data import identities, opinions
from segue.data.mapping import Amount, Mapping
from segue.data.sources.fields import by_columns, column, number, text, time
from segue.data.sources.source import OpinionFiles, Source

_ABOUT: Final = "track_metadata"
_MORE: Final = f"{_ABOUT}.additional_info"
_ALWAYS: Final = ("listened_at", f"{_ABOUT}.artist_name", f"{_ABOUT}.track_name")
_IDS: Final = (
    f"{_ABOUT}.mbid_mapping.recording_mbid",
    f"{_MORE}.recording_mbid",
    f"{_MORE}.recording_msid",
    "recording_msid",
)
"""Best first."""
_LENGTHS: Final = (f"{_MORE}.duration_ms", f"{_MORE}.duration")


def scores(feedback: pl.DataFrame, _: str) -> pl.DataFrame:
    """Return the opinions in records of a feedback file; a record with both ids gives two."""
    columns = feedback.columns
    ids = pl.concat_list(text(columns, "recording_mbid"), text(columns, "recording_msid"))
    return feedback.select(
        pl.lit("").alias(opinions.LISTENER),
        ids.alias(identities.TRACK),
        number(columns, "score").cast(pl.Int8).alias(opinions.SCORE),
        number(columns, "created").alias(opinions.AT),
    ).explode(identities.TRACK)


def other_ids(listens: pl.DataFrame, _: Mapping) -> pl.DataFrame:
    """Return every id of each track in records of a file of listens."""
    columns = listens.columns
    track, ids = text(columns, *_IDS), pl.concat_list(*(text(columns, name) for name in _IDS))
    rows = listens.select(ids.alias(identities.ALIAS), track.alias(identities.TRACK)).explode(identities.ALIAS)
    return rows.drop_nulls().unique(maintain_order=True)


def _length(columns: tuple[str, ...]) -> Amount | None:
    length_columns = [name for name in _LENGTHS if name in columns]
    milliseconds = pl.coalesce(number(columns, _LENGTHS[0]), number(columns, _LENGTHS[1]) * 1000)
    return Amount(milliseconds, length_columns[0], "ms") if length_columns else None


def _mapping(columns: tuple[str, ...]) -> Mapping:
    return Mapping(
        time=time(columns, "listened_at", unit="s"),
        track=column(columns, *_IDS),
        title=column(columns, f"{_ABOUT}.track_name"),
        artist=column(columns, f"{_ABOUT}.artist_name"),
        album=column(columns, f"{_ABOUT}.release_name"),
        length=_length(columns),
    )


SOURCE: Final = Source(
    name="listenbrainz",
    where="Ask for an export in the settings of your ListenBrainz account; a zip file is made for you to fetch.",
    licence="Personal data of the listener; ListenBrainz publishes listens under CC0.",
    notes=(
        "Times are those at which a play began, in UTC.",
        "Listens that ListenBrainz imported from Spotify lack plays of less than 30 seconds.",
        "A track without a matched recording goes by the id of its spelling.",
        "A track that was matched later goes by its recording everywhere, where its spelling stands for no other.",
        "What the listener loves (strength 0) and hates (3) is about a recording: the last word in feedback.jsonl "
        "counts for all plays of it.",
        "User names are not read.",
    ),
    files=("*listens/*.jsonl", "[1-9].jsonl", "1[0-2].jsonl"),
    recognise=by_columns("ListenBrainz's listens", _ALWAYS),
    mapping=_mapping,
    feedback="Stated by loves and hates of the recording, never for a single play; elsewhere gaps between plays are "
    "guesses.",
    opinions=OpinionFiles(files=("*feedback.jsonl",), columns=("score",), read=scores),
    aliases=other_ids,
)
