"""How answers and contrasts are put into words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

Record = Mapping[str, Any]
Answer = dict[str, Any]
"""`question`, `answer` in a few words, `why` in a sentence or two, `details` a sentence each."""
AMONG: Final = {"sampled": "among 1000 sampled tracks", "full": "among all tracks"}
MEASURES: Final = (("sampled", "hr@1"), ("sampled", "hr@10"), ("full", "hr@20"))
"""What questions without a family of their own are asked of."""


def answered(question: str, answer: str, why: str, details: Sequence[str]) -> Answer:
    """Return one answer."""
    return {"question": question, "answer": answer, "why": why, "details": list(details)}


def contrast_sentence(result: Record, record: Record) -> str:
    """Return one contrast in words."""
    rank = record["metric"].startswith("log-rank")
    low, high = (_show(bound, rank) for bound in record["bootstrap_interval"])
    seeds = [_show(bound, rank) for bound in record["t_interval"]]
    unit = "" if rank else " points"
    over_seeds = "" if record["t_interval"][0] is None else f", over seeds {seeds[0]} to {seeds[1]}"
    counts = "" if record["counts"] else ", does not count"
    verdict = record["direction" if rank else "verdict"]
    verdict = "gain by regularisation" if verdict == "gain" and in_null(result) else verdict
    return (
        f"{title_of(result, record['arm'])} less {title_of(result, record['less'])}, {record['metric'].upper()} "
        f"{AMONG[record['protocol']]}: {_show(record['difference'], rank)}{unit} (over sessions {low} to {high}"
        f"{over_seeds}): {verdict}{counts}"
    )


def in_null(result: Record) -> bool:
    """Return whether the log was simulated in a world whose skips say nothing."""
    return bool(result["simulated"].get("world") == "null")


def title_of(result: Record, arm: str) -> str:
    """Return an arm's title; a baseline has its name."""
    record = result["arms"].get(arm)
    return arm if record is None else str(record["title"])


def _show(value: float | None, rank: bool) -> str:
    return points(value) if not rank else ("-" if value is None else f"{value:+.3f}")


def points(share: float | None) -> str:
    """Return a share as signed percentage points."""
    return "-" if share is None or share != share else f"{100 * share:+.2f}"
