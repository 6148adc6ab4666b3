"""A study's tables as rows of plain text; reports lay them out.

Table 1 of Seshadri & Knees (2023, arXiv 2309.11623) is printed beside ours; its data are others, so that the numbers
cannot be equal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from segue.reports.headline import by_protocol, headline
from segue.studies.wording import AMONG, CUTOFFS, VALIDATED, Record, chosen_by, label, verdict_of

Cells = tuple[list[str], list[list[str]]]
"""Head and rows of a table."""
TABLE_1: Final[Mapping[str, tuple[float, ...]]] = {
    "causal-s-minus": (0.2821, 0.4803, 0.5593, 0.6316),
    "causal-s-plus-session": (0.3049, 0.5042, 0.5836, 0.6550),
    "causal-s-plus-track": (0.3073, 0.5088, 0.5867, 0.6554),
    "cloze-s-minus": (0.1945, 0.4203, 0.5135, 0.5989),
    "cloze-s-plus-session": (0.2101, 0.4370, 0.5270, 0.6101),
    "cloze-s-plus-track": (0.2339, 0.4358, 0.5165, 0.5911),
}
"""Arm to HR@1, @5, @10, @20 against 1000 sampled tracks, on about 450,000 sessions of MSSD and 1,000,000 tracks."""
POPULARITY: Final = ((0.23, 0.27), (0.45, 0.50), (0.54, 0.60), (0.63, 0.69))
"""Estimated HR of a popularity ranker there, from MSSD's published play counts: lowest and highest by cutoff."""
LEVELS: Final = (
    "hr@1", "hr@5", "hr@10", "hr@20", "ndcg@10", "mrr", "hr@10.listened", "hr@10.skipped", "delta", "pair-auc",
)  # fmt: skip
LISTENING: Final = ("log-loss", "brier", "ece", "auc")
"""Metrics of P(listen)."""
_ENCODERS: Final = ("causal", "cloze")


def reported(result: Record) -> list[str]:
    """Return the protocols that were measured, in the order of the tables: results of older studies lack `unheard`."""
    return [name for name in AMONG if all(name in arm for arm in result["arms"].values())]


def leading(result: Record) -> Cells:
    """Return HR@1, @10 and @20 among all tracks of every arm and baseline, with heard tracks and without."""
    named = [(_starred(arm), arm) for arm in result["arms"].values()]
    return headline([*named, *by_protocol(result["baselines"]).items()])


def paper_form(result: Record, protocol: str) -> Cells:
    """Return Table 1's form: HR@K by arm, relative increase over S- in parentheses, the best of an encoder in bold.

    Bold is Markdown's; a star marks an arm that did not converge.
    """
    arms = {name: arm for name, arm in result["arms"].items() if name.partition("-")[0] in _ENCODERS}
    levels = [{name: arm[protocol][f"hr@{cutoff}"][0] for name, arm in arms.items()} for cutoff in CUTOFFS]
    rows = [[f"HR@{cutoff}", *_paper_row(row)] for cutoff, row in zip(CUTOFFS, levels, strict=True)]
    return ["", *map(_starred, arms.values())], rows


def published() -> Cells:
    """Return the paper's own table in the same form, and the level of popularity on its data."""
    head = ["", *(name.replace("-s-minus", " S-").replace("-s-plus-", " S+ ") for name in TABLE_1), "popularity, about"]
    rows = []
    for row, (cutoff, (low, high)) in enumerate(zip(CUTOFFS, POPULARITY, strict=True)):
        levels = {name: values[row] for name, values in TABLE_1.items()}
        rows.append([f"HR@{cutoff}", *_paper_row(levels), f"{low:.2f} to {high:.2f}"])
    return head, rows


def _paper_row(levels: Mapping[str, float]) -> list[str]:
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


def levels(result: Record, protocol: str) -> Cells:
    """Return every arm's and baseline's metrics under one protocol."""
    named = [(_starred(arm), arm[protocol]) for arm in result["arms"].values()]
    shown = [metric for metric in LEVELS if any(metric in metrics for _, metrics in named)]
    named += [(row["name"], row) for row in result["baselines"] if row["protocol"] == protocol]
    head = ["", *(metric.upper() for metric in shown), "95 % of HR@10"]
    return head, [[name, *_numbers(metrics, shown), _interval(metrics["hr@10"])] for name, metrics in named]


def foretold(result: Record) -> Cells:
    """Return how well each arm and baseline predicts P(listen)."""
    head = ["", "log-loss", "Brier", "ECE", "AUC", "95 % of Brier", "pair AUC of P(listen) alone"]
    named = [
        (_starred(arm), arm["listening"], _beside(arm, "model, P(listen) alone").get("pair-auc"))
        for arm in result["arms"].values()
        if "listening" in arm
    ]
    pair = {row["name"]: row.get("pair-auc") for row in result["baselines"] if row["protocol"] == "full"}
    beside = {"track-rate": pair.get("listen-rate")}
    named += [(row["name"], row, beside.get(row["name"])) for row in result["listening"] if named]
    return head, [
        [name, *_numbers(row, LISTENING), _interval(row["brier"]), _number(alone)] for name, row, alone in named
    ]


