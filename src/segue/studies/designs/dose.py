"""How much skip, how early a skip, how long a session."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from segue.studies.design import Compared, Design
from segue.studies.designs.shared import FEWER_RATES, TERMS, variant

_DOSES: Final[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    "all-skips": ("all skips", {}),
    "share-15": ("skip share .15", {"data.skip_share": 0.15}),
    "share-30": ("skip share .3", {"data.skip_share": 0.3}),
    "share-50": ("skip share .5", {"data.skip_share": 0.5}),
    "at-least-1": ("a skip is strength 1 to 3", {"data.skip_at_least": 1}),
    "at-least-3": ("a skip is strength 3", {"data.skip_at_least": 3}),
    "length-5": ("5 tracks at most", {"data.max_len": 5}),
    "length-10": ("10 tracks at most", {"data.max_len": 10}),
}
"""The first is as the other studies have it: every skip, strength 2 and 3, 20 tracks."""
_PAIR: Final = ("s-minus", "s-plus-track")

DOSE: Final = Design(
    name="dose",
    title="How much skip does it take?",
    question=(
        "Does the gain of the term grow with the share of skips (.15 is that of the paper's sample), with how early a "
        "skip must come, and with the length of what is read?"
    ),
    arms=tuple(
        variant(f"{name}-{term}", f"{title}, {TERMS[term]}", term, changes)
        for name, (title, changes) in _DOSES.items()
        for term in _PAIR
    ),
    compared=tuple(Compared(f"{name}-s-plus-track", f"{name}-s-minus", "skips") for name in _DOSES),
    tuned=FEWER_RATES,
)
