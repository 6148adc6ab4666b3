"""The tables of README.md, from result.json.

python studies/ml-100k/tables.py studies/ml-100k/result.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

COLUMNS = {
    "sampled": ("hr@1", "hr@10", "hr@10.listened", "hr@10.skipped", "delta", "hr@10.untied", "pair-auc"),
    "full": ("hr@1", "hr@10", "hr@20", "hr@10.listened", "hr@10.skipped", "delta", "hr@10.untied"),
}
HEADS = {
    "hr@10.listened": "HR_l@10",
    "hr@10.skipped": "HR_s@10",
    "hr@10.untied": "HR@10 untied",
    "hr@10.seen": "HR@10 seen in training",
    "pair-auc": "pair AUC",
    "delta": "delta",
}
SHOWN = ("hr@1", "hr@10", "hr@20", "hr@10.listened", "hr@10.skipped", "hr@10.untied", "hr@10.seen")


def number(value: float | None) -> str:
    """Return four decimals without the leading zero."""
    return "" if value is None else f"{value:.4f}".replace("0.", ".", 1)


def interval(low: float | None, high: float | None) -> str:
    """Return 'low to high'."""
    return f"{number(low)} to {number(high)}"


def line(cells: list[str]) -> str:
    """Return one row of a Markdown table."""
    return "| " + " | ".join(cells) + " |"


def level_table(result: dict[str, Any], protocol: str) -> list[str]:
    """Return arms (mean over seeds) and baselines under one protocol."""
    keys = COLUMNS[protocol]
    heads = [HEADS.get(key, key.upper()) for key in keys]
    lines = [line(["", *heads, "95 % of HR@10"]), line(["---"] * (len(keys) + 2))]
    for name, arm in result["arms"].items():
        row = arm[protocol]
        lines.append(line([name, *(number(row[key][0]) for key in keys), interval(*row["hr@10"][1:])]))
    for row in result["baselines"]:
        if row["protocol"] == protocol:
            cells = [number(row[key][0]) for key in keys]
            lines.append(line([row["name"], *cells, interval(*row["hr@10"][1:])]))
    return lines


def contrast_table(result: dict[str, Any], protocol: str) -> list[str]:
    """Return the differences with both intervals under one protocol."""
    lines = [line(["S+ less S-", "metric", "difference", "t over seeds", "bootstrap over listeners", "shown"])]
    lines.append(line(["---"] * 6))
    for found in result["contrasts"]:
        if found["protocol"] == protocol and found["metric"] in SHOWN:
            metric = HEADS.get(found["metric"], found["metric"].upper())
            intervals = [interval(*found["t_interval"]), interval(*found["bootstrap_interval"])]
            lines.append(line([found["arm"], metric, number(found["difference"]), *intervals, found["verdict"]]))
    return lines


def main() -> None:
    result = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    for protocol in COLUMNS:
        print(f"\n### {protocol}: levels\n\n" + "\n".join(level_table(result, protocol)))
        print(f"\n### {protocol}: differences\n\n" + "\n".join(contrast_table(result, protocol)))
    print("\n### Runs\n")
    print(line(["arm", "learning rate", "validation HR@10 by rate (seed 1000)", "epochs by seed", "converged"]))
    print(line(["---"] * 5))
    for name, arm in result["arms"].items():
        tried = ", ".join(f"{rate}: {number(value)}" for rate, value in arm["validation_hr@10"].items())
        epochs = ", ".join(map(str, arm["epochs"]))
        print(line([name, str(arm["learning_rate"]), tried, epochs, "all" if all(arm["converged"]) else "not all"]))


if __name__ == "__main__":
    main()
