"""What session neighbours say of the next track: as sets (V-SKNN) and in their order (STAN); NumPy alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from segue.config import Config, Count, Positive
from segue.neighbours.session_index import LONGEST, SessionIndex
from segue.neighbours.sparse_scores import QUANTUM, FlatSessions, SparseScores, blocks, largest, spread, starts, summed

Decay = Literal["linear", "harmonic", "quadratic", "log", "same"]
ROWS_AT_ONCE: Final = 2**16
"""Neighbours whose tracks are summed at a time."""
SESSIONS_AT_ONCE: Final = 256
MOST: Final = 100
"""Most tracks of a session that get a share."""


@dataclass(frozen=True)
class VsknnConfig(Config):
    """Options of V-SKNN."""

    neighbours: Count = 100
    """Most neighbours of a session."""
    recent: Count = 500
    """Most training sessions of a track that are candidates, the most recent ones of those that the index keeps."""
    decay: Decay = "linear"
    """Weight of position p of n in the similarity: linear p / n, quadratic (p / n)^2, harmonic 1 / step, log
    1 / log10(step + 0.7), same 1; step = n - p + 1."""
    heard: bool = True
    """Whether tracks of the session are scored, too."""


@dataclass(frozen=True)
class OrderedConfig(Config):
    """Options of ordered neighbours."""

    neighbours: Count = 100
    """Most neighbours of a session."""
    recent: Count = 500
    """Most training sessions of a track that are candidates, the most recent ones of those that the index keeps."""
    fade: Positive = 2.0
    """Positions of the session over which a track's weight in the similarity falls by e."""
    reach: Positive = 2.0
    """Positions after the most recent common track over which a neighbour's scores fall by e."""
    by_size: bool = True
    """Whether the similarity is divided by the square root of the number of the neighbour's tracks."""


MIXED: Final = VsknnConfig(heard=False)
"""The V-SKNN that a model mixes in."""


def vsknn_scores(
    index: SessionIndex, sessions: FlatSessions, config: VsknnConfig, leave_out: NDArray[np.int64] | None = None
) -> SparseScores:
    """Return the scores of V-SKNN (Ludewig & Jannach 2018, section 3.2.4; the decay as in their public code).

    score(t) = sum over the neighbours s that hold t of similarity(s) / step of the most recent common track, counted
    from the end of the session. Each neighbour counts a track once. `leave_out`: see `SessionIndex.nearest`.

    We differ: `recent` limits the candidates of each track, and not of all tracks together.
    """
    sessions = sessions.recent(LONGEST)
    weights = decayed(sessions, config.decay)
    near = index.nearest(sessions, weights, config.neighbours, leave_out, recent=config.recent)
    begin, end = index.offsets[near.neighbour], index.offsets[near.neighbour + 1]
    value = near.similarity / near.step
    scores = _spread(index, near.session, (begin, end), value, None)
    return scores if config.heard else scores.without(sessions)


@dataclass(frozen=True)
class Shares:
    """Shares of the next track among few tracks after B sessions, by session and then the largest first."""

    session: NDArray[np.int64]
    """[n]"""
    track: NDArray[np.int64]
    """[n]"""
    log_share: NDArray[np.float64]
    """Log of the track's part of all scores of its session, [n]."""


def neighbour_shares(index: SessionIndex, sessions: FlatSessions) -> Shares:
    """Return the scores of V-SKNN (MIXED) divided by their sum over each session, of the MOST best tracks of each."""
    scores = vsknn_scores(index, sessions, MIXED)
    quanta = np.rint(scores.value * QUANTUM).astype(np.int64)
    total = np.bincount(scores.session, weights=quanta, minlength=len(sessions))  # exact: whole numbers
    best = largest(scores.session, quanta, len(sessions), MOST)
    session = scores.session[best]
    return Shares(session, scores.track[best], np.log(quanta[best] / total[session]))


def ordered_scores(
    index: SessionIndex, sessions: FlatSessions, config: OrderedConfig, leave_out: NDArray[np.int64] | None = None
) -> SparseScores:
    """Return the scores of neighbours that follow the session: STAN (Garg et al. 2019), but only what comes after.

    similarity(s) = sum over common tracks of exp(-(step - 1) / fade) [/ sqrt(distinct tracks of s)];
    score(t) = sum over the neighbours s, and over the positions of t in s after that of the most recent common track,
    of similarity(s) exp(-(distance - 1) / reach). `leave_out`: see `SessionIndex.nearest`.

    We differ from STAN: tracks before the common one get nothing (STAN takes the absolute distance), the common track
    is the one heard last in the session (STAN's code: the one that stands last in the neighbour), at its last position
    there, and a neighbour's age does not count.
    """
    sessions = sessions.recent(LONGEST)
    weights = np.exp(-(sessions.step - 1) / config.fade)
    near = index.nearest(sessions, weights, config.neighbours, leave_out, recent=config.recent, by_size=config.by_size)
    begin, end = index.offsets[near.neighbour] + near.position + 1, index.offsets[near.neighbour + 1]
    return _spread(index, near.session, (begin, end), near.similarity, config.reach)


def decayed(sessions: FlatSessions, decay: Decay) -> NDArray[np.float64]:
    """Return the weight of each position, see `VsknnConfig.decay`, [N]."""
    step = sessions.step
    share = 1 - (step - 1) / np.repeat(sessions.lengths, sessions.lengths)
    if decay == "harmonic":
        return np.asarray(1 / step)
    if decay == "log":
        return np.asarray(1 / np.log10(step + 0.7))
    return {"linear": share, "quadratic": share**2, "same": np.ones(len(step))}[decay]


def _spread(
    index: SessionIndex,
    session: NDArray[np.int64],
    bounds: tuple[NDArray[np.int64], NDArray[np.int64]],
    value: NDArray[np.float64],
    reach: float | None,
) -> SparseScores:
    """Return the sums of `value` over the tracks between `bounds`, decayed by distance.

    `reach` None: no decay, and each neighbour counts a track once.
    """
    counts = bounds[1] - bounds[0]
    entry = np.searchsorted(session, np.arange(int(session.max(initial=-1)) + 2))
    of_session = np.diff(np.concatenate(([0], np.cumsum(counts)))[entry])
    parts = list[tuple[int, SparseScores]]()
    for low, high in blocks(of_session, ROWS_AT_ONCE, SESSIONS_AT_ONCE):
        some = slice(entry[low], entry[high])
        rows = spread(bounds[0][some], counts[some])
        who, values, repeats = session[some] - low, value[some], counts[some]
        if reach is not None:
            decay = np.exp(-(rows - np.repeat(bounds[0][some], repeats)) / reach)
            scores = summed(np.repeat(who, repeats), index.tracks[rows], np.repeat(values, repeats) * decay)
        else:
            if not index.distinct_tracks:
                once = index.distinct[rows]
                rows, repeats = rows[once], np.diff(starts(once.astype(np.int64))[starts(repeats)])
            scores = summed(who, index.tracks[rows], values, repeats)
        parts.append((low, scores))
    return SparseScores.joined(parts)
