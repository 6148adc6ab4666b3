"""Studies of the paper's term: its Table 1, where a gain comes from, the dose, the set-up, and other encoders."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from segue.studies.design import Arm, Compared, Design

RATES: Final[Mapping[str, tuple[float, ...]]] = {"training.learning_rate": (0.0001, 0.0005, 0.001, 0.005)}
"""The paper's rates (Seshadri & Knees 2023, section 3.7)."""
FEWER_RATES: Final[Mapping[str, tuple[float, ...]]] = {"training.learning_rate": (0.0005, 0.001, 0.005)}
"""Rates of studies with many arms: the lowest rate of the paper needs more epochs than its cap."""
FAST: Final[Mapping[str, Any]] = {"next_track.kind": "shared"}
"""One draw of 1000 negatives a batch in place of one a session: faster, not as good (`studies/shared-negatives`)."""
MINUS, SESSION, TRACK = "s-minus", "s-plus-session", "s-plus-track"
TERMS: Final[Mapping[str, str]] = {MINUS: "S-", SESSION: "S+ session", TRACK: "S+ track"}
"""End of a preset's name to the column's title."""
PAIR: Final = (MINUS, TRACK)
Variants = Mapping[str, tuple[str, Mapping[str, Any]]]
"""Name to title and changes."""


def arm(encoder: str, term: str, changes: Mapping[str, Any] | None = None, preset: str = "") -> Arm:
    """Return the arm of a preset whose name begins with `preset`, by default the paper's."""
    name = f"{preset or f'paper-{encoder}'}-{term}"
    return Arm(f"{encoder}-{term}", f"{encoder} {TERMS[term]}", name, {**FAST, **(changes or {})})


def variants(changed: Variants, recipe: str, tuned_as: str | None = None) -> list[Arm]:
    """Return an arm of `recipe` for each of `changed`, under its own name."""
    return [Arm(name, title, recipe, {**FAST, **changes}, tuned_as) for name, (title, changes) in changed.items()]


def pairs(changed: Variants, preset: str = "paper-causal") -> list[Arm]:
    """Return S- and S+ track of each of `changed`."""
    return [
        Arm(f"{name}-{term}", f"{title}, {TERMS[term]}", f"{preset}-{term}", {**FAST, **changes})
        for name, (title, changes) in changed.items()
        for term in PAIR
    ]


def skip_pairs(names: Collection[str], terms: Collection[str] = (TRACK,), *, primary: bool = False) -> list[Compared]:
    """Return the comparisons of S+ with S- under the same name."""
    return [Compared(f"{name}-{term}", f"{name}-{MINUS}", "skips", primary) for name in names for term in terms]


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
        *skip_pairs(_ENCODERS, (SESSION, TRACK), primary=True),
        *(Compared(f"{encoder}-{TRACK}", f"{encoder}-{SESSION}", "context") for encoder in _ENCODERS),
        *(Compared(f"causal-{term}", f"cloze-{term}", "encoder") for term in TERMS),
    ),
    tuned=RATES,
)

