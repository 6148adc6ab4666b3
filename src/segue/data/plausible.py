"""What makes a log implausible, looked at once, when all of it has been read."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from segue.data.sessions import Heard, repeated
from segue.errors import InputError

_US: Final = 10**6
FIRST_YEAR: Final = 1990
LONGEST_SHARE: Final = 3.0
"""Played over length above this is no share of one play."""
MANY: Final = 0.05
"""Share of plays above which a warning becomes a refusal, where the store would be nonsense."""
ALONE: Final = 0.9
"""Share of sessions of one play above which sessions are no sessions."""
CLOSE_S: Final = 5
"""Two plays of one track in a row that begin within this are suspicious."""


@dataclass(frozen=True)
class Doubt:
    """Something that is implausible in a log."""

    name: str
    """What `--accept` calls it."""
    text: str
    """What was seen, and what mends it."""
    refuses: bool
    """True where the store would be nonsense."""


def doubts(heard: Heard, *, now: datetime | None = None) -> list[Doubt]:
    """Return what is implausible in the plays of a log; `now`: for the last plausible year."""
    found = [
        _years(heard, (now or datetime.now(UTC)).year + 1),
        _shares(heard),
        _one_strength(heard),
        _alone(heard),
        _twice(heard),
        _close(heard),
    ]
    return [doubt for doubt in found if doubt is not None]


def alike(what: str, ids: pl.Series) -> Doubt | None:
    """Return a doubt where ids are equal but for blanks at their ends or for how Unicode composes them."""
    plain = ids.str.strip_chars().str.normalize("NFC")
    changed = ids.filter((plain != ids) & plain.is_in(ids.implode()))
    if len(changed) == 0:
        return None
    text = f"{len(changed)} {what} ids differ from another only by blanks or by how letters are composed"
    return Doubt(f"{what}s-alike", f"{text} (the first: {changed[0]!r}); are they the same?", refuses=False)


def check(found: Collection[Doubt], accepted: Collection[str]) -> list[str]:
    """Return the warnings among doubts.

    Raises:
        InputError: one of them makes the store nonsense and is not accepted; or `accepted` names no doubt.
    """
    for doubt in found:
        if doubt.refuses and doubt.name not in accepted:
            raise InputError(f"{doubt.text}; nothing is written. If it is right so, add --accept {doubt.name}")
    return [f"{doubt.text} ({doubt.name})" for doubt in found if doubt.name not in accepted]


def _years(heard: Heard, last: int) -> Doubt | None:
    if heard.plays.at is None:
        return None
    years = heard.plays.at.astype("datetime64[us]").astype("datetime64[Y]").astype(np.int64) + 1970
    odd = (years < FIRST_YEAR) | (years > last)
    if not odd.any():
        return None
    text = f"{int(odd.sum())} of {len(odd)} plays are outside of {FIRST_YEAR} to {last} (the first: {years[odd][0]})"
    future = float((years > last).mean()) > MANY  # clocks that begin at 0 are no fault; ones that run ahead are
    return Doubt("years", f"{text}; is the unit of the times another?", refuses=future)


def _shares(heard: Heard) -> Doubt | None:
    plays = heard.plays
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(np.isnan(plays.share), plays.played_s / plays.length_s, plays.share)
    odd = np.nan_to_num(share) > LONGEST_SHARE
    if not odd.any():
        return None
    text = f"{int(odd.sum())} of {len(odd)} plays lasted more than {LONGEST_SHARE:g} times the length of their track"
    return Doubt("shares", f"{text}; are time played and length in different units?", refuses=bool(odd.mean() > MANY))


def _one_strength(heard: Heard) -> Doubt | None:
    if len(heard.strength) == 0 or not (heard.strength == heard.strength[0]).all():
        return None
    what = "unknown" if heard.strength[0] == 255 else f"strength {heard.strength[0]}"
    return Doubt("one-strength", f"the feedback of all plays is {what}: nothing can be learnt from skips", False)


def _alone(heard: Heard) -> Doubt | None:
    length = np.bincount(heard.session)
    share = float((length == 1).mean()) if len(length) else 0.0
    if share <= ALONE:
        return None
    text = f"{share:.0%} of the sessions are of one play; is the unit of the times, or --gap-minutes, another?"
    return Doubt("lone-plays", text, refuses=False)


def _twice(heard: Heard) -> Doubt | None:
    again = int(repeated(heard.plays).sum())
    if again == 0:
        return None
    text = f"{again} of {len(heard.strength)} plays stand twice (same listener, time and track)"
    return Doubt("duplicates", f"{text}; add --drop-duplicates to keep the first of each", False)


def _close(heard: Heard) -> Doubt | None:
    if heard.start_us is None or len(heard.strength) < 2:
        return None
    near = _next_to(heard.session) & _next_to(heard.plays.track)
    step = np.diff(heard.start_us)
    odd = int((near & (step > 0) & (step <= CLOSE_S * _US)).sum())
    if odd <= MANY * len(heard.strength):
        return None
    text = f"{odd} plays repeat the track before them within {CLOSE_S} s"
    return Doubt("adjacent-repeats", f"{text}; are two logs of the same plays mixed?", False)


def _next_to(codes: NDArray[np.int32]) -> NDArray[np.bool_]:
    return np.asarray(codes[1:] == codes[:-1])
