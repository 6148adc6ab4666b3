"""Sentences that state the results of an evaluation, computed from its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from segue.skips import BASELINES_TO_BEAT

AMONG: Final = {"sampled": "1,000 sampled tracks", "full": "all tracks"}
Record = Mapping[str, Any]


def findings(result: Record) -> list[str]:
    """Return sentences on training with skips, the baselines, listened and skipped targets, and the limits.

    `result` has `rows` (name, kind, protocol, metric = [value, low, high]), `contrasts` (protocol, metric, difference,
    low, high), `recommended` and `converged`.
    """
    sentences = []
    for contrast in result["contrasts"]:
        rows = [row for row in result["rows"] if row["protocol"] == contrast["protocol"]]
        sentences.append(f"{contrast_sentence(contrast)}{bar_sentence(rows, contrast['metric'])}")
    for protocol in AMONG:
        sentence = baseline_sentence([row for row in result["rows"] if row["protocol"] == protocol], protocol)
        sentences += [sentence] if sentence else []
    sentences += [text for text in [delta_sentence(result["rows"]), reaction_sentence(result)] if text]
    sentences.append(limits_sentence(result))
    return sentences


def contrast_sentence(contrast: Record) -> str:
    """Return whether training with skips beat training without, by the interval."""
    low, high, difference = contrast["low"], contrast["high"], contrast["difference"]
    if not (known(low) and known(high) and known(difference)):
        return (
            f"Too few sessions to compare training with skips and without: {contrast['metric'].upper()} among "
            f"{AMONG[contrast['protocol']]} has no interval."
        )
    if low > 0:
        verdict = "Training with skips did better than training without"
    elif high < 0:
        verdict = "Training with skips did worse than training without"
    else:
        verdict = "Training with skips made no significant difference"
    return (
        f"{verdict}: {contrast['metric'].upper()} among {AMONG[contrast['protocol']]} changed by "
        f"{points(difference)} points (95 % interval {points(low)} to {points(high)})."
    )


def bar_sentence(rows: Sequence[Record], metric: str) -> str:
    """Return why a contrast does not count if a model does not beat BASELINES_TO_BEAT, else ''."""
    bar = [row for row in rows if row["name"] in BASELINES_TO_BEAT and measured(row, metric)]
    models = [row for row in rows if row["kind"] == "model" and measured(row, metric)]
    above = [b["name"] for b in bar if any(b[metric][0] >= model[metric][0] for model in models)]
    if not above:
        return ""
    return f" This does not count as evidence about skips: not every model beats {' and '.join(above)}."


def baseline_sentence(rows: Sequence[Record], protocol: str, metric: str = "hr@10") -> str:
    """Return the comparison of the models with the best baseline, and the baselines that beat a model."""
    baselines = [row for row in rows if row["kind"] == "baseline" and measured(row, metric)]
    models = [row for row in rows if row["kind"] == "model" and measured(row, metric)]
    if not baselines or not models:
        return ""
    best = max(baselines, key=lambda row: float(row[metric][0]))
    parts = [f"{row['name']} {_against(row, baselines, metric)}" for row in models]
    return (
        f"Among {AMONG[protocol]}, the best baseline is {best['name']} with {metric.upper()} "
        f"{percent(best[metric][0])}; {'; '.join(parts)}."
    )


def _against(row: Record, baselines: Sequence[Record], metric: str) -> str:
    better = [b["name"] for b in baselines if b[metric][0] > row[metric][0]]
    share = percent(row[metric][0])
    return (
        f"reaches {share} and loses to {', '.join(better)}" if better else f"reaches {share} and beats every baseline"
    )


def delta_sentence(rows: Sequence[Record]) -> str:
    """Return how much better each model ranks listened targets than skipped ones."""
    parts = [
        f"{row['name']} {points(row['delta'][0])} points"
        for row in rows
        if row["kind"] == "model" and row["protocol"] == "sampled" and measured(row, "delta")
    ]
    if not parts:
        return ""
    return (
        "HR@10 of the next tracks that were listened to, minus HR@10 of those that were skipped: "
        + ", ".join(parts)
        + "."
    )


def reaction_sentence(result: Record) -> str:
    """Return the number of recommended tracks that a skip changed."""
    lists = result.get("recommended") or {}
    before, after = lists.get("listened") or [], lists.get("skipped") or []
    if not before or not after:
        return ""
    changed = len({row["track"] for row in after} - {row["track"] for row in before})
    if changed == 0 and not lists.get("reads_feedback"):
        return (
            "A skip of the last track changes nothing in the next recommendations: the paper's model learns from skips "
            "in training, but does not read them in a session."
        )
    return f"A skip of the last track replaces {changed} of {len(after)} recommended tracks."


def limits_sentence(result: Record) -> str:
    """Return the limits of these numbers."""
    parts = ["one seed, so the intervals are over sessions only"]
    if result.get("simulated"):
        parts.insert(0, "the sessions are simulated")
    if not result.get("converged", True):
        parts.append("training stopped after a few epochs, before it converged")
    return f"This is a demonstration, not a result: {'; '.join(parts)}."


def measured(row: Record, metric: str) -> bool:
    """Return whether the row has a value of `metric` (None = an empty group)."""
    return bool(row.get(metric)) and known(row[metric][0])


def known(value: float | None) -> bool:
    """Return whether a value is neither None nor NaN."""
    return value is not None and value == value


def points(share: float) -> str:
    """Return a signed difference of shares in points: 0.0123 -> '+1.2'."""
    return f"{100 * share:+.1f}"


def percent(share: float) -> str:
    """Return a share in per cent: 0.123 -> '12.3 %'."""
    return f"{100 * share:.1f} %"
