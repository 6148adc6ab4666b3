"""A share that was played means the same in a log and over the wire."""

from __future__ import annotations

import math

import numpy as np

from segue.data.strengths import strengths
from segue.skips import UNKNOWN_STRENGTH, played_strength

SHARES = (-1.0, 0.0, 0.1499, 0.15, 0.3, 0.5, 0.51, 0.8999, 0.9, 1.0, 7.0, math.nan)


def test_one_by_one_and_a_whole_log_agree() -> None:
    nothing = np.full(len(SHARES), np.nan)
    stated = np.full(len(SHARES), UNKNOWN_STRENGTH, np.uint8)
    strength, _ = strengths(stated, np.array(SHARES), nothing, nothing, nothing)
    assert [played_strength(share) for share in SHARES] == strength.tolist()
    assert [played_strength(share) for share in (0.0, 0.2, 0.6, 0.95)] == [3, 2, 1, 0]
    assert played_strength(math.inf) == UNKNOWN_STRENGTH
