"""The split by absolute time: training, a gap, and days whose plays are the targets (Ploshkin et al. 2025, Yambda)."""

from __future__ import annotations

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
from segue.store import NUM_SPECIALS, Store

_Rows = NDArray[np.int64]
_EARLIEST: Final = -(2**62)
_SIEVE: Final = 1 << 24
"""Entries of the table that `_among` makes."""


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
    """Bounds of what may be read as the past of a later session, where there is any."""
    cases: dict[SplitName, Cases]


def next_day(store: Store, sessions: _Rows, bounds: tuple[_Rows, _Rows], config: NextDay) -> NextDaySplit:
    """Return the parts of `sessions`, whose rows lie within `bounds`.

    A session across a border (where a gap begins) is cut at its first row that is not before it; nobody reads the rest,
    so that no play of a gap or of a later day trains or is read before its day is over.
    A case is a listener and a day: its input is the end of the listener's last session before the gap of the day, its
    targets are the distinct tracks that the listener listened to on the day (strength 0 or 1; of a measured play this
    is half of the track or more). A listener without such a track has no case; one without plays before has none
    either, and is counted (`Cases.num_cold`).

    Raises:
        InputError: the store has no listeners or no times, or nothing is left to train on or to test.
    """
    if store.side_column(columns.AT) is None or store.side_column(columns.USER) is None:
        raise InputError(
            f"{store.path} does not say who listened when, to the second, which split = 'next-day' needs; "
            "use another split"
        )
    log = _Log(store, sessions, bounds, config)
    begin, readable = log.begin, log.readable
    end = np.minimum(np.maximum(log.ends_before(log.first_day["validation"] - log.gap), begin), readable)
    if not (end - begin > 1).any():
        raise InputError(
            f"{store.path} is too short for split = 'next-day': no session is left to train on before "
            f"{2 * config.days} days and 2 gaps of {config.gap_minutes} minutes at its end; lower data.next_day.days"
        )
    some = readable > begin
    cases: dict[SplitName, Cases] = {"validation": log.cases("validation"), "test": log.cases("test")}
    if not len(cases["test"]):
        raise InputError(
            f"{store.path}: nobody with earlier plays listens on the test days; end them where the log ends "
            "(data.next_day.until = 0), or raise data.next_day.days"
        )
    return NextDaySplit((begin, end), (begin[some], readable[some]), cases)


class _Log:
    """The rows of the sessions used, with their times and listeners; times are by session, as its listener has them."""

    def __init__(self, store: Store, sessions: _Rows, bounds: tuple[_Rows, _Rows], config: NextDay) -> None:
        self._config, self._sessions, (self._begin, self._end) = config, sessions, bounds
        counts = self._end - self._begin
        self._starts = np.cumsum(counts) - counts
        self._session = np.repeat(np.arange(len(sessions)), counts)
        self._row = np.arange(len(self._session)) + (self._begin - self._starts)[self._session]
        self._at = np.asarray(store.side(columns.AT))[self._row].astype(np.int64)
        self._user = np.asarray(store.side(columns.USER)).astype(np.int64)[sessions]
        self._listened = np.asarray(skips.listened(np.asarray(store.strength)[self._row]))
        self._size = store.num_tracks + NUM_SPECIALS
        self._key = self._user[self._session] * self._size + np.asarray(store.tracks)[self._row]
        self._order = listening_order(self._user, self._at[self._starts])
        self.gap: Final = config.gap_minutes * 60
        self.first_day: dict[SplitName, _Rows] = {}
        """When the first day of each part begins."""
        self.first_day["test"] = self._last_moment() + 1 - config.days * SECONDS_OF_A_DAY
        self.first_day["validation"] = self.first_day["test"] - self.gap - config.days * SECONDS_OF_A_DAY
        window = config.train_days * SECONDS_OF_A_DAY or -_EARLIEST
        self.begin: Final = self._begins_from(self.first_day["test"] - self.gap - window)
        """First row of each session that is read."""
        self.readable: Final = self._cut()
        """One past the last row that is read later."""

    def _last_moment(self) -> _Rows:
        """Return the last second of the last test day of each session's listener, [sessions]."""
        if self._config.until:
            return np.full(len(self._user), self._config.until - 1, np.int64)
        if self._config.clock == "log":
            return np.full(len(self._user), self._at.max(), np.int64)
        last = np.full(int(self._user.max()) + 1, _EARLIEST)
        np.maximum.at(last, self._user[self._session], self._at)
        return last[self._user]

    def ends_before(self, border: _Rows) -> _Rows:
        """Return the first row of each session that is not before its `border`, else the session's end."""
        late = np.where(self._at >= border[self._session], self._row, np.iinfo(np.int64).max)
        return np.minimum(np.minimum.reduceat(late, self._starts), self._end)

    def _begins_from(self, border: _Rows) -> _Rows:
        """Return the row after the last one of each session that is before its `border`, else the session's begin."""
        early = np.where(self._at < border[self._session], self._row + 1, -1)
        return np.maximum(np.maximum.reduceat(early, self._starts), self._begin)

    def _cut(self) -> _Rows:
        """Return where each session is cut: at the first border after its first row; nothing is read after the last."""
        first, cut = self._at[self._starts], np.full(len(self._user), _EARLIEST)
        for which in ("test", "validation"):  # the latest border first
            for day in reversed(range(self._config.days)):
                border = self.first_day[which] + day * SECONDS_OF_A_DAY - self.gap
                cut = np.where(first < border, border, cut)
        return np.maximum(self.ends_before(cut), self.begin)

    def cases(self, which: SplitName) -> Cases:
        """Return the cases of the days of a part, by day and then by listener."""
        parts = [self._day(self.first_day[which] + day * SECONDS_OF_A_DAY) for day in range(self._config.days)]
        joined = Positives.joined([one.positives for one in parts if one.positives is not None])
        session, begin, target = (
            np.concatenate([getattr(one, name) for one in parts]) for name in ("session", "begin", "target")
        )
        return Cases(session, begin, target, joined, sum(one.num_cold for one in parts))

    def _day(self, start: _Rows) -> Cases:
        """Return the cases of the day that begins at `start`, by listener."""
        begin = self.begin
        end = np.maximum(np.minimum(self.ends_before(start - self.gap), self.readable), begin)
        readable = self._order[end[self._order] > begin[self._order]]
        listeners = np.unique(self._user[readable])
        last = readable[np.searchsorted(self._user[readable], listeners, side="right") - 1]
        age = self._at - start[self._session]
        on_day = self._listened & (age >= 0) & (age < SECONDS_OF_A_DAY)
        target, plays = np.unique(self._key[on_day], return_counts=True)
        warm = np.isin(target // self._size, listeners)
        who, counts = np.unique(target[warm] // self._size, return_counts=True)
        before = (self._row >= begin[self._session]) & (self._row < end[self._session])
        repeated = _among(target[warm], self._key[before & np.isin(self._user, who)[self._session]])
        case = last[np.searchsorted(listeners, who)]
        offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
        positives = Positives(offsets, target[warm] % self._size, repeated, plays[warm])
        num_cold = len(np.unique(target[~warm] // self._size))
        return Cases(self._sessions[case], begin[case], end[case], positives, num_cold)


def _among(few: _Rows, many: _Rows) -> NDArray[np.bool_]:
    """Return which of `few` keys are among `many`; a table of their low bits leaves out most of these before."""
    may_be = np.zeros(_SIEVE, np.bool_)
    may_be[few % _SIEVE] = True
    return np.isin(few, many[may_be[many % _SIEVE]])
