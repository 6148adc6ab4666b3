"""The strength of a play: stated by the source, else measured by what was played, else guessed from the next play.

The first of these that applies counts:

1. *stated*: the source states the strength (a flag, the reason for an end, a like during the play). A listener's
   opinion of the track counts as stated if the play itself is neither stated nor measured (`opinions`).
2. *measured*: the share of the track that was played: below .15 -> 3, below .5 -> 2, below .9 -> 1, else 0. A missing
   length is estimated from the log (`lengths_seen`). Without any length the seconds count: below 5 s -> 3, below
   30 s -> 2, else 1 (listened to, perhaps not to its end).
3. *guessed*: the gap to the listener's next play: below 30 s -> 2, else 1; unknown if no play follows in the session.

All thresholds are ours; from 30 s on streaming services count a play.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from segue.skips import BRIEFLY, MOSTLY, PLAYED_SHARES, TO_ITS_END, UNKNOWN_STRENGTH, VERY_BRIEFLY

SECONDS: Final = ((5.0, VERY_BRIEFLY), (30.0, BRIEFLY))
"""Seconds played below the bound -> strength, without a length; at or above the last: mostly."""
SAME_LENGTH_S: Final = 1.0
"""Two plays of a track whose times differ by at most this both reached its end."""
_LONGEST_MS: Final = 2**32 - 1
ORIGINS: Final = ("unknown", "told", "measured", "guessed")
"""Where a strength comes from, by code: the categories of a store's column `known` ("told" = stated)."""
UNKNOWN, STATED, MEASURED, GUESSED = range(4)
Floats = NDArray[np.float64]


def strengths(
    stated: NDArray[np.uint8] | None,
    share: Floats | None,
    played_s: Floats | None,
    length_s: Floats | None,
    gap_s: Floats | None,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the strength of each play (255 = unknown) and its origin (a code of ORIGINS), both uint8 [N].

    `stated`: strength by the source, 255 = none. Floats [N], NaN or negative = unknown: `share` of the track that was
    played, `played_s`, `length_s` of the track, `gap_s` from the start of the play to the start of the next. None =
    unknown for all plays; at least one is given.
    """
    share = shares(share, played_s, length_s)
    sources = [(stated, STATED)] if stated is not None else []
    sources += [(_coded(share, PLAYED_SHARES, TO_ITS_END), MEASURED)] if share is not None else []
    sources += [(_coded(played_s, SECONDS, MOSTLY), MEASURED)] if played_s is not None else []
    sources += [(_coded(gap_s, SECONDS[1:], MOSTLY), GUESSED)] if gap_s is not None else []
    strength = sources[0][0].copy()
    origin = np.where(strength == UNKNOWN_STRENGTH, UNKNOWN, sources[0][1]).astype(np.uint8)
    for candidate, candidate_origin in sources[1:]:
        new = (strength == UNKNOWN_STRENGTH) & (candidate != UNKNOWN_STRENGTH)
        strength[new], origin[new] = candidate[new], candidate_origin
    return strength, origin


def lengths_seen(plays: Iterable[tuple[NDArray[np.int32], Floats]], num_tracks: int) -> Floats:
    """Return the length of each track estimated from its plays, float64 [T] seconds; NaN if there is no estimate.

    `plays`: track codes and seconds played, block by block. The length is the longest time that two plays of the track
    agree on, to SAME_LENGTH_S: whole plays last equally long, and a single longer play was paused or wound back.
    Plays below 30 s are ignored. Times are rounded to milliseconds.
    """
    keys = np.concatenate([_length_keys(track, played_s) for track, played_s in plays])
    keys.sort()
    track, ms = keys >> np.uint64(32), keys & np.uint64(_LONGEST_MS)
    agree = (track[1:] == track[:-1]) & (ms[1:] - ms[:-1] <= SAME_LENGTH_S * 1000)
    length = np.full(num_tracks, np.nan)
    length[track[1:][agree]] = ms[1:][agree] / 1000  # ascending, so the longest stays
    return length


def _length_keys(track: NDArray[np.int32], played_s: Floats) -> NDArray[np.uint64]:
    """Return track and milliseconds of each play of 30 s or more as one number."""
    usable = np.nan_to_num(played_s) >= SECONDS[-1][0]
    ms = np.minimum(np.rint(played_s[usable] * 1000), _LONGEST_MS).astype(np.uint64)
    return (track[usable].astype(np.uint64) << np.uint64(32)) | ms


def shares(share: Floats | None, played_s: Floats | None, length_s: Floats | None) -> Floats | None:
    """Return the share of the track that was played: as stated, else time played / length, NaN = unknown; None without
    these columns."""
    if played_s is None or length_s is None:
        return share
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where(length_s > 0, played_s / length_s, np.nan)
    return ratio if share is None else np.where(np.isnan(share), ratio, share)


def _coded(values: Floats, bounds: tuple[tuple[float, int], ...], last: int) -> NDArray[np.uint8]:
    """Return the code of the first bound above each value, `last` above all bounds, 255 for NaN and negative values."""
    codes = np.array([*(code for _, code in bounds), last], np.uint8)
    valid = np.nan_to_num(values, nan=-1.0) >= 0
    interval = np.searchsorted([bound for bound, _ in bounds], np.where(valid, values, 0.0), side="right")
    return np.where(valid, codes[interval], np.uint8(UNKNOWN_STRENGTH))
