"""A study's tables as rows of plain text; reports lay them out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from segue.studies.published import CUTOFFS, POPULARITY, TABLE_1
from segue.studies.wording import AMONG, Record, title_of

LEVELS: Final = (
    "hr@1",
    "hr@5",
    "hr@10",
    "hr@20",
    "ndcg@10",
    "mrr",
    "hr@10.listened",
    "hr@10.skipped",
    "delta",
    "pair-auc",
)
LISTENING: Final = ("log-loss", "brier", "ece", "auc")
"""Metrics of P(listen)."""
_ENCODERS: Final = ("causal", "cloze")


def paper_form(result: Record, protocol: str) -> tuple[list[str], list[list[str]]]:
    """Return Table 1's form: HR@K by arm, relative increase over S- in parentheses, the best of an encoder in bold.

    Bold is Markdown's; an arm that did not converge bears a star.
    """
    arms = {name: arm for name, arm in result["arms"].items() if name.partition("-")[0] in _ENCODERS}
    head = ["", *(_starred(arm) for arm in arms.values())]
    rows = []
    for cutoff in CUTOFFS:
        levels = {name: arm[protocol][f"hr@{cutoff}"][0] for name, arm in arms.items()}
        rows.append([f"HR@{cutoff}", *_row(levels)])
    return head, rows


def published() -> tuple[list[str], list[list[str]]]:
    """Return the paper's own table in the same form, and the level of popularity on its data."""
    head = ["", *(name.replace("-s-minus", " S-").replace("-s-plus-", " S+ ") for name in TABLE_1), "popularity, about"]
    rows = []
    for row, cutoff in enumerate(CUTOFFS):
        low, high = POPULARITY[row]
        levels = {name: values[row] for name, values in TABLE_1.items()}
        rows.append([f"HR@{cutoff}", *_row(levels), f"{low:.2f} to {high:.2f}"])
    return head, rows


def _row(levels: Mapping[str, float]) -> list[str]:
    """Return each level, its relative increase over the S- of its encoder, the best of each encoder in bold."""
    cells = []
    for name, value in levels.items():
        encoder, _, term = name.partition("-")
        base = levels.get(f"{encoder}-s-minus")
        best = max(other for key, other in levels.items() if key.partition("-")[0] == encoder)
        text = f"{value:.4f}"
        if base and term != "s-minus":
            text += f" ({100 * (value / base - 1):+.1f} %)"
        cells.append(f"**{text}**" if value == best else text)
    return cells


def levels(result: Record, protocol: str) -> tuple[list[str], list[list[str]]]:
    """Return every arm's and baseline's metrics under one protocol."""
    shown = [m for m in LEVELS if any(m in arm[protocol] for arm in result["arms"].values())]
    head = ["", *(metric.upper() for metric in shown), "95 % of HR@10"]
    rows = []
    for arm in result["arms"].values():
        metrics = arm[protocol]
        rows.append([_starred(arm), *(_number(metrics.get(metric)) for metric in shown), _interval(metrics["hr@10"])])
    beside = [row for row in result["baselines"] if row["protocol"] == protocol]
    rows += [[row["name"], *(_number(row.get(name)) for name in shown), _interval(row["hr@10"])] for row in beside]
    return head, rows


def foretold(result: Record) -> tuple[list[str], list[list[str]]]:
    """Return how well each arm and baseline foretells P(listen)."""
    head = ["", "log-loss", "Brier", "ECE", "AUC", "95 % of Brier", "pair AUC of P(listen) alone"]
    rows = []
    for arm in result["arms"].values():
        if "listening" in arm:
            alone = arm.get("beside", {}).get("model, P(listen) alone", {}).get("full", {})
            listening = arm["listening"]
            numbers = [_number(listening[name]) for name in LISTENING]
            rows.append([_starred(arm), *numbers, _interval(listening["brier"]), _number(alone.get("pair-auc"))])
    if not rows:
        return head, []
    pair = {row["name"]: row.get("pair-auc") for row in result["baselines"] if row["protocol"] == "full"}
    beside = {"track-rate": pair.get("listen-rate")}
    for row in result["listening"]:
        numbers = [_number(row[name]) for name in LISTENING]
        rows.append([row["name"], *numbers, _interval(row["brier"]), _number(beside.get(row["name"]))])
    return head, rows


