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

from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from segue.skips import BRIEFLY, MOSTLY, PLAYED_SHARES, TO_ITS_END, UNKNOWN_STRENGTH, VERY_BRIEFLY

SECONDS: Final = ((5.0, VERY_BRIEFLY), (30.0, BRIEFLY))
"""Seconds played below the bound -> strength, where no length is known; at or above the last: mostly."""
SAME_LENGTH_S: Final = 1.0
"""Two plays of a track that ended within this of each other ended at its end."""
_LONGEST_MS: Final = 2**32 - 1
KNOWN: Final = ("unknown", "told", "measured", "guessed")
"""How a strength is known, by code."""
UNKNOWN, TOLD, MEASURED, GUESSED = range(4)
Floats = NDArray[np.float64]


def strengths(
    told: NDArray[np.uint8] | None,
    share: Floats | None,
    played_s: Floats | None,
    length_s: Floats | None,
    gap_s: Floats | None,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the strength of each play, 255 where nothing tells, and how it is known (a code of KNOWN), uint8 [N].

    `told`: strength that the source states, 255 = none. `share` of the track that was played, `played_s`, `length_s` of
    the track, `gap_s` from the start of the play to that of the next: float [N], NaN where unknown, and unknown where
    negative. None = unknown throughout; one of them is given.
    """
    if played_s is not None and length_s is not None:
        ratio = _ratio(played_s, length_s)
        share = ratio if share is None else np.where(np.isnan(share), ratio, share)
    sources = [(told, TOLD)] if told is not None else []
    sources += [(_coded(share, PLAYED_SHARES, TO_ITS_END), MEASURED)] if share is not None else []
    sources += [(_coded(played_s, SECONDS, MOSTLY), MEASURED)] if played_s is not None else []
    sources += [(_coded(gap_s, SECONDS[1:], MOSTLY), GUESSED)] if gap_s is not None else []
    strength = sources[0][0].copy()
    known = np.where(strength == UNKNOWN_STRENGTH, UNKNOWN, sources[0][1]).astype(np.uint8)
    for found, how in sources[1:]:
        new = (strength == UNKNOWN_STRENGTH) & (found != UNKNOWN_STRENGTH)
        strength[new], known[new] = found[new], how
    return strength, known


def lengths_seen(plays: Iterable[tuple[NDArray[np.int32], Floats]], num_tracks: int) -> Floats:
    """Return a length of each track from the plays of the log, float64 [T] seconds; NaN where they show none.

    `plays`: track codes and seconds played, block by block. The length is the longest time that two plays of the track
    share, up to SAME_LENGTH_S: whole plays end at the same second, while one that is longer than any other was paused
    or wound back. Times below 30 s show no length. Times count to the millisecond.
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


def _ratio(played_s: Floats, length_s: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(length_s > 0, played_s / length_s, np.nan)


def _coded(values: Floats, bounds: tuple[tuple[float, int], ...], last: int) -> NDArray[np.uint8]:
    """Return the code of the first bound above each value, `last` above all, 255 where it is NaN or negative."""
    codes = np.array([*(code for _, code in bounds), last], np.uint8)
    known = np.nan_to_num(values, nan=-1.0) >= 0
    place = np.searchsorted([bound for bound, _ in bounds], np.where(known, values, 0.0), side="right")
    return np.where(known, codes[place], np.uint8(UNKNOWN_STRENGTH))
