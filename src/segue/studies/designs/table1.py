"""The paper's Table 1: six columns."""

from __future__ import annotations

from typing import Final

from segue.studies.design import Compared, Design
from segue.studies.designs.shared import RATES, TERMS, arm

_ENCODERS: Final = ("causal", "cloze")

TABLE_1: Final = Design(
    name="table1",
    title="Table 1: do skips help?",
    question=(
        "Does the skip-informed contrastive term of Seshadri & Knees (2023) improve next-track ranking over the same "
        "encoder without it, for a causal and a cloze encoder, with the session's state or the track as its context?"
    ),
    arms=tuple(arm(encoder, term) for encoder in _ENCODERS for term in TERMS),
    compared=(
        *(
            Compared(f"{encoder}-{term}", f"{encoder}-s-minus", "skips", primary=True)
            for encoder in _ENCODERS
            for term in TERMS
            if term != "s-minus"
        ),
        *(Compared(f"{encoder}-s-plus-track", f"{encoder}-s-plus-session", "context") for encoder in _ENCODERS),
        *(Compared(f"causal-{term}", f"cloze-{term}", "encoder") for term in TERMS),
    ),
    tuned=RATES,
)
