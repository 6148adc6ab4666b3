"""The cloze encoder's share of masked tracks: the paper suspects its set-up."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from segue.studies.design import Arm, Compared, Design
from segue.studies.designs.shared import FEWER_RATES, TERMS, arm

_SHARES: Final = (0.1, 0.2, 0.4, 0.6)
_PAIR: Final = ("s-minus", "s-plus-track")


def _name(share: float, term: str) -> str:
    return f"mask-{round(100 * share)}-{term}"


def _arm(share: float, term: str) -> Arm:
    made = arm("cloze", term, {"encoder.mask_share": share})
    return replace(made, name=_name(share, term), title=f"cloze p {share}, {TERMS[term]}")


CLOZE_SETUP: Final = Design(
    name="cloze-setup",
    title="Was the cloze encoder set up well?",
    question="How does the cloze encoder fare with other shares of masked tracks, trained until it converges?",
    arms=tuple(_arm(share, term) for share in _SHARES for term in _PAIR),
    compared=(
        *(Compared(_name(share, "s-plus-track"), _name(share, "s-minus"), "skips") for share in _SHARES),
        *(Compared(_name(share, term), _name(0.2, term), "mask share") for share in (0.1, 0.4, 0.6) for term in _PAIR),
    ),
    tuned=FEWER_RATES,
)
