"""What the listener played before: frequency, recency, and what followed the last tracks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from segue.batch import Batch
from segue.batches.session_numbers import SESSION_NUMBER
from segue.config import Config, Count, Limit, NotNegative, Positive
from segue.neighbours.sparse_scores import FlatSessions, SparseScores, blocks, spread, starts, summed
from segue.ranking.baselines.baseline import Baseline, Grid, flat_sessions
from segue.ranking.baselines.training_rows import TrainingRows
from segue.store import NUM_SPECIALS

PLAYS_AT_ONCE: Final = 2**18
SESSIONS_AT_ONCE: Final = 256
ORDERS: Final = (0, 1, 2, 3)


@dataclass(frozen=True)
class OwnPlaysConfig(Config):
    """Options of the listener's own plays."""

    plays: Count = 1000
    """Most plays before the session that count, the last ones."""
    decay: NotNegative = 0.5
    """The play n plays ago counts n^-decay (Anderson & Schooler 1991); 0 = frequency alone."""
    order: Annotated[int, Limit("0, 1, 2 or 3", ORDERS.__contains__)] = 1
    """Most last tracks whose followers are looked up; 0 = frequency and recency alone."""
    prior: Positive = 1.0
    """Plays that the lower orders count for beside those of an order."""


class OwnPlays(Baseline):
    """Frequency and recency of the listener's plays, and what followed the last tracks there; then popularity.

    Plays are those of sessions that began before (`Split.readable`), and of the session itself. p_0(t) is the share of
    t among them, where the play n plays ago counts n^-decay. p_k(t) = (c_k(t) + prior p_{k-1}(t)) / (n_k + prior), c_k
    = how often t followed the last k tracks there, n_k = how often anything did. score(t) = p_order(t): the back-off of
    `Markov`, for one listener. For stores with listeners; of a batch that does not say which sessions it holds, nothing
    is known.
    """

    name = "own-plays"
    config_type = OwnPlaysConfig
    grid: ClassVar[Grid] = {
        "order": ORDERS,
        "decay": (0.0, 0.25, 0.5, 0.75, 1.0, 1.5),
        "prior": (0.1, 0.3, 1.0, 3.0),
        "plays": (100, 300, 1000, 3000, 10_000, 30_000),
    }

    @classmethod
    def fits(cls, data: TrainingRows) -> bool:
        """Return whether listeners are known."""
        return data.earlier is not None

    def _session_scores(self, batch: Batch) -> Any:
        number = batch.session_side.get(SESSION_NUMBER)
        if number is None:
            return None
        earlier, session, sessions = self._data.earlier, number.cpu().numpy(), flat_sessions(batch)
        assert earlier is not None
        counts = np.minimum(earlier.end[session] - earlier.begin[session], self.config.plays)
        parts = list[tuple[int, SparseScores]]()
        for low, high in blocks(counts + sessions.lengths, PLAYS_AT_ONCE, SESSIONS_AT_ONCE):
            some = slice(low, high)
            past = spread(earlier.end[session[some]] - counts[some], counts[some])
            parts.append((low, self._scores(past, counts[some], sessions.part(low, high))))
        return self._matrix(SparseScores.joined(parts), len(session))

    def _scores(self, past: NDArray[np.int64], counts: NDArray[np.int64], sessions: FlatSessions) -> SparseScores:
        """Return the scores after some sessions. `past`: indices of the plays before them, `counts` of each."""
        lengths = sessions.lengths
        offsets = starts(counts + lengths)
        tracks, goes_on = np.empty(offsets[-1], np.int64), np.empty(offsets[-1], np.bool_)
        before, now = spread(offsets[:-1], counts), spread(offsets[:-1] + counts, lengths)
        tracks[before], goes_on[before] = self._data.earlier_tracks[past], self._data.earlier_goes_on[past]
        tracks[now], goes_on[now] = sessions.tracks, sessions.step > 1
        who, play_index = np.repeat(np.arange(len(counts)), counts + lengths), np.arange(offsets[-1])
        is_track, remaining, parts = tracks >= NUM_SPECIALS, np.ones(len(counts)), []
        for match in reversed(self._followed(tracks, goes_on & is_track, offsets, lengths)):
            ends = play_index[match]
            times = np.bincount(who[ends], minlength=len(counts))
            share = times / (times + self.config.prior)
            parts.append((who[ends], tracks[ends + 1], (remaining * share / np.maximum(times, 1))[who[ends]]))
            remaining = remaining * (1 - share)
        weight = (offsets[1:][who] - play_index) ** -float(self.config.decay)
        total = np.bincount(who, weight, minlength=len(counts))
        parts.append((who, tracks, (remaining / np.maximum(total, 1e-300))[who] * weight))
        session, track, value = (np.concatenate(some) for some in zip(*parts, strict=True))
        real = track >= NUM_SPECIALS
        return summed(session[real], track[real], value[real])

    def _followed(
        self,
        tracks: NDArray[np.int64],
        goes_on: NDArray[np.bool_],
        offsets: NDArray[np.int64],
        lengths: NDArray[np.int64],
    ) -> list[NDArray[np.bool_]]:
        """Return at which plays the last 1, 2, ... tracks of each session end and are followed."""
        sizes, match, matches = np.diff(offsets), goes_on, list[NDArray[np.bool_]]()
        for order in range(1, self.config.order + 1):
            last = np.where(lengths >= order, tracks[np.maximum(offsets[1:] - order, 0)], -1)
            same = tracks == np.repeat(last, sizes)
            if order > 1:
                same &= goes_on
            # goes_on is false at the end of each session: no match reaches into the plays of another listener
            match = match & np.concatenate((np.zeros(order - 1, np.bool_), same[: len(same) - order + 1]))
            matches.append(match)
        return matches
