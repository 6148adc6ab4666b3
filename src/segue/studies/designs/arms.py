"""Arms of the paper's presets, and what is tuned in them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from segue.studies.design import Arm, Compared

RATES: Final[Mapping[str, tuple[float, ...]]] = {"training.learning_rate": (0.0001, 0.0005, 0.001, 0.005)}
"""The paper's rates (Seshadri & Knees 2023, section 3.7)."""
FEWER_RATES: Final[Mapping[str, tuple[float, ...]]] = {"training.learning_rate": (0.0005, 0.001, 0.005)}
"""Rates of studies with many arms: the lowest rate of the paper needs more epochs than its cap."""
FAST: Final[Mapping[str, Any]] = {"next_track.kind": "shared"}
"""One draw of 1000 negatives a batch in place of one a session: faster, not as good (`studies/shared-negatives`)."""
MINUS, SESSION, TRACK = "s-minus", "s-plus-session", "s-plus-track"
TERMS: Final[Mapping[str, str]] = {MINUS: "S-", SESSION: "S+ session", TRACK: "S+ track"}
"""End of a preset's name to the column's title."""
PAIR: Final = (MINUS, TRACK)
Variants = Mapping[str, tuple[str, Mapping[str, Any]]]
"""Name to title and changes."""


def arm(encoder: str, term: str, changes: Mapping[str, Any] | None = None, preset: str = "") -> Arm:
    """Return the arm of a preset whose name begins with `preset`, by default the paper's."""
    name = f"{preset or f'paper-{encoder}'}-{term}"
    return Arm(f"{encoder}-{term}", f"{encoder} {TERMS[term]}", name, {**FAST, **(changes or {})})


def variants(changed: Variants, recipe: str, tuned_as: str | None = None) -> list[Arm]:
    """Return an arm of `recipe` for each of `changed`, under its own name."""
    return [Arm(name, title, recipe, {**FAST, **changes}, tuned_as) for name, (title, changes) in changed.items()]


def pairs(changed: Variants, preset: str = "paper-causal") -> list[Arm]:
    """Return S- and S+ track of each of `changed`."""
    return [
        Arm(f"{name}-{term}", f"{title}, {TERMS[term]}", f"{preset}-{term}", {**FAST, **changes})
        for name, (title, changes) in changed.items()
        for term in PAIR
    ]


def skip_pairs(names: Collection[str], terms: Collection[str] = (TRACK,), *, primary: bool = False) -> list[Compared]:
    """Return the comparisons of S+ with S- under the same name."""
    return [Compared(f"{name}-{term}", f"{name}-{MINUS}", "skips", primary) for name in names for term in terms]
