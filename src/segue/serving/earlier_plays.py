"""What a listener played before a session, as a model reads it, and the mass that this adds: see `RepeatsHead.added`.

Everything that does not change during a session is computed once for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from segue import skips
from segue.axes import Bool, Float, Int
from segue.exported.folder import ExportFolder, Repeats
from segue.serving.kept_states import KeptStates
from segue.serving.sessions.store import MOST_PLAYS, PastSessions
from segue.store.vocabulary import NUM_SPECIALS

_ORDERS: Final = 3
"""Most last tracks that are looked up as a sequence."""


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
    minute: Int[np.ndarray, " H"]
    """When each was played, minutes since 1970."""
    column: Int[np.ndarray, " H"]
    """How many plays of its session come before each."""

    def last(self, most: int) -> PlaysRead:
        """Return the last `most` of them."""
        begin = max(len(self.rows) - most, 0)
        return PlaysRead(self.rows[begin:], self.feedback[begin:], self.minute[begin:], self.column[begin:])


@dataclass(frozen=True)
class EarlierPlays:
    """What these plays add to a ranking, as far as it is the same for the whole session."""

    rows: Int[np.ndarray, " H"]
    tracks: Int[np.ndarray, " T"]
    """Table rows that were played, each once, ascending."""
    times: Int[np.ndarray, "T two"]
    """How often each of `tracks` was listened to, and skipped."""
    log_weight: Float[np.ndarray, " H"]
    """w of each play for all kinds but the first."""
    own: PlayedMass
    """The mass of the first kind, own plays, without the gate."""
    history: PlaysRead | None = None
    """What an encoder of histories reads of them; None for other encoders."""
    kept: KeptStates = field(default_factory=KeptStates, compare=False)
    """What that encoder keeps of the session."""


NO_PLAYS = EarlierPlays(np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros((0, 2), np.int64), np.zeros(0), NO_MASS)


def read_plays(export: ExportFolder, past: PastSessions) -> PlaysRead:
    """Return the plays of `past` as the model of an export reads them."""
    facts = export.manifest.facts
    most = max(facts.earlier_plays, facts.history) or MOST_PLAYS
    events = [event for events in past for event in events][-most:]
    column = np.concatenate([np.arange(len(events)) for events in past] or [np.zeros(0, np.int64)])[-most:]
    rows = np.array(export.vocabulary.rows(event.track for event in events), np.int32)
    feedback = np.minimum(np.array([event.strength for event in events], np.int64), skips.FEEDBACK_UNKNOWN)
    return PlaysRead(rows, feedback, np.array([event.at // 60 for event in events], np.int64), column)


def earlier_plays(export: ExportFolder, read: PlaysRead, minute: int) -> EarlierPlays:
    """Return what plays add in a session that began in a minute since 1970."""
    history = read if export.manifest.facts.history else None
    if export.manifest.facts.earlier_plays:
        read = read.last(export.manifest.facts.earlier_plays)
    repeats, rows = export.repeats, read.rows
    known = rows >= NUM_SPECIALS
    tracks, index = np.unique(rows[known], return_inverse=True)
    times = np.zeros((len(tracks), 2), np.int64)
    if repeats is None or not len(rows):
        return EarlierPlays(rows, tracks, times, np.zeros(len(rows)), NO_MASS, history)
    np.add.at(times, index, listened_or_skipped(export, read.feedback[known]))
    age = np.searchsorted(repeats.ages, np.arange(len(rows), 0, -1), side="right")
    time = np.searchsorted(repeats.minutes, np.maximum(minute - read.minute, 0), side="right")
    weights = (repeats.age[age] + repeats.time[time] + repeats.heard[read.feedback]).astype(np.float64)
    return EarlierPlays(rows, tracks, times, weights[:, 1], _summed(rows, weights[:, 0]), history)


def listened_or_skipped(export: ExportFolder, feedback: Int[np.ndarray, " n"]) -> Int[np.ndarray, "n two"]:
    """Return 1 in the first column where a track was listened to, in the second where it was skipped, else 0."""
    at_least = int(export.manifest.facts.data.get("skip_at_least", skips.SKIP_AT_LEAST))
    return np.stack([skips.listened(feedback, at_least), skips.skipped(feedback, at_least)], 1).astype(np.int64)


def repeated(
    repeats: Repeats, state: Float[np.ndarray, " D"], session: tuple[Sequence[int], Sequence[int]], plays: EarlierPlays
) -> tuple[PlayedMass, PlayedMass]:
    """Return the mass of own plays, and that of the other kinds, after one session.

    `session`: table rows and feedback codes of its tracks.
    """
    now = np.array(session[0], np.int32)
    rows, num = np.concatenate([plays.rows, now]), len(plays.rows)
    gate = repeats.gate.astype(np.float64)
    level = gate[:, :-2] @ state.astype(np.float64) + gate[:, -1]
    own = PlayedMass(plays.own.rows, plays.own.log_mass + (level[0] + gate[0, -2] * np.log1p(num)))
    if len(now) == 0:
        return own, NO_MASS
    in_session = (repeats.now + repeats.heard[list(session[1]), 1]).astype(np.float64)
    weights, total = np.concatenate([plays.log_weight, in_session]), np.full(len(rows), -np.inf)
    for kind, (number, counts) in enumerate(_kinds(repeats, rows, num), 1):
        index = np.flatnonzero(counts)
        log_mass = np.log(counts[index]) + weights[index] + (level[kind] + gate[kind, -2] * np.log1p(number))
        total[index] = np.logaddexp(total[index], log_mass)
    index = np.flatnonzero(total > -np.inf)
    return own, _summed(rows[index], total[index])


def _kinds(repeats: Repeats, rows: Int[np.ndarray, " C"], num: int) -> list[tuple[int, Float[np.ndarray, " C"]]]:
    """Return how many plays count for each kind but the first, and m of each of `rows`.

    The first `num` are plays before the session; the others, at least one, are those of the session.
    """
    lasts = [_earlier_of(rows, len(rows) - back, num) for back in range(1, _ORDERS + 1)]
    near, before = np.zeros(len(rows)), np.arange(len(rows)) < num
    scale = np.exp(repeats.near.astype(np.float64))
    for each, distance in zip(scale, repeats.distances.tolist(), strict=True):
        part = each * _later(lasts[0], distance)
        near += part * before if distance > 1 else part
    pairs = _later(lasts[0], 1) & _later(lasts[1], 2)
    triples = pairs & _later(lasts[2], 3)
    tracks, reach = rows[num:], int(repeats.around[0])
    met = np.isin(rows[:num], tracks[tracks >= NUM_SPECIALS])
    sums, index = np.concatenate([[0], np.cumsum(met)]), np.arange(num)
    number = sums[np.minimum(index + reach + 1, num)] - sums[np.maximum(index - reach, 0)]
    around = np.zeros(len(rows))
    around[:num] = number * np.where(met, np.exp(repeats.again.astype(np.float64)), 1.0)
    return [
        (int(lasts[0].sum()), near),
        (int(pairs.sum()), pairs.astype(np.float64)),
        (int(triples.sum()), triples.astype(np.float64)),
        (int(met.sum()), around),
    ]


def _earlier_of(rows: Int[np.ndarray, " C"], at: int, num: int) -> Bool[np.ndarray, " C"]:
    """Return which plays before the one at index `at` are of its track; none where that is before the session."""
    same = np.zeros(len(rows), np.bool_)
    if at >= num and rows[at] >= NUM_SPECIALS:
        same[:at] = rows[:at] == rows[at]
    return same


def _summed(rows: Int[np.ndarray, " n"], log_mass: Float[np.ndarray, " n"]) -> PlayedMass:
    """Return the log of the summed mass of each track, without UNKNOWN."""
    order = np.argsort(rows, kind="stable")
    order = order[rows[order] >= NUM_SPECIALS]
    distinct, first = np.unique(rows[order], return_index=True)
    return PlayedMass(distinct, np.logaddexp.reduceat(log_mass[order], first) if len(first) else np.zeros(0))


def _later(values: Bool[np.ndarray, " C"], places: int) -> Bool[np.ndarray, " C"]:
    """Return what stands `places` before each (behind it, if negative), False where nothing does."""
    moved, size = np.zeros_like(values), max(len(values) - abs(places), 0)
    if places >= 0:
        moved[len(values) - size :] = values[:size]
    else:
        moved[:size] = values[len(values) - size :]
    return moved
