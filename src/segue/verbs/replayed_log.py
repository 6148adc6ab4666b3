"""What `replay` sends of a store: sessions as events, and those of a listener in the order of listening."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from segue import columns
from segue.store import Store

if TYPE_CHECKING:
    from segue.batches.held_out import Cases
    from segue.batches.split import Split

_MOST_EVENTS: Final = 1000
"""Most events of a session that are sent, the last ones: no model reads more."""


@dataclass(frozen=True)
class Case:
    """A held-out row and the session before it."""

    session: int
    begin: int
    target: int

    @classmethod
    def of(cls, cases: Cases, index: int) -> Case:
        """Return one of `cases`."""
        return cls(int(cases.session[index]), int(cases.begin[index]), int(cases.target[index]))


class StoredLog:
    """The sessions of a store, and those that come before each for the same listener."""

    def __init__(self, store: Store, split: Split, most_plays: int) -> None:
        """`most_plays`: earlier plays that the model reads; 0 = none, so that no listener has to be told."""
        from segue.batches.listener_past import listener_ranges

        self._store, self._most = store, most_plays
        self._tracks, self._strength = np.asarray(store.tracks), np.asarray(store.strength)
        self._offsets = np.asarray(store.offsets)
        has_listeners = most_plays > 0 and store.side_column(columns.USER) is not None
        self._past = listener_ranges(store, split) if has_listeners else None
        self._user = np.asarray(store.side(columns.USER)) if has_listeners else None
        self._at = _times(store)

    def by_listener(self, sessions: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """Return the indices of `sessions` of each listener, in listening order; each alone if there are none."""
        index = np.arange(len(sessions))
        if self._past is None or self._user is None:
            return [index[i : i + 1] for i in range(len(index))]
        order = np.lexsort((sessions, self._past.end[sessions], self._user[sessions]))
        user = self._user[sessions[order]]
        return np.split(index[order], np.flatnonzero(np.diff(user)) + 1)

    def needed(self, sessions: list[int]) -> NDArray[np.int64]:
        """Return the sessions of a listener from the first that `sessions` read to the last of these.

        `sessions`: some of one listener, in the order of listening.
        """
        if self._past is None:
            return np.zeros(0, np.int64)
        begin, end = self._past.begin[sessions[0]], self._past.end[sessions[0]]
        rows = self._past.rows[max(begin, end - self._most) : self._past.end[sessions[-1]]]
        numbers = np.searchsorted(self._offsets, rows, side="right") - 1
        return numbers[np.flatnonzero(np.diff(numbers, prepend=-1))].astype(np.int64)

    def readable(self, session: int) -> list[dict[str, Any]]:
        """Return the events of a session that later ones may read."""
        assert self._past is not None, "only listeners have a past"
        first, end = self._offsets[session], self._offsets[session + 1]
        rows = self._past.rows[self._past.end[session] :][: end - first]
        return self._events(rows[(rows >= first) & (rows < end)])

    def is_past(self, session: int, of: int) -> bool:
        """Return whether a session of `needed` comes before another one of its listener."""
        return self._past is not None and bool(self._past.end[session] < self._past.end[of])

    def events(self, begin: int, end: int) -> list[dict[str, Any]]:
        """Return rows `begin`..`end` - 1 as events."""
        return self._events(np.arange(begin, end))

    def track(self, row: int) -> str:
        """Return the id of the track of a row."""
        return self._store.vocabulary.track_id(int(self._tracks[row]))

    def _events(self, rows: NDArray[np.int64]) -> list[dict[str, Any]]:
        from segue.serving.messages import word_of

        return [
            {"track": self.track(row), "heard": word_of(int(self._strength[row])), "at": int(self._at[row])}
            for row in rows[-_MOST_EVENTS:].tolist()
        ]


def _times(store: Store) -> NDArray[np.int64]:
    """Return when each row was played, as the model reads it: its time, else the date of its session, else 0."""
    from segue.batches.listening_order import session_begins

    if store.side_column(columns.AT) is not None:
        return np.asarray(store.side(columns.AT)).astype(np.int64)
    begins = session_begins(store)
    lengths = np.diff(np.asarray(store.offsets)).astype(np.int64)
    return np.repeat(np.zeros(store.num_sessions, np.int64) if begins is None else begins, lengths)
