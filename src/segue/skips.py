"""The definition of 'skipped', and constants of the method that several packages share."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

VERY_BRIEFLY: Final = 3
BRIEFLY: Final = 2
MOSTLY: Final = 1
TO_ITS_END: Final = 0
UNKNOWN_STRENGTH: Final = 255
PLAYED_SHARES: Final = ((0.15, VERY_BRIEFLY), (0.5, BRIEFLY), (0.9, MOSTLY))
"""Played share below the bound -> strength; at or above the last: to its end. The bounds are ours."""
SKIP_AT_LEAST: Final = 2
"""Smallest strength that counts as a skip (method, section 1)."""

FEEDBACK_UNKNOWN: Final = 4
FEEDBACK_HIDDEN: Final = 5
"""`Batch.feedback`: strength 0..3, 4 unknown, 5 hidden (masked, padded, or to be predicted)."""
NUM_FEEDBACK: Final = 6
LISTENED: Final = "listened"
FEEDBACK_WORDS: Final[Mapping[str, int]] = {
    LISTENED: TO_ITS_END,
    "mostly": MOSTLY,
    "brief": BRIEFLY,
    "skip": VERY_BRIEFLY,
    "unknown": FEEDBACK_UNKNOWN,
}
"""Feedback code of each word that users give."""
STRENGTH_WORDS: Final[Mapping[int, str]] = {
    UNKNOWN_STRENGTH if code == FEEDBACK_UNKNOWN else code: word for word, code in FEEDBACK_WORDS.items()
}
"""Word of each strength, as stores and logs write it."""

RATE_PRIOR: Final = (2.5, 5.0)
"""Listens and plays added to a listen rate (method, section 5: (listens + 2.5) / (plays + 5))."""
BASELINES_TO_BEAT: Final = ("popularity", "markov", "ordered-neighbours")
"""A contrast of two models counts only if both beat these baselines (method, section 5)."""


def skipped(strength: Any, skip_at_least: int = SKIP_AT_LEAST) -> Any:
    """Return the boolean array of skipped events: strength in skip_at_least..3; unknown is not skipped.

    NumPy or torch. `Batch.feedback` works, too: codes above 3 are neither skipped nor listened.
    """
    return (strength >= skip_at_least) & (strength <= VERY_BRIEFLY)


def played_strength(share: float) -> int:
    """Return the strength of a track of which `share` was played; unknown for NaN, infinity and negative shares."""
    if not 0 <= share < math.inf:
        return UNKNOWN_STRENGTH
    return next((strength for bound, strength in PLAYED_SHARES if share < bound), TO_ITS_END)


def listened(strength: Any, skip_at_least: int = SKIP_AT_LEAST) -> Any:
    """Return the boolean array of listened events: strength in 0..skip_at_least - 1."""
    return strength < skip_at_least