def reaction(result: Record) -> Cells:
    """Return what the last track's feedback changes, and HR@10 without lambda, for each arm that reads feedback."""
    head = ["", "feedback utility", "responsiveness", "HR@10, lambda 0", "HR@10", "HR_l@10, lambda 0", "HR_l@10"]
    rows = []
    for arm in result["arms"].values():
        full, before = arm["full"], _beside(arm, "model, lambda 0")
        reactions = [full.get("feedback-utility"), full.get("responsiveness")]
        if before or any(value and value[0] for value in reactions):
            pairs = [one.get(metric) for metric in ("hr@10", "hr@10.listened") for one in (before, full)]
            shown = [
                _number(value) + (f" ({_interval(value)})" if value and value[1] is not None else "")
                for value in reactions
            ]
            rows.append([_starred(arm), *shown, *map(_number, pairs)])
    return head, rows


def contrasts(result: Record, protocol: str, metrics: tuple[str, ...]) -> Cells:
    """Return the differences under one protocol: value, both intervals, p after Holm, verdict."""
    head = ["", "metric", "difference", "over seeds (t)", "over sessions", "p", "Holm", "verdict"]
    rows = []
    for record in result["contrasts"]:
        if record["protocol"] == protocol and record["metric"] in metrics:
            verdict = verdict_of(result, record)
            verdict = verdict if record["counts"] else f"({verdict}: does not count)"
            p_values = [_p(record["p_value"]), _p(record["holm"])]
            rows.append([label(result, record), record["metric"].upper(), *_difference(record), *p_values, verdict])
    return head, rows


def strata(result: Record) -> Cells:
    """Return the gain of each pair in each stratum by protocol and metric, in parentheses if it does not count."""
    by_pair: dict[tuple[str, str], dict[tuple[str, str], list[str]]] = {}
    measures = {(record["protocol"], record["metric"]) for record in result["strata"]}
    columns = sorted(measures, key=lambda measure: ([*AMONG].index(measure[0]), measure[1]))
    for record in result["strata"]:
        difference, *intervals = _difference(record)
        cells = [difference if record["counts"] else f"({difference})", *intervals]
        pair = by_pair.setdefault((label(result, record), record["stratum"]), {})
        pair[record["protocol"], record["metric"]] = cells
    titles = [f"{metric.upper()} {protocol}" for protocol, metric in columns]
    head = ["", "stratum", *(cell for title in titles for cell in (title, "over seeds (t)", "over sessions"))]
    lacking = ["-"] * 3
    return head, [
        [*pair, *(cell for column in columns for cell in cells.get(column, lacking))] for pair, cells in by_pair.items()
    ]


def runs(result: Record) -> Cells:
    """Return how each arm was tuned and how its trainings ended."""
    metric = chosen_by(result)
    validation = f"validation {metric.upper()} of what was tried"
    head = ["", "settings", validation, "epochs by seed", "converged", "seconds by seed"]
    rows = []
    for arm in result["arms"].values():
        tried = ", ".join(f"{_settings(one)}: {_number([one[VALIDATED + metric]])}" for one in arm["tuning"])
        epochs, seconds = (", ".join(str(seed[name]) for seed in arm["seeds"]) for name in ("epochs", "seconds"))
        num = sum(seed["converged"] for seed in arm["seeds"])
        converged = "all" if arm["converged"] else f"{num} of {len(arm['seeds'])}"
        rows.append(
            [arm["title"], _settings(arm["settings"]) or "the recipe's", tried or "-", epochs, converged, seconds]
        )
    return head, rows


def _beside(arm: Record, name: str) -> Record:
    """Return the metrics, among all tracks, of a row beside the model's own; empty without such a row."""
    metrics: Record = arm.get("beside", {}).get(name, {}).get("full", {})
    return metrics


def _difference(record: Record) -> list[str]:
    """Return the difference with its sign, and its intervals over seeds and over sessions."""
    value = record["difference"]
    bounds = [record["t_interval"], record["bootstrap_interval"]]
    intervals = ["-" if low is None else f"{low:+.4f} to {high:+.4f}" for low, high in bounds]
    return ["-" if value is None or value != value else f"{value:+.4f}", *intervals]


def _settings(values: Record) -> str:
    settings = {key: value for key, value in values.items() if not key.startswith(VALIDATED)}
    return ", ".join(f"{key.rpartition('.')[2]} {value}" for key, value in settings.items())


def _starred(arm: Record) -> str:
    return arm["title"] if arm["converged"] else f"{arm['title']} *"


def _numbers(metrics: Record, shown: Sequence[str]) -> list[str]:
    return [_number(metrics.get(metric)) for metric in shown]


def _number(value: Any) -> str:
    return "-" if not value or value[0] is None else f"{value[0]:.4f}"


def _interval(value: Any) -> str:
    return "-" if not value or value[1] is None else f"{value[1]:.4f} to {value[2]:.4f}"


def _p(value: float | None) -> str:
    return "-" if value is None else (f"{value:.4f}" if value >= 0.0001 else "< .0001")
