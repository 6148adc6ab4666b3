"""The rows that baselines are fitted to: those of training parts, and who listened when."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from segue import columns, skips
from segue.batches.counts import session_times
from segue.batches.listener_past import ListenerRanges, listener_ranges
from segue.batches.listening_order import session_begins
from segue.batches.split import Split, visible_strength
from segue.neighbours.session_index import SessionIndex
from segue.neighbours.sparse_scores import FlatSessions, starts
from segue.store import Store

TABLES: Final = 3
"""Tables of rules kept while options are tuned; one takes up to half a gigabyte at a million tracks."""


@dataclass(frozen=True, eq=False)
class TrainingRows:
    """The training rows of a split, flat."""

    tracks: NDArray[np.int64]
    session: NDArray[np.int64]
    """Index of the training session of each row, ascending."""
    strength: NDArray[np.uint8]
    """Unknown if the split hides it."""
    skip_at_least: int
    counts: NDArray[np.int64]
    """Training plays of each table row, [V + 3]."""
    candidates: NDArray[np.int32]
    began: NDArray[np.int64] | None = None
    """When each training session began, seconds; None = the store has neither times nor dates."""
    number: NDArray[np.int64] | None = None
    """Session of the store of each training session, ascending; None = not known."""
    earlier: ListenerRanges | None = None
    """The training rows of the same listener before each session of the store; None = no listeners."""
    earlier_tracks: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    """Tracks of `earlier.rows`."""
    earlier_goes_on: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    """Whether the next of `earlier.rows` is of the same session."""
    earlier_listened: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    """Whether the plays of `earlier.rows` were listened to."""
    earlier_at: NDArray[np.int64] | None = None
    """When they were, UTC seconds; None = the store has no times."""
    listener: NDArray[np.int64] | None = None
    """Index of the listener of each session of the store; None = no listeners."""
    begins: NDArray[np.int64] | None = None
    """When each session of the store began, UTC seconds; None = the store has neither times nor dates."""

    @classmethod
    def of(cls, store: Store, split: Split) -> TrainingRows:
        """Return the training rows of `split`."""
        rows = split.training_rows
        session = np.repeat(np.arange(len(split.train_begin)), split.train_end - split.train_begin)
        all_tracks = np.asarray(store.tracks)
        number = np.searchsorted(np.asarray(store.offsets), split.train_begin, side="right") - 1
        listeners = store.side_column(columns.USER) is not None
        earlier = listener_ranges(store, split) if listeners else None
        earlier_rows = np.zeros(0, np.int64) if earlier is None else earlier.rows
        timed = store.side_column(columns.AT) is not None
        visible = visible_strength(store, split)
        of_session = np.searchsorted(np.asarray(store.offsets), earlier_rows, side="right")
        return cls(
            tracks=all_tracks[rows].astype(np.int64),
            session=session,
            strength=visible[rows],
            skip_at_least=split.skip_at_least,
            counts=split.training_counts,
            candidates=split.candidates,
            began=session_times(store, split),
            number=number,
            earlier=earlier,
            earlier_tracks=all_tracks[earlier_rows].astype(np.int64),
            earlier_goes_on=np.append(of_session[1:] == of_session[:-1], False),
            earlier_listened=np.asarray(skips.listened(visible[earlier_rows], split.skip_at_least)),
            earlier_at=np.asarray(store.side(columns.AT))[earlier_rows].astype(np.int64) if timed else None,
            listener=np.asarray(store.side(columns.USER)).astype(np.int64) if listeners else None,
            begins=session_begins(store),
        )

    @cached_property
    def sessions(self) -> FlatSessions:
        """The training sessions; each has its index as number."""
        return FlatSessions(self.tracks, starts(np.bincount(self.session)))

    @cached_property
    def session_index(self) -> SessionIndex:
        """The index of the training sessions by their tracks."""
        return SessionIndex.of(self.sessions, len(self.counts), self.began)

    def training_number(self, store_session: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the number of the training session of each session of the store; -1 without a training part."""
        if self.number is None or len(self.number) == 0:
            return np.full(len(store_session), -1)
        index = np.minimum(np.searchsorted(self.number, store_session), len(self.number) - 1)
        return np.where(self.number[index] == store_session, index, -1)

    def table(self, key: tuple[Any, ...], make: Callable[[], Any]) -> Any:
        """Return `make()`, or what it returned for the same `key` lately."""
        if key not in self._tables:
            while len(self._tables) >= TABLES:
                self._tables.pop(next(iter(self._tables)))
            self._tables[key] = make()
        return self._tables[key]

    def forget_tables(self) -> None:
        """Drop the tables that are kept while options are tuned."""
        self._tables.clear()

    @cached_property
    def _tables(self) -> dict[tuple[Any, ...], Any]:
        return {}

    def occurrences(self) -> Any:
        """Return which tracks each training session has, 1 or absent, sparse CSR [sessions, R]."""
        shape = (int(self.session[-1]) + 1, len(self.counts))
        matrix = sparse.csr_matrix((np.ones(len(self.tracks)), (self.session, self.tracks)), shape=shape)
        matrix.data[:] = 1.0
        return matrix

    def listens_by_listener(self) -> Any:
        """Return how often each listener listened to each track, float32 sparse CSR [listeners, R].

        For training rows whose listeners are known.
        """
        assert self.listener is not None, "no listeners"
        assert self.number is not None, "no sessions of the store"
        heard = np.asarray(skips.listened(self.strength, self.skip_at_least))
        who = self.listener[self.number[self.session[heard]]]
        shape = (int(self.listener.max()) + 1, len(self.counts))
        plays = np.ones(int(heard.sum()), np.float32)
        matrix = sparse.csr_matrix((plays, (who, self.tracks[heard])), shape=shape)
        matrix.sum_duplicates()
        return matrix

    def listens_and_plays(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return how often each track was listened to, and its plays of known feedback, [R] each."""
        listened = skips.listened(self.strength, self.skip_at_least)
        judged = listened | skips.skipped(self.strength, self.skip_at_least)
        listens, plays = (np.bincount(self.tracks[part], minlength=len(self.counts)) for part in (listened, judged))
        return listens, plays

    def listen_rates(self) -> NDArray[np.float64]:
        """Return the smoothed listen rate of each track, (listens + 2.5) / (plays + 5), [R]."""
        listens, plays = self.listens_and_plays()
        prior_listens, prior_plays = skips.RATE_PRIOR
        rates: NDArray[np.float64] = (listens + prior_listens) / (plays + prior_plays)
        return rates
