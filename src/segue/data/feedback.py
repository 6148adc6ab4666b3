"""How a play was heard, inferred in one place: what the source tells, what was played, the gap to the next play.

For each play the first that is known counts:

1. *told*: the source states it (a flag, the reason of an end, a like during the play). What a listener thinks of a
   track apart from the play counts as told where nothing is told or measured (`opinions`).
2. *measured*: the share of the track that was played: below .15 -> 3, below .5 -> 2, below .9 -> 1, else 0. Where the
   length is not given, what the log shows of it stands in (`lengths_seen`). Without any length the seconds alone
   count: below 5 s -> 3, below 30 s -> 2, else 1 (listened to, perhaps not to its end).
3. *guessed*: the gap to the listener's next play, where nothing was measured: below 30 s -> 2, else 1; unknown where
   no play follows in the session.

All thresholds are ours; 30 s is where streaming services begin to count a play.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from segue.events.skips import BRIEFLY, MOSTLY, PLAYED_SHARES, TO_ITS_END, UNKNOWN_STRENGTH, VERY_BRIEFLY

SECONDS: Final = ((5.0, VERY_BRIEFLY), (30.0, BRIEFLY))
"""Seconds played below the bound -> strength, where no length is known; at or above the last: mostly."""
SAME_LENGTH_S: Final = 1.0
"""Two plays of a track that ended within this of each other ended at its end."""
KNOWN: Final = ("unknown", "told", "measured", "guessed")
"""How a strength is known, by code."""
UNKNOWN, TOLD, MEASURED, GUESSED = range(4)
Floats = NDArray[np.float64]


def strengths(
    told: NDArray[np.uint8], share: Floats, played_s: Floats, length_s: Floats, gap_s: Floats
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the strength of each play, 255 where nothing tells, and how it is known (a code of KNOWN), uint8 [N].

    `told`: strength that the source states, 255 = none. `share` of the track that was played, `played_s`, `length_s` of
    the track, `gap_s` from the start of the play to that of the next: float [N], NaN where unknown, and unknown where
    negative.
    """
    share = np.where(np.isnan(share), _ratio(played_s, length_s), share)
    by_share = _coded(share, PLAYED_SHARES, TO_ITS_END)
    by_seconds = _coded(played_s, SECONDS, MOSTLY)
    by_gap = _coded(gap_s, SECONDS[1:], MOSTLY)
    strength, known = np.full(len(told), UNKNOWN_STRENGTH, np.uint8), np.full(len(told), UNKNOWN, np.uint8)
    for found, how in ((told, TOLD), (by_share, MEASURED), (by_seconds, MEASURED), (by_gap, GUESSED)):
        new = (strength == UNKNOWN_STRENGTH) & (found != UNKNOWN_STRENGTH)
        strength[new], known[new] = found[new], how
    return strength, known


def lengths_seen(track: NDArray[np.int32], played_s: Floats) -> Floats:
    """Return a length of each play's track from the plays of the log, float64 [N] seconds; NaN where they show none.

    The longest time that two plays of the track share, up to SAME_LENGTH_S: whole plays end at the same second, while
    one that is longer than any other was paused or wound back. Times below 30 s show no length.
    """
    usable = np.flatnonzero(np.nan_to_num(played_s) >= SECONDS[-1][0])
    order = usable[np.lexsort((played_s[usable], track[usable]))]
    codes, times = track[order], played_s[order]
    agree = (codes[1:] == codes[:-1]) & (times[1:] - times[:-1] <= SAME_LENGTH_S)
    length = np.full(int(track.max(initial=-1)) + 1, np.nan)
    length[codes[1:][agree]] = times[1:][agree]  # ascending, so the longest stays
    return np.asarray(length[track])


def _ratio(played_s: Floats, length_s: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(length_s > 0, played_s / length_s, np.nan)


def _coded(values: Floats, bounds: tuple[tuple[float, int], ...], last: int) -> NDArray[np.uint8]:
    """Return the code of the first bound above each value, `last` above all, 255 where it is NaN or negative."""
    codes = np.array([*(code for _, code in bounds), last], np.uint8)
    known = np.nan_to_num(values, nan=-1.0) >= 0
    place = np.searchsorted([bound for bound, _ in bounds], np.where(known, values, 0.0), side="right")
    return np.where(known, codes[place], np.uint8(UNKNOWN_STRENGTH))
