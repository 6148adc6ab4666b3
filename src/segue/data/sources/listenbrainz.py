"""ListenBrainz's export: listens, and beside them what the listener loves and hates.

A track is the recording that ListenBrainz matched, else the one that was submitted, else the id of its spelling
(`recording_msid`). Feedback names either id, so that joining it takes `scores` and `other_ids`.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from segue import columns as names
from segue.data.mapping import Amount, Mapping
from segue.data.sources.fields import claim, column, number, text, time
from segue.data.sources.source import Sample, Source

FEEDBACK_FILES: Final = ("*feedback.jsonl",)
"""Patterns of the names of the files that `scores` reads."""
SCORE: Final = "score"
"""1 = loved, 0 = taken back, -1 = hated, Int8."""
OTHER_ID: Final = "other_id"

_ABOUT: Final = "track_metadata"
_MORE: Final = f"{_ABOUT}.additional_info"
_ALWAYS: Final = ("listened_at", f"{_ABOUT}.artist_name", f"{_ABOUT}.track_name")
_IDS: Final = (
    f"{_ABOUT}.mbid_mapping.recording_mbid",
    f"{_MORE}.recording_mbid",
    f"{_MORE}.recording_msid",
    "recording_msid",
)
"""The best first."""
_LENGTHS: Final = (f"{_MORE}.duration_ms", f"{_MORE}.duration")


def scores(feedback: pl.DataFrame) -> pl.DataFrame:
    """Return the last score of each id in the records of a feedback file: track (String) and score (Int8).

    A record with both ids gives two rows. `feedback` has the columns recording_mbid, recording_msid, score and created.
    """
    there = feedback.columns
    ids = pl.concat_list(text(there, "recording_mbid"), text(there, "recording_msid"))
    return (
        feedback.select(
            ids.alias(names.TRACK), number(there, "score").cast(pl.Int8).alias(SCORE), created=number(there, "created")
        )
        .sort("created", nulls_last=False, maintain_order=True)
        .explode(names.TRACK)
        .drop_nulls([names.TRACK, SCORE])
        .unique(names.TRACK, keep="last", maintain_order=True)
        .select(names.TRACK, SCORE)
    )


def other_ids(listens: pl.DataFrame) -> pl.DataFrame:
    """Return every id that a track goes by in the records of a file of listens: other_id and track, both String."""
    there = listens.columns
    track, ids = text(there, *_IDS), pl.concat_list(*(text(there, name) for name in _IDS))
    rows = listens.select(ids.alias(OTHER_ID), track.alias(names.TRACK)).explode(OTHER_ID)
    return rows.drop_nulls().unique(maintain_order=True)


def _recognise(sample: Sample) -> str | None:
    if not set(sample.columns).issuperset(_ALWAYS):
        return None
    return claim(sample.columns, _ALWAYS, "ListenBrainz's listens")


def _length(columns: tuple[str, ...]) -> Amount | None:
    there = [name for name in _LENGTHS if name in columns]
    milliseconds = pl.coalesce(number(columns, _LENGTHS[0]), number(columns, _LENGTHS[1]) * 1000)
    return Amount(milliseconds, there[0], "ms") if there else None


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
    title="ListenBrainz, listens",
    where="Ask for an export in the settings of your ListenBrainz account; a zip file is made for you to fetch.",
    licence="Personal data of the listener; ListenBrainz publishes listens under CC0.",
    notes=(
        "Times are those at which a play began, in UTC.",
        "Listens that ListenBrainz imported from Spotify lack plays of less than 30 seconds.",
        "A track without a matched recording goes by the id of its spelling.",
        "What the listener loves and hates (feedback.jsonl) is about a track, not about one play.",
        "User names are not read.",
    ),
    files=("*listens/*.jsonl",),
    recognise=_recognise,
    mapping=_mapping,
    feedback="Not stated for a play; gaps between plays against the length of the track are guesses.",
)
