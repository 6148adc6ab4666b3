"""Signs of an implausible log, counted while it is read and judged at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import numpy as np
import polars as pl

from segue.data.plays import Plays
from segue.data.sessions import CutPlays, repeated
from segue.data.strengths import shares
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
    """Counts implausible plays of a log, part by part; `now` gives the last plausible year.

    `dated`: whether it is known from when the times count.
    """

    def __init__(self, now: datetime | None = None, *, dated: bool = True) -> None:
        self._dated = dated
        self._last_year = (now or datetime.now(UTC)).year + 1
        self._counts: Counter[str] = Counter()
        self._strengths = np.zeros(256, np.int64)
        self._odd_year: int | None = None
        self._outside_days = False
        """True if some time, in seconds, cannot be a spreadsheet's day."""

    def add(self, cut: CutPlays) -> None:
        """Take the sessions of a part of the log."""
        plays = cut.plays
        self._strengths += np.bincount(cut.strength, minlength=256)
        lengths = np.bincount(cut.session)
        self._counts.update(sessions=len(lengths), alone=int((lengths == 1).sum()), repeated=int(repeated(plays).sum()))
        self._add_years(plays)
        share = shares(plays.share, plays.played_s, plays.length_s)
        if share is not None:
            odd = np.nan_to_num(share) > LONGEST_SHARE
            if plays.length_s is not None and plays.played_s is not None:
                odd |= np.isnan(share) & (plays.length_s == 0) & (plays.played_s > 0)
            self._counts["shares"] += int(odd.sum())
        if cut.start_us is not None:
            same = (cut.session[1:] == cut.session[:-1]) & (plays.track[1:] == plays.track[:-1])
            step = np.diff(cut.start_us)
            self._counts["close"] += int((same & (step > 0) & (step <= CLOSE_S * _US)).sum())

    def _add_years(self, plays: Plays) -> None:
        if plays.at is None or not self._dated:
            return
        years = plays.at.astype("datetime64[us]").astype("datetime64[Y]").astype(np.int64) + 1970
        first, last = SHEET_DAYS
        self._outside_days |= bool(((plays.at < first * _US) | (plays.at > last * _US)).any())
        odd = (years < FIRST_YEAR) | (years > self._last_year)
        self._counts.update(odd_years=int(odd.sum()), future=int((years > self._last_year).sum()))
        if self._odd_year is None and odd.any():
            self._odd_year = int(years[odd][0])

    def doubts(self) -> list[Doubt]:
        """Return the doubts about the whole log."""
        counts, num_plays, doubts = self._counts, int(self._strengths.sum()), list[Doubt]()

        def doubt(name: str, text: str, refuses: bool = False) -> None:
            doubts.append(Doubt(name, text, refuses))

        if odd := counts["odd_years"]:
            text = f"{odd} of {num_plays} plays are outside of {FIRST_YEAR} to {self._last_year}"
            if self._outside_days:  # clocks that start at 0 are harmless; times in the future are not
                text = f"{text} (the first: {self._odd_year}); is the unit of the times wrong?"
                doubt("years", text, counts["future"] > MANY * num_plays)
            else:
                text = f"{text}; all times lie between {SHEET_DAYS[0]} and {SHEET_DAYS[1]}: are they days of a"
                doubt("years", f"{text} spreadsheet? Write them as dates", True)
        if odd := counts["shares"]:
            text = f"{odd} of {num_plays} plays lasted more than {LONGEST_SHARE:g} times the length of their track"
            doubt("shares", f"{text}; are time played and length in different units?", odd > MANY * num_plays)
        strengths = np.flatnonzero(self._strengths)
        if len(strengths) == 1:
            what = "unknown" if strengths[0] == UNKNOWN_STRENGTH else f"strength {strengths[0]}"
            doubt("one-strength", f"the feedback of all plays is {what}: a model cannot learn from skips")
        if (share := counts["alone"] / max(counts["sessions"], 1)) > ALONE:
            text = f"{share:.0%} of the sessions have one play"
            doubt("lone-plays", f"{text}; is the unit of the times, or --gap-minutes, wrong?")
        if again := counts["repeated"]:
            text = f"{again} of {num_plays} plays occur twice (same listener, time and track)"
            doubt("duplicates", f"{text}; add --drop-duplicates to keep the first of each")
        if counts["close"] > MANY * num_plays:
            text = f"{counts['close']} plays repeat the track before them within {CLOSE_S} s"
            doubt("adjacent-repeats", f"{text}; are two logs of the same plays mixed?")
        return doubts


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
