"""The term on other encoders: the paper claims that it fits any."""

from __future__ import annotations

from typing import Final

from segue.studies.design import Arm, Compared, Design
from segue.studies.designs.shared import FAST, FEWER_RATES, TERMS

_PRESETS: Final = {
    "causal": "paper-causal",
    "cloze": "paper-cloze",
    "gru4rec": "gru4rec",
    "nextitnet": "nextitnet",
    "caser": "caser",
}
"""Encoder to the beginning of its presets' names."""

ARCHITECTURES: Final = Design(
    name="architectures",
    title="Does the term fit any encoder?",
    question="What does the term bring to GRU4Rec, NextItNet and Caser, beside both transformers?",
    arms=tuple(
        Arm(f"{encoder}-{term}", f"{encoder} {title}", f"{preset}-{term}", FAST)
        for encoder, preset in _PRESETS.items()
        for term, title in TERMS.items()
    ),
    compared=tuple(
        Compared(f"{encoder}-{term}", f"{encoder}-s-minus", "skips")
        for encoder in _PRESETS
        for term in TERMS
        if term != "s-minus"
    ),
    tuned=FEWER_RATES,
)
