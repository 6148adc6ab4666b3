"""The term on other encoders: the paper claims that it fits any. A control tells it from any other contrast."""

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

_CONTROL: Final = "random-negatives"
"""S+ track with as many draws from training popularity in the place of the skipped tracks, at the rate of S+ track."""


def _arm(encoder: str, term: str) -> Arm:
    return Arm(f"{encoder}-{term}", f"{encoder} {TERMS[term]}", f"{_PRESETS[encoder]}-{term}", FAST)


def _control(encoder: str) -> Arm:
    changes = {**FAST, "terms.0.variant": "random_negatives"}
    title = f"{encoder}, random negatives"
    preset = f"{_PRESETS[encoder]}-s-plus-track"
    return Arm(f"{encoder}-{_CONTROL}", title, preset, changes, f"{encoder}-s-plus-track")


ARCHITECTURES: Final = Design(
    name="architectures",
    title="Does the term fit any encoder?",
    question="What does the term bring to GRU4Rec, NextItNet and Caser, beside both transformers?",
    arms=tuple(arm for encoder in _PRESETS for arm in (*(_arm(encoder, term) for term in TERMS), _control(encoder))),
    compared=(
        *(
            Compared(f"{encoder}-{term}", f"{encoder}-s-minus", "skips")
            for encoder in _PRESETS
            for term in TERMS
            if term != "s-minus"
        ),
        *(Compared(f"{encoder}-{_CONTROL}", f"{encoder}-s-minus", "ablation") for encoder in _PRESETS),
        *(Compared(f"{encoder}-s-plus-track", f"{encoder}-{_CONTROL}", "term") for encoder in _PRESETS),
    ),
    tuned=FEWER_RATES,
)