_WITHOUT, _TERM, _S_PLUS = f"causal-{MINUS}", f"causal-{TRACK}", f"paper-causal-{TRACK}"
_CONTROL: Final = "cross-session-control"
_CHANGED: Final[Variants] = {
    "cross-session": ("skips of another session", {"terms.0.ablation": "cross_session"}),
    _CONTROL: ("S+ track on the anchors of cross-session", {"terms.0.anchors_of": "cross_session"}),
    "random-negatives": ("random negatives", {"terms.0.ablation": "random_negatives"}),
    "inverted": ("listened and skipped swapped", {"terms.0.ablation": "inverted"}),
    "align-only": ("alignment alone", {"terms.0.ablation": "align_only"}),
    "random-positive": ("random positive", {"terms.0.ablation": "random_positive"}),
    "all-anchors": ("skipped anchors too", {"terms.0.ablation": "all_anchors"}),
    "no-positive-below": ("positive not in the denominator", {"terms.0.ablation": "positive_not_in_denominator"}),
    "temperature-05": ("temperature .05", {"terms.0.temperature": 0.05}),
    "temperature-20": ("temperature .2", {"terms.0.temperature": 0.2}),
    "temperature-50": ("temperature .5", {"terms.0.temperature": 0.5}),
}
"""The term with one thing changed; temperature .1 is the term itself."""
_SOFTMAX: Final[Variants] = {
    "uniform-8192": ("8192 uniform", {"next_track.negatives": 8192}),
    "uniform-logq": ("1000 uniform, logQ", {"next_track.log_q": True}),
    "mixed-logq": (
        "mixed, logQ",
        {"next_track.kind": "mixed", "next_track.uniform": 4096, "next_track.batch": 4096, "next_track.log_q": True},
    ),
}
"""Other negatives of the next-track softmax, without and with the term; 1000 uniform are the first two arms."""
ABLATIONS: Final = Design(
    name="ablations",
    title="Where does the gain come from?",
    question=(
        "Is what the term brings learnt from the session's own skips, or would any extra contrast bring it, or is it "
        "that uniform negatives starve the softmax?"
    ),
    arms=(arm("causal", MINUS), arm("causal", TRACK), *variants(_CHANGED, _S_PLUS, _TERM), *pairs(_SOFTMAX)),
    compared=(
        *skip_pairs(["causal", *_SOFTMAX]),
        *(Compared(name, _WITHOUT, "ablation") for name in _CHANGED),
        *(Compared(_TERM, name, "term") for name in _CHANGED if name != "cross-session"),
        Compared(_CONTROL, "cross-session", "term"),
        *(Compared(f"{name}-{MINUS}", _WITHOUT, "softmax") for name in _SOFTMAX),
    ),
    tuned=FEWER_RATES,
)

_DOSES: Final[Variants] = {
    "all-skips": ("all skips", {}),
    "share-15": ("skip share .15", {"data.skip_share": 0.15}),
    "share-30": ("skip share .3", {"data.skip_share": 0.3}),
    "share-50": ("skip share .5", {"data.skip_share": 0.5}),
    "at-least-1": ("a skip is strength 1 to 3", {"data.skip_at_least": 1}),
    "at-least-3": ("a skip is strength 3", {"data.skip_at_least": 3}),
    "length-5": ("5 tracks at most", {"data.max_len": 5}),
    "length-10": ("10 tracks at most", {"data.max_len": 10}),
}
"""The first is that of the other studies: every skip, strength 2 and 3, 20 tracks."""
DOSE: Final = Design(
    name="dose",
    title="How much skip does it take?",
    question=(
        "Does the gain of the term grow with the share of skips (.15 is that of the paper's sample), with how early a "
        "skip must come, and with the length of what is read?"
    ),
    arms=tuple(pairs(_DOSES)),
    compared=tuple(skip_pairs(_DOSES)),
    tuned=FEWER_RATES,
)

_SHARES: Final[Variants] = {
    f"mask-{round(100 * share)}": (f"cloze p {share}", {"encoder.mask_share": share}) for share in (0.1, 0.2, 0.4, 0.6)
}
"""Shares of masked tracks; the paper's is .2, and the paper suspects its set-up of the cloze encoder."""
CLOZE_SETUP: Final = Design(
    name="cloze-setup",
    title="Was the cloze encoder set up well?",
    question="How does the cloze encoder fare with other shares of masked tracks, trained until it converges?",
    arms=tuple(pairs(_SHARES, "paper-cloze")),
    compared=(
        *skip_pairs(_SHARES),
        *(
            Compared(f"{name}-{term}", f"mask-20-{term}", "mask share")
            for name in _SHARES
            for term in PAIR
            if name != "mask-20"
        ),
    ),
    tuned=FEWER_RATES,
)

