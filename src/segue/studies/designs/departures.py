"""The paper's letter against our reading, one departure at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from segue.studies.design import Compared, Design
from segue.studies.designs.shared import FEWER_RATES, arm, variant

_PER_SESSION: Final = {"next_track.kind": "per_session"}
_LETTERS: Final[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    "letter-denominator": ("positive not in the denominator", {"terms.0.variant": "positive_not_in_denominator"}),
    "letter-anchors": ("skipped tracks are anchors too", {"terms.0.variant": "all_anchors"}),
    "letter-negatives": ("N keeps tracks also listened to", {"terms.0.variant": "listened_negatives"}),
    "letter-position": ("positions not shifted", {"encoder.position": "literal"}),
    "letter-padding": ("padding is attended to", {"encoder.position": "padded"}),
}
"""Our reading with one thing as the letter has it. A raw ratio of cosines takes logs of negative numbers: not run."""
OURS: Final = "causal-s-plus-track"
PER_SESSION: Final = "negatives-each-step"
"""S+ track with 1000 negatives a session, drawn anew each step: the paper's, where OURS shares 1000 a batch."""
PER_SESSION_WITHOUT: Final = "negatives-each-step-s-minus"

DEPARTURES: Final = Design(
    name="departures",
    title="The paper's letter against our reading",
    question="Does it matter where we depart from the paper's letter? (Causal S+ track, one departure undone a time)",
    arms=(
        arm("causal", "s-minus"),
        arm("causal", "s-plus-track"),
        *(variant(name, title, "s-plus-track", changes, OURS) for name, (title, changes) in _LETTERS.items()),
        variant(PER_SESSION, "negatives per session", "s-plus-track", _PER_SESSION),
        variant(PER_SESSION_WITHOUT, "negatives per session, S-", "s-minus", _PER_SESSION),
    ),
    compared=(
        Compared(OURS, "causal-s-minus", "skips"),
        Compared(PER_SESSION, PER_SESSION_WITHOUT, "skips"),
        *(Compared(name, OURS, "departure") for name in _LETTERS),
        Compared(PER_SESSION, OURS, "departure"),
        Compared(PER_SESSION_WITHOUT, "causal-s-minus", "departure"),
    ),
    tuned=FEWER_RATES,
)
