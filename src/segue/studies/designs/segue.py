"""What each part of the recipe `segue` brings, and how the whole stands beside the paper's recipes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from segue.studies.design import Arm, Compared, Design
from segue.studies.designs.shared import FEWER_RATES, arm

WHOLE: Final = "segue"
_SHARED_CANDIDATES: Final[Mapping[str, Any]] = {"data.vocabulary": "transductive"}
"""As the paper's recipes have it: arms that are compared rank the same tracks."""
_WITHOUT: Final[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    "no-feedback": ("without feedback as input", {"inputs.feedback": False}),
    "no-transitions": ("without transitions", {"heads.transitions": False}),
    "no-listen": ("without the head for P(listen)", {"heads.listen": False}),
    "no-features": ("without features of tracks", {"inputs.features": False}),
    "no-own-loss": ("the encoder without a loss of its own", {"heads.transitions.own_weight": 0.0}),
    "not-settled": ("gate and temperature as trained", {"heads.transitions.settle": False}),
    "uniform": (
        "1000 uniform negatives, logQ",
        {"next_track.kind": "shared", "next_track.negatives": 1000, "next_track.log_q": True},
    ),
    "paper-blocks": (
        "the paper's blocks",
        {"encoder.block_type": "post_norm", "encoder.ffn_width": 128},
    ),
    "ids-alone": ("without transitions and features", {"heads.transitions": False, "inputs.features": False}),
    "no-unknown": ("UNKNOWN never read in training", {"encoder.unknown_share": 0.0}),
}
"""The whole less one part."""
_PLAIN: Final[Mapping[str, Any]] = {"heads.transitions": False}
"""What the rules below are compared with: transitions know what followed right after a track, and nothing else."""
_IDS: Final[Mapping[str, Any]] = {**_PLAIN, "inputs.features": False}
"""What gBCE is compared with: features have no constant, and it moves all scores by one."""
_WITH: Final[Mapping[str, tuple[str, Mapping[str, Any], str]]] = {
    "listen-stop": ("P(listen) leaves the encoder alone", {"heads.listen.gradient": "stop"}, WHOLE),
    "gated": ("gated blocks, swiglu", {"encoder.block_type": "gated"}, WHOLE),
    **{
        f"with-{name.replace('_', '-')}": (
            f"with {name.replace('_', ' ')}",
            {"inputs.context": {"columns": [name]}},
            WHOLE,
        )
        for name in ("hour", "premium", "context_type", "shuffle")
    },
    "with-gap": ("with gap", {"inputs.context": {"columns": ["gap"]}}, WHOLE),
    "s-plus-track": (
        "with the skip term",
        {"terms": [{"kind": "skip_contrastive", "weight": 0.5, "context": "track"}]},
        WHOLE,
    ),
    "listened": ("listened targets alone", {"next_track.targets": "listened"}, WHOLE),
    "next-listened": ("next listened targets", {**_PLAIN, "next_track.targets": "next_listened"}, "no-transitions"),
    "avoid": ("skipped targets avoided", {**_PLAIN, "next_track.targets": "avoid_skipped"}, "no-transitions"),
    "light": ("skipped targets weigh a quarter", {**_PLAIN, "next_track.skipped_weight": 0.25}, "no-transitions"),
    "own-skips": ("own skips among the negatives", {**_PLAIN, "next_track.own_skips": True}, "no-transitions"),
    "gbce": (
        "gBCE, 1000 uniform negatives, ids alone",
        {**_IDS, "next_track.kind": "gbce", "next_track.negatives": 1000},
        "ids-alone",
    ),
    "full-softmax": ("the exact softmax over all tracks", {**_PLAIN, "next_track.kind": "full"}, "no-transitions"),
}
"""One thing more or otherwise, and the arm that it is compared with."""
_BASELINES: Final = ("popularity", "markov", "v-sknn")
_PAPER: Final[Mapping[str, Mapping[str, Any]]] = {
    "s-minus": {"training.learning_rate": 0.001},
    "s-plus-session": {"training.learning_rate": 0.001},
    "s-plus-track": {"training.learning_rate": 0.0005},
}
"""Paper's arms with what `studies/table1-simulated` chose for them on validation: without tuning they take it."""


def _made(name: str, title: str, changes: Mapping[str, Any]) -> Arm:
    return Arm(name, title, "segue", {**_SHARED_CANDIDATES, **changes}, None if name == WHOLE else WHOLE)


SEGUE: Final = Design(
    name="segue",
    title="What does each part of segue bring?",
    question=(
        "Is the recipe segue better than the paper's recipes and every baseline, and which of its parts does it owe "
        "that to?"
    ),
    arms=(
        *(arm("causal", term, changes) for term, changes in _PAPER.items()),
        _made(WHOLE, "segue", {}),
        *(_made(name, title, changes) for name, (title, changes) in _WITHOUT.items()),
        *(_made(name, title, changes) for name, (title, changes, _) in _WITH.items()),
    ),
    compared=(
        *(Compared(WHOLE, f"causal-{term}", "recipe", primary=True) for term in _PAPER),
        *(Compared(WHOLE, name, "baseline", primary=True) for name in _BASELINES),
        *(Compared(WHOLE, name, "part") for name in _WITHOUT),
        *(Compared(name, less, "option") for name, (_, _, less) in _WITH.items()),
    ),
    tuned=FEWER_RATES,
)
