"""How adventurous a list of tracks is: one number that moves what the listener played before up or down."""

from __future__ import annotations

import math
from typing import Final

FARTHEST: Final = 2.0**20
"""More than any two scores differ, and so little that float64 still tells scores apart: it stands for infinity."""


def repeat_shift(discovery: float | None) -> float:
    """Return what is added to the score of tracks that the listener played before: log((1 - d) / d).

    A score is the log of an unnormalised probability, so this multiplies the odds of a new track against one that was
    played by d / (1 - d), and leaves the order within each kind alone. With d = .5, or None, the ranking is the
    model's. With 0 all tracks that were played come first, with 1 all others. More of a list is new the larger d is.

    >>> repeat_shift(None), repeat_shift(0.5), round(repeat_shift(0.25), 3), repeat_shift(1.0) == -FARTHEST
    (0.0, 0.0, 1.099, True)
    """
    if discovery is None:
        return 0.0
    if discovery in (0.0, 1.0):
        return FARTHEST if discovery == 0.0 else -FARTHEST
    return math.log1p(-discovery) - math.log(discovery)