_LETTERS: Final[Variants] = {
    "letter-denominator": ("positive not in the denominator", {"terms.0.positive_in_denominator": False}),
    "letter-anchors": ("skipped tracks are anchors too", {"terms.0.anchors": "all"}),
    "letter-negatives": ("N keeps tracks also listened to", {"terms.0.listened_negatives": True}),
    "letter-position": ("positions not shifted", {"encoder.position": "literal"}),
    "letter-padding": ("padding is attended to", {"encoder.padding": "visible"}),
}
"""Our reading with one part as in the paper's letter. Its raw ratio of cosines takes logs of negatives: not run."""
_EACH: Final = "negatives-each-step"
"""S+ track with 1000 negatives a session, drawn anew each step: the paper's, where ours shares 1000 a batch."""
_PER_SESSION: Final = {"next_track.kind": "per_session"}
DEPARTURES: Final = Design(
    name="departures",
    title="The paper's letter against our reading",
    question="Does it matter where we depart from the paper's letter? (Causal S+ track, one departure undone a time)",
    arms=(
        arm("causal", MINUS),
        arm("causal", TRACK),
        *variants(_LETTERS, _S_PLUS, _TERM),
        *variants({_EACH: ("negatives per session", _PER_SESSION)}, _S_PLUS),
        *variants({f"{_EACH}-{MINUS}": ("negatives per session, S-", _PER_SESSION)}, "paper-causal-s-minus"),
    ),
    compared=(
        *skip_pairs(["causal"]),
        Compared(_EACH, f"{_EACH}-{MINUS}", "skips"),
        *(Compared(name, _TERM, "departure") for name in (*_LETTERS, _EACH)),
        Compared(f"{_EACH}-{MINUS}", _WITHOUT, "departure"),
    ),
    tuned=FEWER_RATES,
)

_PRESETS: Final = {
    "causal": "paper-causal", "cloze": "paper-cloze", "gru4rec": "gru4rec", "nextitnet": "nextitnet", "caser": "caser",
}  # fmt: skip
"""Encoder to the beginning of its presets' names."""
_RANDOM: Final = "random-negatives"
"""S+ track with as many draws from training popularity in the place of the skipped tracks, at the rate of S+ track."""


def _arms_of(encoder: str, preset: str) -> list[Arm]:
    changed = {f"{encoder}-{_RANDOM}": (f"{encoder}, random negatives", {"terms.0.ablation": "random_negatives"})}
    controls = variants(changed, f"{preset}-{TRACK}", f"{encoder}-{TRACK}")
    return [*(arm(encoder, term, preset=preset) for term in TERMS), *controls]


ARCHITECTURES: Final = Design(
    name="architectures",
    title="Does the term fit any encoder?",
    question="What does the term bring to GRU4Rec, NextItNet and Caser, beside both transformers?",
    arms=tuple(one for encoder, preset in _PRESETS.items() for one in _arms_of(encoder, preset)),
    compared=(
        *skip_pairs(_PRESETS, (SESSION, TRACK)),
        *(Compared(f"{encoder}-{_RANDOM}", f"{encoder}-{MINUS}", "ablation") for encoder in _PRESETS),
        *(Compared(f"{encoder}-{TRACK}", f"{encoder}-{_RANDOM}", "term") for encoder in _PRESETS),
    ),
    tuned=FEWER_RATES,
)

_KINDS: Final[Variants] = {
    "per-session": ("per session", {"next_track.kind": "per_session"}),
    "shared": ("shared", {}),
    "shared-slow": ("shared, rate .001", {"training.learning_rate": 0.001}),
}
"""The paper's negatives (learning rate .005), one draw for a batch, and the same with a fifth of the rate."""
SHARED_NEGATIVES: Final = Design(
    name="shared-negatives",
    title="Shared negatives against negatives for each session",
    question="Do 1000 negatives drawn once for a batch reach what 1000 drawn for each session reach?",
    arms=tuple(pairs(_KINDS)),
    compared=(
        *skip_pairs(_KINDS),
        *(Compared(f"{kind}-{term}", f"per-session-{term}", "softmax") for kind in list(_KINDS)[1:] for term in PAIR),
    ),
)

PAPER_STUDIES: Final = (TABLE_1, ABLATIONS, DOSE, CLOZE_SETUP, DEPARTURES, ARCHITECTURES, SHARED_NEGATIVES)
