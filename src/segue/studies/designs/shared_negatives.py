"""One draw of negatives for a batch against one for each session, at the paper's rate and at a fifth of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from segue.studies.design import Compared, Design
from segue.studies.designs.shared import TERMS, variant

_KINDS: Final[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    "per-session": ("per session", {"next_track.kind": "per_session"}),
    "shared": ("shared", {}),
    "shared-slow": ("shared, rate .001", {"training.learning_rate": 0.001}),
}
"""The paper's negatives (learning rate .005), one draw for a batch, and the same with a fifth of the rate."""
_TERMS: Final = ("s-minus", "s-plus-track")

SHARED_NEGATIVES: Final = Design(
    name="shared-negatives",
    title="Shared negatives against negatives for each session",
    question="Do 1000 negatives drawn once for a batch reach what 1000 drawn for each session reach?",
    arms=tuple(
        variant(f"{kind}-{term}", f"{title}, {TERMS[term]}", term, changes)
        for kind, (title, changes) in _KINDS.items()
        for term in _TERMS
    ),
    compared=(
        *(Compared(f"{kind}-s-plus-track", f"{kind}-s-minus", "skips") for kind in _KINDS),
        *(Compared(f"{kind}-{term}", f"per-session-{term}", "softmax") for kind in list(_KINDS)[1:] for term in _TERMS),
    ),
)
