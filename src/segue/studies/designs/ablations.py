"""Where a gain comes from: the session's own skips, any extra contrast, or a softmax that was starved of negatives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from segue.studies.design import Arm, Compared, Design
from segue.studies.designs.shared import FEWER_RATES, arm, variant

TERM: Final = "causal-s-plus-track"
WITHOUT: Final = "causal-s-minus"
CONTROL: Final = "cross-session-control"
_CHANGED: Final[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    "cross-session": ("skips of another session", {"terms.0.variant": "cross_session"}),
    CONTROL: ("S+ track on the anchors of cross-session", {"terms.0.variant": "cross_session_anchors"}),
    "random-negatives": ("random negatives", {"terms.0.variant": "random_negatives"}),
    "inverted": ("listened and skipped swapped", {"terms.0.variant": "inverted"}),
    "align-only": ("alignment alone", {"terms.0.variant": "align_only"}),
    "random-positive": ("random positive", {"terms.0.variant": "random_positive"}),
    "all-anchors": ("skipped anchors too", {"terms.0.variant": "all_anchors"}),
    "no-positive-below": ("positive not in the denominator", {"terms.0.variant": "positive_not_in_denominator"}),
    "temperature-05": ("temperature .05", {"terms.0.temperature": 0.05}),
    "temperature-20": ("temperature .2", {"terms.0.temperature": 0.2}),
    "temperature-50": ("temperature .5", {"terms.0.temperature": 0.5}),
}
"""The term with one thing changed; temperature .1 is the term itself."""
_SOFTMAX: Final[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    "uniform-8192": ("8192 uniform", {"next_track.negatives": 8192}),
    "uniform-logq": ("1000 uniform, logQ", {"next_track.log_q": True}),
    "mixed-logq": (
        "mixed, logQ",
        {"next_track.kind": "mixed", "next_track.uniform": 4096, "next_track.batch": 4096, "next_track.log_q": True},
    ),
}
"""Other negatives of the next-track softmax, without and with the term; 1000 uniform are the first two arms."""


def _both(name: str) -> tuple[Arm, Arm]:
    title, changes = _SOFTMAX[name]
    return (
        variant(f"{name}-s-minus", f"{title}, S-", "s-minus", changes),
        variant(f"{name}-s-plus-track", f"{title}, S+ track", "s-plus-track", changes),
    )


ABLATIONS: Final = Design(
    name="ablations",
    title="Where does the gain come from?",
    question=(
        "Is what the term brings learnt from the session's own skips, or would any extra contrast bring it, or is it "
        "that uniform negatives starve the softmax?"
    ),
    arms=(
        arm("causal", "s-minus"),
        arm("causal", "s-plus-track"),
        *(variant(name, title, "s-plus-track", changes, TERM) for name, (title, changes) in _CHANGED.items()),
        *(one for name in _SOFTMAX for one in _both(name)),
    ),
    compared=(
        Compared(TERM, WITHOUT, "skips"),
        *(Compared(f"{name}-s-plus-track", f"{name}-s-minus", "skips") for name in _SOFTMAX),
        *(Compared(name, WITHOUT, "ablation") for name in _CHANGED),
        *(Compared(TERM, name, "term") for name in _CHANGED if name != "cross-session"),
        Compared(CONTROL, "cross-session", "term"),
        *(Compared(f"{name}-s-minus", WITHOUT, "softmax") for name in _SOFTMAX),
    ),
    tuned=FEWER_RATES,
)
