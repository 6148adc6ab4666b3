"""The split by absolute time: training, a gap, and days whose plays are the targets (Ploshkin et al. 2025, Yambda)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from segue import columns, skips
from segue.batches.held_out import Cases, SplitName
from segue.batches.listening_order import SECONDS_OF_A_DAY, listening_order
from segue.batches.positives import Positives
from segue.config import Config, Count, CountOrNone
from segue.errors import InputError
from segue.store import Store

_Rows = NDArray[np.int64]
_EARLIEST: Final = -(2**62)


@dataclass(frozen=True)
class NextDay(Config):
    """Lengths of `split = "next-day"`; the defaults are those of Yambda."""

    train_days: CountOrNone = 300
    """Days of training and validation before the gap of the first test day; older plays are left out. 0 = all."""
    gap_minutes: CountOrNone = 30
    """Minutes before the test days, and before the validation days, that are not read and do not train."""
    days: Count = 1
    """Test days, and validation days; each is ranked by itself, after the plays before it."""
    until: CountOrNone = 0
    """When the last test day ends, UTC seconds; 0 = just after the last play."""
    clock: Literal["log", "listener"] = "log"
    """Whose last play that is: of the log, or of each listener, for a log whose listeners were moved in time."""


@dataclass(frozen=True)
class NextDaySplit:
    """What `next_day` returns."""

    train: tuple[_Rows, _Rows]
    """Bounds of the training part of each session used."""
    past: tuple[_Rows, _Rows]
    """Bounds of what may be read as the past of a later session, where there is any: all before the gap of the last
    test day."""
    cases: dict[SplitName, Cases]


def next_day(store: Store, sessions: _Rows, bounds: tuple[_Rows, _Rows], config: NextDay) -> NextDaySplit:
    """Return the parts of `sessions`, whose rows lie within `bounds`.

    A session across a border is cut at its first row that is not before it, so that no later play trains or is read.
    A case is a listener and a day: its input is the end of the listener's last session before the gap of the day, its
    targets are the distinct tracks that the listener listened to on the day (strength 0 or 1; of a measured play this
    is half of the track or more). A listener without such a track has no case; one without plays before has none
    either, and is counted (`Cases.num_cold`).

    Raises:
        InputError: the store has no listeners or no times, or nothing is left to train on.
    """
    if store.side_column(columns.AT) is None or store.side_column(columns.USER) is None:
        raise InputError(
            f"{store.path} does not say who listened when, to the second, which split = 'next-day' needs; "
            "use another split"
        )
    log = _Log(store, sessions, bounds)
    gap, days = config.gap_minutes * 60, config.days * SECONDS_OF_A_DAY
    first_test = log.end(config) - days
    first_validation = first_test - gap - days
    window = config.train_days * SECONDS_OF_A_DAY or -_EARLIEST
    begin = log.begins_from(first_test - gap - window)
    train = begin, np.maximum(log.ends_before(first_validation - gap), begin)
    readable = np.maximum(log.ends_before(first_test + days - SECONDS_OF_A_DAY - gap), begin)
    some = readable > begin
    if not (train[1] - train[0] > 1).any():
        raise InputError(
            f"{store.path} is too short for split = 'next-day': no session is left to train on before "
            f"{2 * config.days} days and 2 gaps of {config.gap_minutes} minutes at its end; lower data.next_day.days"
        )
    cases: dict[SplitName, Cases] = {
        "validation": log.cases(begin, first_validation, config),
        "test": log.cases(begin, first_test, config),
    }
    return NextDaySplit(train, (begin[some], readable[some]), cases)


class _Log:
    """The rows of the sessions used, with their times and listeners; times are by session, as its listener has them."""

    def __init__(self, store: Store, sessions: _Rows, bounds: tuple[_Rows, _Rows]) -> None:
        self._sessions, (self._begin, self._end) = sessions, bounds
        self._counts = self._end - self._begin
        self._starts = np.cumsum(self._counts) - self._counts
        self.session = np.repeat(np.arange(len(sessions)), self._counts)
        self._row = np.arange(len(self.session)) + (self._begin - self._starts)[self.session]
        self._at = np.asarray(store.side(columns.AT))[self._row].astype(np.int64)
        self._user = np.asarray(store.side(columns.USER)).astype(np.int64)[sessions]
        self._track = np.asarray(store.tracks)[self._row].astype(np.int64)
        self._listened = np.asarray(skips.listened(np.asarray(store.strength)[self._row]))
        self._key = self._user[self.session] * (store.num_tracks + 3) + self._track
        self._size = store.num_tracks + 3
        self._order = listening_order(self._user, self._at[self._starts])

    def end(self, config: NextDay) -> _Rows:
        """Return when the last test day of each session's listener ends, [sessions]."""
        if config.until:
            return np.full(len(self._user), config.until, np.int64)
        if config.clock == "log":
            return np.full(len(self._user), self._at.max() + 1, np.int64)
        last = np.full(int(self._user.max()) + 1, _EARLIEST)
        np.maximum.at(last, self._user[self.session], self._at)
        return last[self._user] + 1

    def ends_before(self, border: _Rows) -> _Rows:
        """Return the first row of each session that is not before its `border`, else the session's end."""
        late = np.where(self._at >= border[self.session], self._row, np.iinfo(np.int64).max)
        return np.minimum(np.minimum.reduceat(late, self._starts), self._end)

    def begins_from(self, border: _Rows) -> _Rows:
        """Return the row after the last one of each session that is before its `border`, else the session's begin."""
        early = np.where(self._at < border[self.session], self._row + 1, -1)
        return np.maximum(np.maximum.reduceat(early, self._starts), self._begin)

    def cases(self, begin: _Rows, first_day: _Rows, config: NextDay) -> Cases:
        """Return the cases of the days from `first_day` on; `begin`: the first row of each session that is read."""
        parts = list(self._days(begin, first_day, config))
        joined = Positives.joined([one.positives for one in parts if one.positives is not None])
        session, begin, target = (
            np.concatenate([getattr(one, name) for one in parts]) for name in ("session", "begin", "target")
        )
        return Cases(session, begin, target, joined, sum(one.num_cold for one in parts))

    def _days(self, begin: _Rows, first_day: _Rows, config: NextDay) -> Iterator[Cases]:
        """Yield the cases of each day, by listener."""
        for day in range(config.days):
            start = first_day + day * SECONDS_OF_A_DAY
            end = np.maximum(self.ends_before(start - config.gap_minutes * 60), begin)
            readable = self._order[end[self._order] > begin[self._order]]
            listeners = np.unique(self._user[readable])
            last = readable[np.searchsorted(self._user[readable], listeners, side="right") - 1]
            age = self._at - start[self.session]
            on_day = self._listened & (age >= 0) & (age < SECONDS_OF_A_DAY)
            target, plays = np.unique(self._key[on_day], return_counts=True)
            warm = np.isin(target // self._size, listeners)
            who, counts = np.unique(target[warm] // self._size, return_counts=True)
            before = (self._row >= begin[self.session]) & (self._row < end[self.session])
            repeated = np.isin(target[warm], self._key[before & np.isin(self._user, who)[self.session]])
            case = last[np.searchsorted(listeners, who)]
            offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
            positives = Positives(offsets, target[warm] % self._size, repeated, plays[warm])
            num_cold = len(np.unique(target[~warm] // self._size))
            yield Cases(self._sessions[case], begin[case], end[case], positives=positives, num_cold=num_cold)
