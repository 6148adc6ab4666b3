"""The studies that come with Segue, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from segue.studies.design import Arm, Compared, Design

RATES: Final = {"training.learning_rate": (0.0001, 0.0005, 0.001, 0.005)}
"""The paper's rates (Seshadri & Knees 2023, section 4.2)."""
_FAST: Final = {"next_track.kind": "shared"}
"""One draw of 1000 negatives a batch in place of one a session (`studies/shared-negatives`: level at rate .001)."""
_TERMS: Final = (("s-minus", "S-"), ("s-plus-session", "S+ session"), ("s-plus-track", "S+ track"))


def _paper(encoder: str, term: str, title: str, changes: Mapping[str, Any] | None = None) -> Arm:
    return Arm(f"{encoder}-{term}", f"{encoder} {title}", f"paper-{encoder}-{term}", _FAST | dict(changes or {}))


_TABLE_1: Final = Design(
    name="table1",
    title="Table 1: do skips help?",
    question=(
        "Does the skip-informed contrastive term of Seshadri & Knees (2023) improve next-track ranking over the same "
        "encoder without it, for a causal and a cloze encoder, with the session's state or the track as its context?"
    ),
    arms=tuple(_paper(encoder, term, title) for encoder in ("causal", "cloze") for term, title in _TERMS),
    compared=(
        *(
            Compared(f"{encoder}-{term}", f"{encoder}-s-minus", "skips", primary=True)
            for encoder in ("causal", "cloze")
            for term, _ in _TERMS[1:]
        ),
        *(
            Compared(f"{encoder}-s-plus-track", f"{encoder}-s-plus-session", "context")
            for encoder in ("causal", "cloze")
        ),
        *(Compared(f"causal-{term}", f"cloze-{term}", "encoder") for term, _ in _TERMS),
    ),
    tuned=RATES,
)

DESIGNS: Final[Mapping[str, Design]] = {design.name: design for design in (_TABLE_1,)}
"""`--recipe` to the study."""
