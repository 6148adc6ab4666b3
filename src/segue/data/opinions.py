"""What listeners say of tracks apart from plays (loved, hated, liked, disliked), joined to the plays.

- An opinion that was given while a play of the track went on tells how that play was heard: strength 0 for a like, 3
  for a dislike, whatever share was played. It is the play whose stamp is nearest, no further off than the track is
  long, since a stamp may be that of either end. Only where the log measures plays and gives lengths; elsewhere the next
  rule says the same.
- Else the last word of a listener on a track counts for all plays of it, earlier ones too, that are neither told nor
  measured. An opinion that was taken back says nothing.
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
"""1 liked, -1 disliked, 0 taken back; Int8."""
AT: Final = "at"
"""When it was said, seconds on the clock of the plays; Float64, null = before all others."""
SCHEMA: Final = {LISTENER: pl.String, TRACK: pl.String, SCORE: pl.Int8, AT: pl.Float64}
"""Of a table of opinions; the listener is "" where a log is of one."""
_KEYS: Final = (LISTENER, TRACK)
_LAST_WORD: Final = "__last_word__"
_IN_PLAY: Final = "__opinion_in_play__"
"""Strengths that `records_with_opinions` adds to records."""
_ROW: Final = "__row__"


@dataclass(frozen=True)
class Opinions:
    """All opinions of a log."""

    each: pl.DataFrame
    """SCHEMA, the oldest first."""
    last_words: pl.DataFrame
    """Listener, track and the strength that the last opinion stands for; null where it was taken back."""


def opinions_of(parts: Sequence[pl.DataFrame], track_of: pl.DataFrame) -> Opinions:
    """Return the opinions in `parts` (SCHEMA) about the ids that plays go by.

    `track_of`: see `identities.track_of_alias`; an opinion may name a track by any of its ids.
    """
    stated = pl.concat([pl.DataFrame(schema=SCHEMA), *parts]).drop_nulls([TRACK, SCORE])
    each = stated.with_columns(with_one_id(stated[TRACK], track_of)).sort(AT, nulls_last=False, maintain_order=True)
    return Opinions(each, each.unique(_KEYS, keep="last").select(*_KEYS, _strength().alias(_LAST_WORD)))


def records_with_opinions(frame: pl.DataFrame, mapping: Mapping, opinions: Opinions) -> pl.DataFrame:
    """Return records with the strengths that `mapping_with_opinions` reads."""
    plays = _keys(frame, mapping)
    columns = [plays.join(opinions.last_words, on=_KEYS, how="left", maintain_order="left")[_LAST_WORD]]
    if _measures(mapping):
        columns.append(_in_play(frame, mapping, plays, opinions.each))
    return frame.with_columns(columns)


def mapping_with_opinions(mapping: Mapping) -> Mapping:
    """Return `mapping` with the opinions that `records_with_opinions` adds to its records."""
    opinion = Column(pl.col(_LAST_WORD), "opinion")
    if not _measures(mapping):
        return replace(mapping, opinion=opinion)
    if mapping.told is None:
        return replace(mapping, opinion=opinion, told=Column(pl.col(_IN_PLAY), "opinion"))
    told = Column(pl.coalesce(mapping.told.value, pl.col(_IN_PLAY)), mapping.told.name)
    return replace(mapping, opinion=opinion, told=told)


def _measures(mapping: Mapping) -> bool:
    """Return whether plays are timed and measured and their tracks have lengths."""
    measured = mapping.share is not None or mapping.played is not None
    return measured and mapping.time is not None and mapping.length is not None


def _keys(frame: pl.DataFrame, mapping: Mapping) -> pl.DataFrame:
    """Return listener and track of each record, as opinions have them."""
    listener = pl.Series(LISTENER, [""], pl.String).new_from_index(0, frame.height)
    if mapping.listener is not None:
        listener = column_texts(frame, mapping.listener, LISTENER)
    return pl.DataFrame([listener, identity(frame, mapping)])


def _in_play(frame: pl.DataFrame, mapping: Mapping, plays: pl.DataFrame, opinions: pl.DataFrame) -> pl.Series:
    """Return the strength by the last opinion that was given during each play, null where none was."""
    assert mapping.time is not None, "plays are timed"
    assert mapping.length is not None, "tracks have lengths"
    length_s = frame.select(mapping.length.value.cast(pl.Float64, strict=False)).to_series()
    length_s = length_s / 1000 if mapping.length.unit == "ms" else length_s
    stamps = moments(frame.select(mapping.time.value).to_series(), mapping.time.unit, mapping.time.step).at
    timed = plays.with_columns((stamps / 10**6).alias("stamp"), length_s.alias("length")).with_row_index(_ROW)
    away = (pl.col(AT) - pl.col("stamp")).abs()
    verdicts = opinions.filter(pl.col(SCORE) != 0).with_row_index("opinion")
    pairs = verdicts.join(timed, on=_KEYS).filter(away <= pl.col("length") + mapping.time.step)
    nearest = pairs.sort("opinion", away, _ROW).unique("opinion", keep="first", maintain_order=True)
    last = nearest.unique(_ROW, keep="last").select(_ROW, _strength().alias(_IN_PLAY))
    return timed.join(last, on=_ROW, how="left", maintain_order="left")[_IN_PLAY]


def _strength() -> pl.Expr:
    return pl.when(pl.col(SCORE) > 0).then(0).when(pl.col(SCORE) < 0).then(3).cast(pl.UInt8)
