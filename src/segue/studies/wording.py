"""How answers and contrasts are put into words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

Record = Mapping[str, Any]
Answer = dict[str, Any]
"""`question`, `answer` in a few words, `why` in a sentence or two, `details` a sentence each."""
AMONG: Final = {
    "full": "among all tracks",
    "unheard": "among tracks new to the session",
    "sampled": "among 1000 sampled tracks",
}
"""What a target is ranked among, by protocol, in the order of every table."""
CUTOFFS: Final = (1, 5, 10, 20)
"""K of HR@K."""
HIT_RATES: Final = tuple(f"hr@{cutoff}" for cutoff in CUTOFFS)
OF_GROUPS: Final = (
    *("hr@10.repeat", "hr@10.discovery", "hr@10.replayed", "hr@10.new"),
    *("hr@1.next-listened", "hr@10.next-listened"),
)
"""Hit rates of groups of targets whose differences are reported."""
MEASURES: Final = (("full", "hr@20"), ("sampled", "hr@1"), ("sampled", "hr@10"))
"""Protocols and metrics of questions without a family of their own."""


VALIDATED: Final = "validation_"
"""Before the name of a metric: its value on validation targets for settings that were tried."""


def chosen_by(result: Record) -> str:
    """Return the validation metric that chose settings and epochs; in results without its name HR@10."""
    metric: str = result["settings"].get("chosen_by", "hr@10")
    return metric


def validated_among(result: Record) -> str:
    """Return the protocol of a study's validation; older results, which lack its name, ranked sampled tracks."""
    protocol: str = result["settings"].get("validated_among", "sampled")
    return protocol


def answered(question: str, answer: str, why: str, details: Sequence[str]) -> Answer:
    """Return one answer."""
    return {"question": question, "answer": answer, "why": why, "details": list(details)}


def contrast_sentence(result: Record, record: Record) -> str:
    """Return one contrast in words."""
    rank = record["metric"].startswith("log-rank")
    show = (lambda value: "-" if value is None else f"{value:+.3f}") if rank else points
    low, high, seed_low, seed_high = map(show, [*record["bootstrap_interval"], *record["t_interval"]])
    over_seeds = "" if record["t_interval"][0] is None else f", over seeds {seed_low} to {seed_high}"
    return (
        f"{label(result, record)}, {record['metric'].upper()} {AMONG[record['protocol']]}: "
        f"{show(record['difference'])}{'' if rank else ' points'} (over sessions {low} to {high}{over_seeds}): "
        f"{verdict_of(result, record)}{'' if record['counts'] else ', does not count'}"
    )


def verdict_of(result: Record, record: Record) -> str:
    """Return the direction of a contrast of log ranks, or the verdict of any other metric."""
    verdict = str(record["direction" if record["metric"].startswith("log-rank") else "verdict"])
    return "gain by regularisation" if verdict == "gain" and in_null(result) else verdict


def in_null(result: Record) -> bool:
    """Return whether the log was simulated in a world whose skips say nothing."""
    return bool(result["simulated"].get("world") == "null")


def label(result: Record, record: Record) -> str:
    """Return the two arms of a contrast."""
    return f"{title_of(result, record['arm'])} less {title_of(result, record['less'])}"


def title_of(result: Record, arm: str) -> str:
    """Return an arm's title; a baseline has its name."""
    record = result["arms"].get(arm)
    return arm if record is None else str(record["title"])


def points(share: float | None) -> str:
    """Return a share as signed percentage points."""
    return "-" if share is None or share != share else f"{100 * share:+.2f}"
