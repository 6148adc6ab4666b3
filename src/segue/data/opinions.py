"""Opinions of listeners on tracks apart from plays (loved, hated, liked, disliked), joined to the plays.

- An opinion given during a play of the track is the feedback of that play: strength 0 for a like, 3 for a dislike,
  whatever share was played. The play is the one with the nearest time, at most a track's length away, since the time
  may be that of either end. This rule applies if the log measures plays and gives lengths.
- Otherwise the last opinion of a listener on a track counts for all plays of it, also earlier ones, that are neither
  stated nor measured. A withdrawn opinion states nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import polars as pl

from segue.data.identities import TRACK, with_one_id
from segue.data.mapping import Column, Mapping
from segue.data.times import moments
from segue.data.typed import column_texts, identity

LISTENER: Final = "listener"
SCORE: Final = "score"
"""1 liked, -1 disliked, 0 withdrawn; Int8."""
AT: Final = "at"
"""Time of the opinion, seconds on the clock of the plays; Float64, null = before all others."""
SCHEMA: Final = {LISTENER: pl.String, TRACK: pl.String, SCORE: pl.Int8, AT: pl.Float64}
"""Of a table of opinions; the listener is "" in a log of one listener."""
_KEYS: Final = (LISTENER, TRACK)
_LAST_WORD: Final = "__last_word__"
_IN_PLAY: Final = "__opinion_in_play__"
"""Strengths that `records_with_opinions` adds to records."""
_ROW: Final = "__row__"
_ROUNDED_S: Final = 5.0
"""Times of some logs are rounded so far (Yambda)."""


@dataclass(frozen=True)
class Opinions:
    """All opinions of a log."""

    each: pl.DataFrame
    """SCHEMA, oldest first."""
    last_words: pl.DataFrame
    """Listener, track and the strength of the last opinion; null if it was withdrawn."""


def opinions_of(parts: Sequence[pl.DataFrame], track_of: pl.DataFrame) -> Opinions:
    """Return the opinions in `parts` (SCHEMA), tracks by the ids of the plays.

    `track_of` (see `identities.track_of_alias`) maps every other id of a track.
    """
    stated = pl.concat([pl.DataFrame(schema=SCHEMA), *parts]).drop_nulls([TRACK, SCORE])
    each = stated.with_columns(with_one_id(stated[TRACK], track_of)).sort(AT, nulls_last=False, maintain_order=True)
    return Opinions(each, each.unique(_KEYS, keep="last").select(*_KEYS, _strength().alias(_LAST_WORD)))


def records_with_opinions(frame: pl.DataFrame, mapping: Mapping, opinions: Opinions) -> pl.DataFrame:
    """Return `frame` with the columns that `mapping_with_opinions` reads."""
    plays = _keys(frame, mapping)
    columns = [plays.join(opinions.last_words, on=_KEYS, how="left", maintain_order="left")[_LAST_WORD]]
    if _measures(mapping):
        columns.append(_in_play(frame, mapping, plays, opinions.each))
    return frame.with_columns(columns)


def mapping_with_opinions(mapping: Mapping) -> Mapping:
    """Return `mapping` with the columns that `records_with_opinions` adds to its records."""
    opinion = Column(pl.col(_LAST_WORD), "opinion")
    if not _measures(mapping):
        return replace(mapping, opinion=opinion)
    if mapping.stated is None:
        return replace(mapping, opinion=opinion, stated=Column(pl.col(_IN_PLAY), "opinion"))
    stated = Column(pl.coalesce(mapping.stated.value, pl.col(_IN_PLAY)), mapping.stated.name)
    return replace(mapping, opinion=opinion, stated=stated)


def _measures(mapping: Mapping) -> bool:
    """Return whether plays are timed and measured and their tracks have lengths."""
    measured = mapping.share is not None or mapping.played is not None
    return measured and mapping.time is not None and mapping.length is not None


def _keys(frame: pl.DataFrame, mapping: Mapping) -> pl.DataFrame:
    """Return listener and track of each record, named as in SCHEMA."""
    listener = pl.Series(LISTENER, [""], pl.String).new_from_index(0, frame.height)
    if mapping.listener is not None:
        listener = column_texts(frame, mapping.listener, LISTENER)
    return pl.DataFrame([listener, identity(frame, mapping)])


def _in_play(frame: pl.DataFrame, mapping: Mapping, plays: pl.DataFrame, opinions: pl.DataFrame) -> pl.Series:
    """Return the strength by the last opinion given during each play; null without one."""
    assert mapping.time is not None, "plays are timed"
    assert mapping.length is not None, "tracks have lengths"
    length_s = frame.select(mapping.length.value.cast(pl.Float64, strict=False)).to_series()
    length_s = length_s / 1000 if mapping.length.unit == "ms" else length_s
    stamps = moments(frame.select(mapping.time.value).to_series(), mapping.time.unit).at
    timed = plays.with_columns((stamps / 10**6).alias("stamp"), length_s.alias("length")).with_row_index(_ROW)
    away = (pl.col(AT) - pl.col("stamp")).abs()
    verdicts = opinions.filter(pl.col(SCORE) != 0).with_row_index("opinion")
    pairs = verdicts.join(timed, on=_KEYS).filter(away <= pl.col("length") + _ROUNDED_S)
    nearest = pairs.sort("opinion", away, _ROW).unique("opinion", keep="first", maintain_order=True)
    last = nearest.unique(_ROW, keep="last").select(_ROW, _strength().alias(_IN_PLAY))
    return timed.join(last, on=_ROW, how="left", maintain_order="left")[_IN_PLAY]


def _strength() -> pl.Expr:
    return pl.when(pl.col(SCORE) > 0).then(0).when(pl.col(SCORE) < 0).then(3).cast(pl.UInt8)
