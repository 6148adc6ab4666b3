"""Signs of an implausible log, counted while it is read and judged at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from segue.data.plays import Plays
from segue.data.sessions import CutPlays, repeated
from segue.data.times import SHEET_DAYS
from segue.errors import InputError
from segue.skips import UNKNOWN_STRENGTH

_US: Final = 10**6
FIRST_YEAR: Final = 1990
LONGEST_SHARE: Final = 3.0
"""Largest plausible ratio of time played to length."""
MANY: Final = 0.05
"""Share of plays above which a warning becomes a refusal."""
ALONE: Final = 0.9
"""Share of sessions of one play above which the sessions are implausible."""
CLOSE_S: Final = 5
"""Two plays of one track in a row that begin within this time are suspicious."""


@dataclass(frozen=True)
class Doubt:
    """One implausible property of a log."""

    name: str
    """Value of `--accept` for it."""
    text: str
    """What was seen, and what to do."""
    refuses: bool
    """True if the store would be useless."""


class Suspicions:
    """Counts implausible plays of a log, part by part; `now` gives the last plausible year."""

    def __init__(self, now: datetime | None = None) -> None:
        self._last_year = (now or datetime.now(UTC)).year + 1
        self._counts: Counter[str] = Counter()
        self._strengths = np.zeros(256, np.int64)
        self._odd_year: int | None = None
        self._outside_days = False
        """True if some time, in seconds, cannot be a spreadsheet's day."""

    def add(self, cut: CutPlays) -> None:
        """Take the sessions of a part of the log."""
        self._strengths += np.bincount(cut.strength, minlength=256)
        lengths = np.bincount(cut.session)
        self._counts.update(
            sessions=len(lengths), alone=int((lengths == 1).sum()), repeated=int(repeated(cut.plays).sum())
        )
        self._add_years(cut.plays)
        self._add_shares(cut.plays)
        if cut.start_us is not None and len(cut.strength) > 1:
            near = _next_to(cut.session) & _next_to(cut.plays.track)
            step = np.diff(cut.start_us)
            self._counts["close"] += int((near & (step > 0) & (step <= CLOSE_S * _US)).sum())

    def _add_years(self, plays: Plays) -> None:
        if plays.at is None:
            return
        years = plays.at.astype("datetime64[us]").astype("datetime64[Y]").astype(np.int64) + 1970
        first, last = SHEET_DAYS
        self._outside_days |= bool(((plays.at < first * _US) | (plays.at > last * _US)).any())
        odd = (years < FIRST_YEAR) | (years > self._last_year)
        self._counts.update(odd_years=int(odd.sum()), future=int((years > self._last_year).sum()))
        if self._odd_year is None and odd.any():
            self._odd_year = int(years[odd][0])

    def _add_shares(self, plays: Plays) -> None:
        share = plays.share
        if plays.played_s is not None and plays.length_s is not None:
            with np.errstate(invalid="ignore", divide="ignore"):
                ratio = plays.played_s / plays.length_s
            share = ratio if share is None else np.where(np.isnan(share), ratio, share)
        if share is not None:
            self._counts["shares"] += int((np.nan_to_num(share) > LONGEST_SHARE).sum())

    def doubts(self) -> list[Doubt]:
        """Return the doubts about the whole log."""
        checks = [self._years(), self._shares(), self._one_strength(), self._alone(), self._twice(), self._close()]
        return [doubt for doubt in checks if doubt is not None]

    @property
    def _num_plays(self) -> int:
        return int(self._strengths.sum())

    def _years(self) -> Doubt | None:
        odd = self._counts["odd_years"]
        if not odd:
            return None
        text = f"{odd} of {self._num_plays} plays are outside of {FIRST_YEAR} to {self._last_year}"
        if not self._outside_days:
            text = f"{text}; all times lie between {SHEET_DAYS[0]} and {SHEET_DAYS[1]}: are they days of a spreadsheet?"
            return Doubt("years", f"{text} Write them as dates", refuses=True)
        text = f"{text} (the first: {self._odd_year}); is the unit of the times wrong?"
        # clocks that start at 0 are harmless; times in the future are not
        return Doubt("years", text, refuses=self._counts["future"] > MANY * self._num_plays)

    def _shares(self) -> Doubt | None:
        odd = self._counts["shares"]
        if not odd:
            return None
        text = f"{odd} of {self._num_plays} plays lasted more than {LONGEST_SHARE:g} times the length of their track"
        text = f"{text}; are time played and length in different units?"
        return Doubt("shares", text, refuses=odd > MANY * self._num_plays)

    def _one_strength(self) -> Doubt | None:
        seen = np.flatnonzero(self._strengths)
        if len(seen) != 1:
            return None
        what = "unknown" if seen[0] == UNKNOWN_STRENGTH else f"strength {seen[0]}"
        return Doubt("one-strength", f"the feedback of all plays is {what}: a model cannot learn from skips", False)

    def _alone(self) -> Doubt | None:
        share = self._counts["alone"] / max(self._counts["sessions"], 1)
        if share <= ALONE:
            return None
        text = f"{share:.0%} of the sessions have one play; is the unit of the times, or --gap-minutes, wrong?"
        return Doubt("lone-plays", text, refuses=False)

    def _twice(self) -> Doubt | None:
        again = self._counts["repeated"]
        if again == 0:
            return None
        text = f"{again} of {self._num_plays} plays occur twice (same listener, time and track)"
        return Doubt("duplicates", f"{text}; add --drop-duplicates to keep the first of each", False)

    def _close(self) -> Doubt | None:
        if self._counts["close"] <= MANY * self._num_plays:
            return None
        text = f"{self._counts['close']} plays repeat the track before them within {CLOSE_S} s"
        return Doubt("adjacent-repeats", f"{text}; are two logs of the same plays mixed?", False)


def alike(what: str, ids: pl.Series) -> Doubt | None:
    """Return a doubt if ids differ only in blanks at their ends or in Unicode composition."""
    if not ((ids.str.len_bytes() != ids.str.len_chars()) | ids.str.contains(r"^\s|\s$")).any():
        return None
    plain = ids.str.strip_chars().str.normalize("NFC")
    changed = ids.filter((plain != ids) & plain.is_in(ids.implode()))
    if len(changed) == 0:
        return None
    text = f"{len(changed)} {what} ids differ from another only in blanks or in Unicode composition"
    return Doubt(f"{what}s-alike", f"{text} (the first: {changed[0]!r}); are they the same?", refuses=False)


def check(doubts: Collection[Doubt], accepted: Collection[str]) -> list[str]:
    """Return the warnings among `doubts` that are not accepted.

    Raises:
        InputError: a doubt refuses the log and is not accepted.
    """
    for doubt in doubts:
        if doubt.refuses and doubt.name not in accepted:
            raise InputError(f"{doubt.text}; nothing is written. If this is correct, add --accept {doubt.name}")
    return [f"{doubt.text} ({doubt.name})" for doubt in doubts if doubt.name not in accepted]


def _next_to(codes: NDArray[np.int32]) -> NDArray[np.bool_]:
    return np.asarray(codes[1:] == codes[:-1])
