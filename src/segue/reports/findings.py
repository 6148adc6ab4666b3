"""Sentences that state the results of an evaluation, computed from its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from segue.skips import BASELINES_TO_BEAT

AMONG: Final = {
    "full": "all tracks",
    "unheard": "tracks new to the session",
    "sampled": "1,000 sampled tracks",
}
"""What a target is ranked among, by protocol, in the order of every report."""
Record = Mapping[str, Any]


def findings(result: Record) -> list[str]:
    """Return sentences on training with skips, the baselines, listened and skipped targets, and the limits.

    `result` has `rows` (name, kind, protocol, metric = [value, low, high]), `contrasts` (protocol, metric, difference,
    low, high), `recommended` and `converged`.
    """
    rows = {protocol: [row for row in result["rows"] if row["protocol"] == protocol] for protocol in AMONG}
    sentences = [
        contrast_sentence(contrast) + bar_sentence(rows[contrast["protocol"]], contrast["metric"])
        for contrast in result["contrasts"]
    ]
    sentences += [baseline_sentence(rows[protocol], protocol) for protocol in AMONG]
    sentences += [delta_sentence(result["rows"]), reaction_sentence(result), limits_sentence(result)]
    return [sentence for sentence in sentences if sentence]


def contrast_sentence(contrast: Record) -> str:
    """Return whether training with skips beat training without, by the interval."""
    low, high, difference = contrast["low"], contrast["high"], contrast["difference"]
    measure = f"{contrast['metric'].upper()} among {AMONG[contrast['protocol']]}"
    if not (known(low) and known(high) and known(difference)):
        return f"Too few sessions to compare training with skips and without: {measure} has no interval."
    verdict = "made no significant difference"
    if low > 0 or high < 0:
        verdict = f"did {'better' if low > 0 else 'worse'} than training without"
    return (
        f"Training with skips {verdict}: {measure} changed by {points(difference)} points (95 % interval {points(low)} "
        f"to {points(high)})."
    )


def bar_sentence(rows: Sequence[Record], metric: str) -> str:
    """Return why a contrast does not count if a model does not beat BASELINES_TO_BEAT, else ''."""
    bar = [row for row in rows if row["name"] in BASELINES_TO_BEAT and measured(row, metric)]
    models = _of_kind(rows, "model", metric)
    above = [b["name"] for b in bar if any(b[metric][0] >= model[metric][0] for model in models)]
    if not above:
        return ""
    names = " and ".join(filter(None, (", ".join(above[:-1]), above[-1])))
    return f" This does not count as evidence about skips: not every model beats {names}."


def baseline_sentence(rows: Sequence[Record], protocol: str, metric: str = "hr@10") -> str:
    """Return the comparison of the models with the best baseline, and the baselines that beat a model."""
    baselines, models = (_of_kind(rows, kind, metric) for kind in ("baseline", "model"))
    if not baselines or not models:
        return ""
    best = max(baselines, key=lambda row: float(row[metric][0]))
    parts = []
    for row in models:
        better = [other["name"] for other in baselines if other[metric][0] > row[metric][0]]
        outcome = f"loses to {', '.join(better)}" if better else "beats every baseline"
        parts.append(f"{row['name']} reaches {percent(row[metric][0])} and {outcome}")
    return (
        f"Among {AMONG[protocol]}, the best baseline is {best['name']} with {metric.upper()} "
        f"{percent(best[metric][0])}; {'; '.join(parts)}."
    )


def _of_kind(rows: Sequence[Record], kind: str, metric: str) -> list[Record]:
    return [row for row in rows if row["kind"] == kind and measured(row, metric)]


def delta_sentence(rows: Sequence[Record]) -> str:
    """Return how much better each model ranks listened targets than skipped ones."""
    parts = [
        f"{row['name']} {points(row['delta'][0])} points"
        for row in _of_kind(rows, "model", "delta")
        if row["protocol"] == "full"
    ]
    if not parts:
        return ""
    return (
        f"HR@10 among all tracks if the next track was listened to, minus HR@10 if it was skipped: {', '.join(parts)}."
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