def reaction(result: Record) -> tuple[list[str], list[list[str]]]:
    """Return what the feedback of the last track changes and what lambda did, of each arm that has such a part."""
    head = ["", "feedback utility", "responsiveness", "HR@10, lambda 0", "HR@10", "HR_l@10, lambda 0", "HR_l@10"]
    rows = []
    for arm in result["arms"].values():
        full = arm["full"]
        before = arm.get("beside", {}).get("model, lambda 0", {}).get("full", {})
        reactions = [full.get("feedback-utility"), full.get("responsiveness")]
        if not before and not any(value and value[0] for value in reactions):
            continue
        pairs = [before.get("hr@10"), full.get("hr@10"), before.get("hr@10.listened"), full.get("hr@10.listened")]
        shown = [
            _number(value) + (f" ({_interval(value)})" if value and value[1] is not None else "") for value in reactions
        ]
        rows.append([_starred(arm), *shown, *(_number(value) for value in pairs)])
    return head, rows


def contrasts(result: Record, protocol: str, metrics: tuple[str, ...]) -> tuple[list[str], list[list[str]]]:
    """Return the differences under one protocol: value, both intervals, p after Holm, verdict."""
    head = ["", "metric", "difference", "over seeds (t)", "over sessions", "p", "Holm", "verdict"]
    rows = []
    for record in result["contrasts"]:
        if record["protocol"] == protocol and record["metric"] in metrics:
            verdict = record["direction" if record["metric"].startswith("log-rank") else "verdict"]
            if verdict == "gain" and result["simulated"].get("world") == "null":
                verdict = "gain by regularisation"
            verdict = verdict if record["counts"] else f"({verdict}: does not count)"
            rows.append(
                [
                    label(result, record), record["metric"].upper(), signed(record["difference"]),
                    _bounds(record["t_interval"]), _bounds(record["bootstrap_interval"]), _p(record["p_value"]),
                    _p(record["holm"]), verdict,
                ]
            )  # fmt: skip
    return head, rows


def strata(result: Record) -> tuple[list[str], list[list[str]]]:
    """Return the gain of each pair in each stratum, under both protocols; in parentheses what does not count."""
    by_pair: dict[tuple[str, str], dict[str, Record]] = {}
    for record in result["strata"]:
        by_pair.setdefault((label(result, record), record["stratum"]), {})[record["protocol"]] = record
    sides = ("over seeds (t)", "over sessions")
    head = ["", "stratum", *(cell for name in AMONG for cell in (f"HR@10 {name}", *sides))]
    rows = []
    for (pair, stratum), by in by_pair.items():
        cells = [_difference(by[name]) for name in AMONG]
        rows.append([pair, stratum, *(cell for pieces in cells for cell in pieces)])
    return head, rows


def runs(result: Record) -> tuple[list[str], list[list[str]]]:
    """Return how each arm was tuned and how its trainings ended."""
    head = ["", "settings", "validation HR@10 of what was tried", "epochs by seed", "converged", "seconds by seed"]
    rows = []
    for arm in result["arms"].values():
        tried = ", ".join(f"{_settings(one)}: {_number([one['validation_hr@10']])}" for one in arm["tuning"])
        ends = [[str(seed[name]) for seed in arm["seeds"]] for name in ("epochs", "converged", "seconds")]
        converged = "all" if arm["converged"] else f"{ends[1].count('True')} of {len(ends[1])}"
        rows.append(
            [
                arm["title"],
                _settings(arm["settings"]) or "the recipe's",
                tried or "-",
                ", ".join(ends[0]),
                converged,
                ", ".join(ends[2]),
            ]
        )
    return head, rows


def label(result: Record, record: Record) -> str:
    """Return the two arms of a contrast."""
    return f"{title_of(result, record['arm'])} less {title_of(result, record['less'])}"


def signed(value: float | None) -> str:
    """Return a difference with its sign."""
    return "-" if value is None or value != value else f"{value:+.4f}"


def _difference(record: Record) -> list[str]:
    value = signed(record["difference"])
    value = value if record["counts"] else f"({value})"
    return [value, _bounds(record["t_interval"]), _bounds(record["bootstrap_interval"])]


def _settings(values: Record) -> str:
    return ", ".join(f"{key.rpartition('.')[2]} {value}" for key, value in values.items() if key != "validation_hr@10")


def _starred(arm: Record) -> str:
    return arm["title"] if arm["converged"] else f"{arm['title']} *"


def _number(value: Any) -> str:
    return "-" if not value or value[0] is None else f"{value[0]:.4f}"


def _interval(value: Any) -> str:
    return "-" if not value or value[1] is None else f"{value[1]:.4f} to {value[2]:.4f}"


def _bounds(bounds: Any) -> str:
    return "-" if bounds[0] is None else f"{bounds[0]:+.4f} to {bounds[1]:+.4f}"


def _p(value: float | None) -> str:
    return "-" if value is None else (f"{value:.4f}" if value >= 0.0001 else "< .0001")
