"""What the designs have in common: the paper's arms with negatives that are drawn fast, and what is tuned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from segue.studies.design import Arm

RATES: Final[Mapping[str, tuple[float, ...]]] = {"training.learning_rate": (0.0001, 0.0005, 0.001, 0.005)}
"""The paper's rates (Seshadri & Knees 2023, section 3.7)."""
FEWER_RATES: Final[Mapping[str, tuple[float, ...]]] = {"training.learning_rate": (0.0005, 0.001, 0.005)}
"""Of many arms: the lowest rate of the paper needs more epochs than its cap."""
FAST: Final[Mapping[str, Any]] = {"next_track.kind": "shared"}
"""One draw of 1000 negatives a batch in place of one a session: faster, not as good (`studies/shared-negatives`)."""
TERMS: Final[Mapping[str, str]] = {"s-minus": "S-", "s-plus-session": "S+ session", "s-plus-track": "S+ track"}
"""End of a preset's name to the column's title."""


def arm(encoder: str, term: str, changes: Mapping[str, Any] | None = None) -> Arm:
    """Return the arm of the paper's preset."""
    return Arm(f"{encoder}-{term}", f"{encoder} {TERMS[term]}", f"paper-{encoder}-{term}", {**FAST, **(changes or {})})


def variant(name: str, title: str, term: str, changes: Mapping[str, Any], tuned_as: str | None = None) -> Arm:
    """Return a causal arm with `changes`, under a name of its own."""
    return Arm(name, title, f"paper-causal-{term}", {**FAST, **changes}, tuned_as)
