"""Print the tables of a result.json of this study as Markdown.

python studies/shared-negatives/tables.py studies/shared-negatives/result.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def number(value: float) -> str:
    """Return three decimals without the zero before the point."""
    return f"{value:.3f}".replace("0.", ".", 1)


def interval(values: list[float]) -> str:
    return f"{number(values[0])} to {number(values[1])}"


def levels(result: dict[str, Any]) -> list[list[str]]:
    rows = [["", "HR@1 sampled", "HR@10 sampled", "95 %", "HR@10 full", "95 %", "epochs by seed", "converged"]]
    for name, arm in result["arms"].items():
        cells = [name, number(arm["sampled"]["hr@1"][0])]
        for protocol in ("sampled", "full"):
            mean, *around = arm[protocol]["hr@10"]
            cells += [number(mean), interval(around)]
        epochs = ", ".join(str(epoch) for epoch in arm["epoch"])
        rows.append([*cells, epochs, f"{sum(arm['converged'])} of {len(arm['converged'])}"])
    for name in dict.fromkeys(row["name"] for row in result["baselines"]):
        found = {row["protocol"]: row for row in result["baselines"] if row["name"] == name}
        cells = [name, number(found["sampled"]["hr@1"][0])]
        for protocol in ("sampled", "full"):
            mean, *around = found[protocol]["hr@10"]
            cells += [number(mean), interval(around) if around[0] is not None else ""]
        rows.append([*cells, "", ""])
    return rows


def differences(result: dict[str, Any]) -> list[list[str]]:
    rows = [["first less second", "protocol", "metric", "difference", "t over seeds", "bootstrap", "shown"]]
    for c in result["contrasts"]:
        name = f"{c['first']} - {c['second']}"
        spans = [interval(c["t_interval"]), interval(c["bootstrap_interval"])]
        rows.append([name, c["protocol"], c["metric"].upper(), number(c["difference"]), *spans, c["verdict"]])
    return rows


def main() -> None:
    result = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    for rows in (levels(result), differences(result)):
        rows.insert(1, ["---"] * len(rows[0]))
        print("\n".join(f"| {' | '.join(row)} |" for row in rows), end="\n\n")


if __name__ == "__main__":
    main()
