"""Figures of the Music Streaming Sessions Dataset to which the simulator is fitted: counts only, no rows.

Source: aggregates over the public MSSD training set (124,950,714 sessions, 2,072,002,577 rows, 3,604,454 tracks;
Brost, Mehrotra & Jehan 2019), over its mini set (10,000 sessions) for context types and premium, and over 1,381 rows
of 180 sessions for the nested skip rates.
"""

from __future__ import annotations

from typing import Final

# fmt: off
SESSION_LENGTH_COUNTS: Final = {
    10: 11025730, 11: 9611839, 12: 8407692, 13: 7344162, 14: 6460309, 15: 5664259,
    16: 4994670, 17: 4400713, 18: 3917839, 19: 3477536, 20: 59645965,
}
NUM_TRACKS: Final = 3_604_454
NUM_PLAYS: Final = 2_072_002_577
PLAYS_COVERED_BY_TOP: Final = (
    (0.05, 30), (0.1, 92), (0.25, 580), (0.5, 4457), (0.75, 30583), (0.9, 154166), (0.95, 345667), (0.99, 1160655),
)
"""(share of plays, number of top tracks that cover it)."""
CONTEXT_TYPE_COUNTS: Final = {
    "editorial_playlist": 35663, "radio": 21107, "user_collection": 67430,
    "catalog": 38263, "charts": 2441, "personalized_playlist": 2976,
}
PREMIUM_SHARE: Final = 136053 / 167880
SKIP_2_RATE: Final = 0.517
"""Share of plays skipped briefly or very briefly (mini set)."""
SKIP_1_OF_SKIP_2: Final = 0.359 / 0.479
"""Share of those that were skipped very briefly (small sample)."""
MOSTLY_OF_LISTENED: Final = (0.628 - 0.479) / (1 - 0.479)
"""Share of plays not skipped that stopped before the end (small sample)."""
UNKNOWN_OF_LISTENED: Final = (1 - 0.628 - 0.353) / (1 - 0.479)
"""Share of plays not skipped with none of the four flags (small sample: about 2 % of all)."""
TRACKS_BY_SKIP_PERCENT: Final = (
    355045, 18, 42, 136, 262, 659, 713, 1145, 1187, 1677, 2793, 4050, 5953, 1542, 10018, 3077, 17794, 2106, 5978,
    1708, 33618, 5731, 11633, 8532, 3065, 66684, 9791, 14391, 29459, 10151, 26606, 16244, 12142, 145366, 17581, 29480,
    35772, 48294, 40341, 27298, 100999, 51236, 78391, 46884, 67113, 65859, 64904, 61321, 55516, 33849, 357429, 51755,
    64699, 64144, 60798, 68735, 50526, 78195, 51786, 31075, 99130, 40543, 49625, 35333, 29789, 22463, 147946, 12363,
    19416, 15542, 24042, 29535, 16109, 10279, 3671, 67182, 9343, 11688, 5771, 1645, 34441, 6052, 2082, 17565, 2659,
    10406, 1314, 5766, 4079, 335, 3493, 912, 985, 481, 275, 115, 31, 10, 1, 0, 348741,
)
"""Tracks of all 3,604,454 by floor(100 skipped plays / plays), 0..100, however few plays a track has."""
TRACKS_WITH_N_PLAYS: Final = (422255, 284757, 214848, 171547, 143342, 121253, 105053, 91725, 81555, 73246)
"""Tracks with 1, 2, ... 10 plays."""
PLAYS_PER_TRACK_QUANTILES: Final = (
    (0.5, 12), (0.55, 15), (0.6, 20), (0.65, 27), (0.7, 38), (0.75, 54), (0.8, 83), (0.85, 141), (0.9, 282),
    (0.925, 441), (0.95, 792), (0.97, 1557), (0.98, 2634), (0.985, 3785), (0.99, 6244), (0.9925, 8874),
    (0.995, 14295), (0.997, 25659), (0.998, 39581), (0.9985, 52161), (0.999, 77756), (0.9995, 142640),
    (0.9997, 227568), (0.9999, 519559), (0.99995, 859211), (0.99999, 1983373), (0.999999, 4656009), (1, 7857731),
)
"""(share of tracks, largest number of plays among them), above 10 plays."""
TRACK_SKIP_RATE_MASS: Final = (
    0.00000, 0.00182, 0.00000, 0.00167, 0.00000, 0.00441, 0.00808, 0.06663, 0.17498, 0.24318, 0.24096, 0.16968, 0.06291,
    0.01629, 0.00489, 0.00000, 0.00328, 0.00000, 0.00122, 0.00000,
)
"""Share of the tracks with 100 plays or more by their true skip rate, in steps of .05: mean .501, SD .08.

`TRACKS_BY_SKIP_PERCENT` mixes true rates with the noise of few plays (half of the tracks have 12 or fewer). Given the
plays it is a mixture of binomials: expectation maximisation (1000 steps, rates in steps of .01, one distribution for
tracks below 100 plays, one for the others) fits all but 1 % of its mass. This is the second distribution;
`tests/reference/test_simulation.py` repeats the fit.
"""
MINI_SESSIONS: Final = 10_000
REASON_START_COUNTS: Final = {
    "trackdone": 55075, "fwdbtn": 79912, "backbtn": 13034, "appload": 1942, "trackerror": 92,
    "clickrow": 17514, "playbtn": 155, "remote": 136, "endplay": 20,
}
"""Mini set."""
REASON_END_COUNTS: Final = {
    "trackdone": 57701, "fwdbtn": 81389, "backbtn": 13129, "endplay": 14823, "clickrow": 8,
    "logout": 563, "remote": 267,
}
"""Mini set. All but trackdone are .656 of the rows: the share that stopped before the end (`skip_3`)."""
# fmt: on
