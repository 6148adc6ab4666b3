"""Plays with their sessions as an event table."""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from segue import columns as names
from segue.data.codes import coded_texts
from segue.data.event_table import EventTable, Side, segue_side
from segue.data.gathered import Gathering
from segue.data.mapping import Mapping
from segue.data.session_keys import text_keys
from segue.data.sessions import CutPlays
from segue.data.strengths import ORIGINS, STATED, UNKNOWN

_US_PER_DAY: Final = 86_400 * 10**6


def event_table(files: tuple[str, ...], gathering: Gathering, cut: CutPlays, mapping: Mapping) -> EventTable:
    """Return the event table of a part of a log of `files`."""
    plays, listeners = cut.plays, mapping.listener is not None
    ids = _session_ids(gathering, cut, listeners=listeners)
    position = np.arange(len(plays), dtype=np.int64)
    if mapping.unique_positions and plays.position is not None:
        position = plays.position.astype(np.int64)
    inferred = (cut.origin != STATED) & (cut.origin != UNKNOWN)
    side = {names.INFERRED: segue_side(names.INFERRED, inferred)}
    if cut.start_us is not None:
        side[names.AT] = segue_side(names.AT, cut.start_us // 10**6)
        side[names.TIED] = segue_side(names.TIED, tied_events(cut.session, cut.start_us))
        side[names.DATE] = segue_side(names.DATE, cut.start_us // _US_PER_DAY)
    if listeners:
        side[names.USER] = segue_side(names.USER, plays.listener)
    side["known"] = Side(cut.origin, "uint8", "event", ORIGINS)
    side.update({name: column.side(plays.side) for name, column in gathering.side.items()})
    return EventTable(
        names=files,
        session_key=text_keys(ids),
        session=cut.session,
        position=position,
        track_ids=gathering.ids["track"].column,
        track=plays.track,
        strength=cut.strength,
        line=plays.line,
        side=side,
        session_ids=lambda rows: ids.gather(cut.session[rows]).to_list(),
    )


def _session_ids(gathering: Gathering, cut: CutPlays, *, listeners: bool) -> pl.Series:
    """Return the id of each session: `listener:n` of histories, else the stated id, after its listener if known."""
    first = np.flatnonzero(np.diff(cut.session, prepend=-1))
    parts = []
    if listeners:
        parts.append(gathering.listeners.gather(cut.plays.listener[first]))
    if cut.plays.session is not None:
        parts.append(coded_texts(cut.plays.session[first], gathering.ids["session"].column))
    else:
        parts.append(pl.Series(cut.number).cast(pl.String))
    frame = pl.DataFrame([part.alias(str(number)) for number, part in enumerate(parts)])
    return frame.select(pl.concat_str(pl.all(), separator=":")).to_series()


def tied_events(session: NDArray[np.int32], at: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which events have the time of a neighbour in their session, bool [N] (rows in session order)."""
    same = (session[1:] == session[:-1]) & (at[1:] == at[:-1])
    tied = np.zeros(len(session), np.bool_)
    tied[1:] |= same
    tied[:-1] |= same
    return tied
