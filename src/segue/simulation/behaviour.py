"""Behaviour around a play: reasons for start and end, pauses, seeks. It is in the log only, not in a store.

Reasons for start and end follow the mini set's counts; pauses, seeks and context switches are invented.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from segue.simulation import calibration

DONE: Final = "trackdone"
START_AFTER: Final = {
    "trackdone": "trackdone",
    "fwdbtn": "fwdbtn",
    "backbtn": "backbtn",
    "endplay": "clickrow",
    "clickrow": "clickrow",
    "logout": "appload",
    "remote": "remote",
}
"""Start reason of the next play by the end reason of a play."""
CHOSEN: Final = ("clickrow", "appload", "playbtn")
"""Start reasons of plays that the listener chose."""
PAUSED: Final = (0.15, 0.5)
"""Invented: chance of a pause before a play that follows on, and before one that was chosen or begins a session."""
LONG: Final = 0.5
"""Invented: share of the pauses that are long."""
SWITCHED: Final = 0.4
"""Invented: chance that a chosen play comes from another playlist or album."""
SEEKS: Final = 0.05
"""Invented: mean seeks forward, and backward, of a play that was not skipped very briefly."""


def behave(
    strength: NDArray[np.uint8], first: NDArray[np.bool_], generator: np.random.Generator
) -> dict[str, NDArray[Any]]:
    """Return columns of the log by official name, [rows]; `first` marks the first row of each session.

    A play to its end, or of unknown strength, ends with trackdone, any other for another reason; the next row has the
    matching start reason. Exactly one of the three pause flags is set.
    """
    rows = len(strength)
    ended = np.where((strength == 0) | (strength > 3), DONE, _sample(_ends(), rows, generator))
    before = np.concatenate(([DONE], ended[:-1]))
    names = sorted(START_AFTER)
    following = np.array([START_AFTER[name] for name in names])[np.searchsorted(names, before)]
    started = np.where(first, _sample(_first_starts(), rows, generator), following)
    chosen = np.isin(started, CHOSEN)
    paused = generator.random(rows) < np.where(chosen | first, PAUSED[1], PAUSED[0])
    long = generator.random(rows) < LONG
    switched = chosen & (generator.random(rows) < SWITCHED)
    seeks = generator.poisson(SEEKS, (2, rows)) * (strength != 3)
    return {
        "context_switch": switched.astype(np.uint8),
        "no_pause_before_play": (~paused).astype(np.uint8),
        "short_pause_before_play": (paused & ~long).astype(np.uint8),
        "long_pause_before_play": (paused & long).astype(np.uint8),
        "hist_user_behavior_n_seekfwd": seeks[0].astype(np.uint8),
        "hist_user_behavior_n_seekback": seeks[1].astype(np.uint8),
        "hist_user_behavior_reason_start": started,
        "hist_user_behavior_reason_end": ended,
    }


def _ends() -> dict[str, float]:
    """Return the counts of end reasons of plays that stopped before the end."""
    return {name: float(count) for name, count in calibration.REASON_END_COUNTS.items() if name != DONE}


def _first_starts() -> dict[str, float]:
    """Return the counts of start reasons of sessions: the mini set's starts less those of plays within sessions."""
    left = {name: float(count) for name, count in calibration.REASON_START_COUNTS.items()}
    within = 1 - calibration.MINI_SESSIONS / sum(calibration.REASON_END_COUNTS.values())
    for name, count in calibration.REASON_END_COUNTS.items():
        left[START_AFTER[name]] -= count * within
    return {name: count for name, count in left.items() if count > 0}


def _sample(counts: dict[str, float], rows: int, generator: np.random.Generator) -> NDArray[Any]:
    share = np.array(list(counts.values()), dtype=np.float64)
    names: NDArray[Any] = np.array(list(counts))
    return names[generator.choice(len(share), rows, p=share / share.sum())]
