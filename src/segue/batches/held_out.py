"""What each kind of split holds out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from segue import columns
from segue.batches.listening_order import listening_order, session_begins, session_days
from segue.batches.positives import Positives
from segue.errors import InputError
from segue.hashing import splitmix64
from segue.store import Store

SplitName = Literal["validation", "test"]
SplitKind = Literal["leave-last-two-out", "chronological", "temporal", "sessions", "next-day"]
BY_TIME: Final = ("chronological", "temporal", "next-day")
"""Kinds whose held-out sessions are later than all that a model may read of their listeners."""
RETURNING: Final = 10
"""Mean number of days on which a listener has a session, from which `kind_for` says that listeners come back."""


@dataclass(frozen=True)
class Cases:
    """Held-out targets: the input of case i is rows `begin[i]:target[i]`, its target row `target[i]`.

    With `positives` the targets of case i are a set of tracks in place of that row.
    """

    session: NDArray[np.int64]
    """Index of the session in the store."""
    begin: NDArray[np.int64]
    target: NDArray[np.int64]
    positives: Positives | None = None
    num_cold: int = 0
    """Listeners (and days) with targets, but without any play before them: there is nothing to rank after."""

    def __len__(self) -> int:
        return len(self.target)

    def of(self, index: NDArray[np.int64]) -> Cases:
        """Return the cases `index`."""
        positives = None if self.positives is None else self.positives.of(index)
        return Cases(self.session[index], self.begin[index], self.target[index], positives, self.num_cold)


def kind_for(store: Store) -> SplitKind:
    """Return the kind that `auto` stands for: chronological where listeners are known and come back.

    Otherwise a listener's later sessions would train, which flatters whatever remembers listeners.
    """
    days = session_days(store)
    if days is None or store.side_column(columns.USER) is None or store.num_sessions == 0:
        return "leave-last-two-out"
    user = np.asarray(store.side(columns.USER)).astype(np.int64)
    num_days = len(np.unique(np.stack([user, days], 1), axis=0))
    return "chronological" if num_days >= RETURNING * len(np.unique(user)) else "leave-last-two-out"


_Bounds = tuple[NDArray[np.int64], NDArray[np.int64]]
"""First row of each session, and one past its last."""
SHARES: Final = (0.8, 0.1, 0.1)
"""Shares of the sessions that train, validate and test where whole sessions are held out (by date: rounded to whole
days)."""
_HASH_SEED: Final = 0x5E5510


def _leave_last_two_out(
    store: Store, sessions: NDArray[np.int64], bounds: _Bounds
) -> tuple[_Bounds, dict[SplitName, Cases], int]:
    """Return the bounds of training parts, the held-out targets, and how many sessions are too short for any."""
    begin, end = bounds
    long_enough = end - begin >= 3  # one track of input, two held out
    held_out: dict[SplitName, Cases] = {
        "validation": _cases(sessions, begin, end - 2, long_enough),
        "test": _cases(sessions, begin, end - 1, long_enough),
    }
    return (begin, np.maximum(end - 2, begin)), held_out, int((~long_enough).sum())


def _temporal(
    store: Store, sessions: NDArray[np.int64], bounds: _Bounds
) -> tuple[_Bounds, dict[SplitName, Cases], int]:
    """Whole sessions by date: the last tenth of sessions (cut at whole days) tests, the tenth before validates."""
    days = session_days(store)
    if days is None:
        raise InputError(f"{store.path} has no dates or times to split by; use leave-last-two-out")
    date = days[sessions]
    ordered = np.sort(date)
    first_validation = ordered[int(len(ordered) * SHARES[0])]
    first_test = ordered[int(len(ordered) * (SHARES[0] + SHARES[1]))]
    if not ordered[0] < first_validation < first_test:
        raise InputError(f"{store.path} spans too few days for a temporal split; use leave-last-two-out")
    return _whole_sessions(sessions, bounds, date < first_validation, date >= first_test)


def _chronological(
    store: Store, sessions: NDArray[np.int64], bounds: _Bounds
) -> tuple[_Bounds, dict[SplitName, Cases], int]:
    """Whole sessions of each listener by time: their last tenth tests, the tenth before it validates.

    The first session of a listener always trains.
    """
    begins = session_begins(store)
    if begins is None or store.side_column(columns.USER) is None:
        raise InputError(
            f"{store.path} does not say who listened when, which split = 'chronological' needs; use leave-last-two-out"
        )
    user = np.asarray(store.side(columns.USER)).astype(np.int64)[sessions]
    order = listening_order(user, begins[sessions])
    ordered = user[order]
    first = np.searchsorted(ordered, ordered)
    number = np.searchsorted(ordered, ordered, side="right") - first
    rank = np.empty_like(order)
    total = np.empty_like(order)
    rank[order], total[order] = np.arange(len(order)) - first, number
    num_training = np.maximum((total * SHARES[0]).astype(np.int64), 1)
    first_test = np.maximum((total * (SHARES[0] + SHARES[1])).astype(np.int64), 1)
    return _whole_sessions(sessions, bounds, rank < num_training, rank >= first_test)


def _by_hash(store: Store, sessions: NDArray[np.int64], bounds: _Bounds) -> tuple[_Bounds, dict[SplitName, Cases], int]:
    """Whole sessions by a hash of their keys: which part a session is in does not depend on the other sessions."""
    keys = np.asarray(store.session_key)[sessions].astype(np.uint64)
    share = splitmix64(keys ^ np.uint64(_HASH_SEED)) / 2.0**64
    return _whole_sessions(sessions, bounds, share < SHARES[0], share >= SHARES[0] + SHARES[1])


def _whole_sessions(
    sessions: NDArray[np.int64], bounds: _Bounds, train: NDArray[np.bool_], test: NDArray[np.bool_]
) -> tuple[_Bounds, dict[SplitName, Cases], int]:
    """Return the parts of which the sessions `train` train, `test` test, and the others validate."""
    begin, end = bounds
    long_enough = end - begin >= 2
    held_out: dict[SplitName, Cases] = {
        "validation": _cases(sessions, begin, end - 1, long_enough & ~train & ~test),
        "test": _cases(sessions, begin, end - 1, long_enough & test),
    }
    return (begin[train], end[train]), held_out, int((~train & ~long_enough).sum())


def _cases(
    sessions: NDArray[np.int64], begin: NDArray[np.int64], target: NDArray[np.int64], chosen: NDArray[np.bool_]
) -> Cases:
    return Cases(sessions[chosen], begin[chosen], target[chosen])


_Kind = Callable[[Store, NDArray[np.int64], _Bounds], tuple[_Bounds, dict[SplitName, Cases], int]]
SPLITS: Final[Mapping[SplitKind, _Kind]] = {
    "leave-last-two-out": _leave_last_two_out,
    "chronological": _chronological,
    "temporal": _temporal,
    "sessions": _by_hash,
}
"""Kind to the function that returns bounds of training parts, held-out targets, and how many sessions are too short.
`next-day`, whose lengths are options, is made by `segue.batches.next_day`."""
