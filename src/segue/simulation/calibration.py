"""Figures of the Music Streaming Sessions Dataset that the simulator is fitted to. Counts only, no row of the data.

Source: aggregates over the public MSSD training set (124,950,714 sessions, 2,072,002,577 rows, 3,604,454 tracks;
Brost, Mehrotra & Jehan 2019), over its mini set (10,000 sessions) for context types and premium, and over 1,381 rows
of 180 sessions for the nested skip rates.
"""

from __future__ import annotations

from typing import Final

SESSION_LENGTH_COUNTS: Final = {
    10: 11025730,
    11: 9611839,
    12: 8407692,
    13: 7344162,
    14: 6460309,
    15: 5664259,
    16: 4994670,
    17: 4400713,
    18: 3917839,
    19: 3477536,
    20: 59645965,
}
NUM_TRACKS: Final = 3_604_454
PLAYS_COVERED_BY_TOP: Final = (
    (0.05, 30),
    (0.1, 92),
    (0.25, 580),
    (0.5, 4457),
    (0.75, 30583),
    (0.9, 154166),
    (0.95, 345667),
    (0.99, 1160655),
)
"""(share of plays, number of top tracks that cover it)."""
CONTEXT_TYPE_COUNTS: Final = {
    "editorial_playlist": 35663,
    "radio": 21107,
    "user_collection": 67430,
    "catalog": 38263,
    "charts": 2441,
    "personalized_playlist": 2976,
}
PREMIUM_SHARE: Final = 136053 / 167880
SKIP_2_RATE: Final = 0.517
"""Share of plays skipped briefly or very briefly (mini set)."""
SKIP_1_OF_SKIP_2: Final = 0.359 / 0.479
"""Share of those that were skipped very briefly (small sample)."""
MOSTLY_OF_LISTENED: Final = (0.628 - 0.479) / (1 - 0.479)
"""Share of plays not skipped that stopped short of the end (small sample)."""
UNKNOWN_OF_LISTENED: Final = (1 - 0.628 - 0.353) / (1 - 0.479)
"""Share of plays not skipped with none of the four flags (small sample: about 2 % of all)."""
