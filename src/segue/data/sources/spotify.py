"""Spotify's extended streaming history, all years.

Feedback by the end of a play; the first rule that applies counts:

- `reason_end` "trackdone": played to its end, strength 0.
- "fwdbtn" (and "nextbtn" of old clients): the listener pressed "next", a skip whose strength depends on the time
  played.
- "backbtn" is a restart or a step back; "endplay" and "clickrow" mean that another track was picked; "logout",
  "unexpected-exit", "remote", "switched-to-video" and "unknown" do not say why playing stopped. They state nothing,
  although `skipped` is true for some of them since 2023; the seconds played count.
- No `reason_end`, but `skipped` true: as "fwdbtn". `skipped` false or null states nothing; in some years it is null.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from segue import columns as names
from segue.data.identities import names_as_aliases
from segue.data.mapping import Column, Mapping
from segue.data.sources.fields import amount, by_columns, column, flag, number, skip_strength, text, time
from segue.data.sources.source import Source

_TITLE: Final = "master_metadata_track_name"
_URI: Final = "spotify_track_uri"
_ALWAYS: Final = ("ts", "ms_played")
_COLUMNS: Final = (
    *_ALWAYS,
    _TITLE,
    "master_metadata_album_artist_name",
    "master_metadata_album_album_name",
    "episode_name",
    "reason_start",
    "reason_end",
    "shuffle",
    "skipped",
    "offline",
    "incognito_mode",
)
"""Columns of every year that are read; addresses, places and devices are not."""
_PRESSED_NEXT: Final = ("fwdbtn", "nextbtn")


def _stated(columns: tuple[str, ...]) -> pl.Expr:
    end = text(columns, "reason_end").str.to_lowercase()
    skipped = end.is_in(_PRESSED_NEXT) | (end.is_null() & flag(columns, "skipped"))
    strength = skip_strength(number(columns, "ms_played"))
    return pl.when(end == "trackdone").then(pl.lit(0, pl.UInt8)).when(skipped).then(strength)


def _left_out(columns: tuple[str, ...]) -> pl.Expr:
    no_track = text(columns, _TITLE, _URI).is_null()
    podcast = text(columns, "episode_name", "spotify_episode_uri").is_not_null()
    audiobook = text(columns, "audiobook_title", "audiobook_uri").is_not_null()
    return (
        pl.when(no_track & podcast)
        .then(pl.lit("podcast"))
        .when(no_track & audiobook)
        .then(pl.lit("audiobook"))
        .when(no_track)
        .then(pl.lit("no-track"))
    )


def _mapping(columns: tuple[str, ...]) -> Mapping:
    shuffle = {names.SHUFFLE: Column(flag(columns, "shuffle"), "shuffle")} if "shuffle" in columns else {}
    return Mapping(
        time=time(columns, "ts", ends=True),
        track=column(columns, _URI),
        title=column(columns, _TITLE),
        artist=column(columns, "master_metadata_album_artist_name"),
        album=column(columns, "master_metadata_album_album_name"),
        played=amount(columns, "ms_played", "ms"),
        stated=Column(_stated(columns), "reason_end" if "reason_end" in columns else "skipped"),
        left_out=Column(_left_out(columns), _TITLE),
        side=shuffle,
    )


SOURCE: Final = Source(
    name="spotify",
    where="Ask for the 'Extended streaming history' on the privacy page of your Spotify account; a link to a zip file "
    "comes by mail within 30 days.",
    licence="Personal data of the listener, who alone decides on its use.",
    notes=(
        "Times are those at which a play stopped, in UTC.",
        "Podcasts, audiobooks and records without a track are left out; so are files of videos.",
        "Files of 2020 have no track id. Their tracks go by the one id that the other files have for title and artist, "
        "and where there is none or several by title and artist.",
        "Files of the account export may stand beside; their plays count before the first and "
        "after the last of this one.",
        "Overlapping exports repeat plays; endsong files are in no order.",
        "Length of the track is not given.",
        "User names, addresses, places and devices are not read.",
    ),
    files=(
        "*Streaming_History_Audio*.json",
        "*endsong*.json",
        "*Streaming_History_Audio*.csv",
        "*endsong*.csv",
        "*Streaming_History_Audio*.parquet",
        "*endsong*.parquet",
    ),
    recognise=by_columns("Spotify's extended history", _COLUMNS, _ALWAYS, (_TITLE, _URI)),
    mapping=_mapping,
    repeats=True,
    aliases=names_as_aliases,
    companions=("spotify-account",),
    feedback="Stated where a track ended by itself or the listener pressed 'next'; else judged by the seconds played.",
)
