"""What a listener played before a session, as a model reads it, and the mass that this adds: see `RepeatsHead.added`.

Everything that does not change during a session is computed once for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segue.axes import Bool, Float, Int
from segue.exported.folder import ExportFolder, Repeats
from segue.serving.sessions.store import PastSessions
from segue.skips import FEEDBACK_UNKNOWN
from segue.store.vocabulary import NUM_SPECIALS

_NOBODY = -1
"""Stands for the track before the first one of a session; no track equals it."""


@dataclass(frozen=True)
class PlayedMass:
    """Mass of some tracks, each once."""

    rows: Int[np.ndarray, " n"]
    """Table rows, ascending."""
    log_mass: Float[np.ndarray, " n"]
    """float64."""


NO_MASS = PlayedMass(np.zeros(0, np.int32), np.zeros(0, np.float64))


@dataclass(frozen=True)
class PlaysRead:
    """The last plays of a listener before a session, H of them, the oldest first, as a model reads them."""

    rows: Int[np.ndarray, " H"]
    """Table rows, UNKNOWN for tracks that the model does not have."""
    feedback: Int[np.ndarray, " H"]
    nth: Int[np.ndarray, " H"]
    """The how manieth of its session each is, from 0."""
    minute: Int[np.ndarray, " H"]
    """When each was played, minutes since 1970."""


@dataclass(frozen=True)
class EarlierPlays:
    """What these plays add to a ranking, as far as it is the same for the whole session."""

    rows: Int[np.ndarray, " H"]
    before: tuple[Int[np.ndarray, " H"], ...]
    """Row of the track 1, 2, ... plays before each in its own session, _NOBODY where there was none."""
    following: Float[np.ndarray, " H"]
    """v of each, its weight where it follows the last tracks."""
    played: PlayedMass
    """The log of the sum of exp(u) over the plays of each track, without the gate."""


def read_plays(export: ExportFolder, past: PastSessions) -> PlaysRead:
    """Return the plays of `past` as the model of an export reads them."""
    most = export.manifest.facts.earlier_plays
    nth = np.concatenate([np.arange(len(events)) for events in past]) if past else np.zeros(0, np.int64)
    events = [event for events in past for event in events][-most:]
    rows = np.array(export.vocabulary.rows(event.track for event in events), np.int32)
    feedback = np.minimum(np.array([event.strength for event in events], np.int64), FEEDBACK_UNKNOWN)
    return PlaysRead(rows, feedback, nth[-most:], np.array([event.at // 60 for event in events], np.int64))


def earlier_plays(export: ExportFolder, read: PlaysRead, minute: int) -> EarlierPlays:
    """Return what plays add in a session that began in a minute since 1970."""
    repeats, rows = export.repeats, read.rows
    if repeats is None or not len(rows):
        return EarlierPlays(rows, (), np.zeros(len(rows)), NO_MASS)
    before = tuple(_moved(rows, order, read.nth) for order in range(1, len(repeats.gate)))
    weights = _weights(repeats, read, minute)
    order = np.argsort(rows, kind="stable")
    known = order[rows[order] >= NUM_SPECIALS]
    return EarlierPlays(rows, before, weights[:, 1], _summed(rows[known], weights[known, 0]))


def _weights(repeats: Repeats, read: PlaysRead, minute: int) -> Float[np.ndarray, "H two"]:
    """Return u and v of each play."""
    age = np.searchsorted(repeats.ages, np.arange(len(read.rows), 0, -1), side="right")
    time = np.searchsorted(repeats.minutes, np.maximum(minute - read.minute, 0), side="right")
    total: NDArray[np.float32] = repeats.age[age] + repeats.time[time] + repeats.heard[read.feedback]
    return total.astype(np.float64)


def repeated(
    repeats: Repeats,
    state: Float[np.ndarray, " D"],
    session: tuple[Sequence[int], Sequence[int]],
    plays: EarlierPlays | None,
) -> tuple[PlayedMass, PlayedMass]:
    """Return the mass of all earlier plays, and of those that follow what the last tracks are, after one session.

    `session`: table rows and feedback codes of its tracks; `plays`: None where no listener is known.
    """
    rows, feedback = np.array(session[0], np.int32), np.array(session[1], np.int64)
    gate = repeats.gate.astype(np.float64)
    opened = gate[:, :-2] @ state.astype(np.float64) + gate[:, -1]
    played, num = NO_MASS, 0 if plays is None else len(plays.rows)
    if plays is not None and num:
        played = PlayedMass(plays.played.rows, plays.played.log_mass + (opened[0] + gate[0, -2] * np.log1p(num)))
    in_session = (np.float32(repeats.now) + repeats.heard[feedback, 1]).astype(np.float64)
    places, parts = np.arange(len(rows)), list[tuple[NDArray[np.int32], NDArray[np.float64]]]()
    match_now: Bool[np.ndarray, " L"] = np.ones(len(rows), np.bool_)
    match: Bool[np.ndarray, " H"] = np.ones(num, np.bool_)
    for order in range(1, len(gate)):
        last = int(rows[-order]) if order <= len(rows) else 0
        if last < NUM_SPECIALS:
            break
        match_now = match_now & (_moved(rows, order, places) == last)
        match = match & (plays.before[order - 1] == last) if plays is not None and num else match
        number = int(match_now.sum()) + int(match.sum())
        if number == 0:
            break
        level = opened[order] + gate[order, -2] * np.log1p(number)
        parts.append((rows[match_now], level + in_session[match_now]))
        if plays is not None:
            parts.append((plays.rows[match], level + plays.following[match]))
    if not parts:
        return played, NO_MASS
    followers, mass = (np.concatenate(part) for part in zip(*parts, strict=True))
    sorting = np.argsort(followers, kind="stable")
    sorting = sorting[followers[sorting] >= NUM_SPECIALS]
    return played, _summed(followers[sorting], mass[sorting])


def _summed(rows: Int[np.ndarray, " n"], log_mass: Float[np.ndarray, " n"]) -> PlayedMass:
    """Return the log of the summed mass of each of `rows`, which ascend."""
    distinct, first = np.unique(rows, return_index=True)
    return PlayedMass(distinct, np.logaddexp.reduceat(log_mass, first) if len(first) else log_mass)


def _moved(rows: Int[np.ndarray, " n"], places: int, nth: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """Return the row `places` before each in its session, where `nth` says the how manieth it is there, from 0."""
    moved = np.full_like(rows, _NOBODY)
    moved[places:] = rows[: max(len(rows) - places, 0)]
    return np.where(nth >= places, moved, _NOBODY)
