"""An evaluation by days as plain text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from segue.cli.terminal import table_text

MAIN: Final = ("ndcg@10", "ndcg@100", "recall@10", "recall@100")
OTHER: Final = (
    "ndcg-of-sums@10",
    "ndcg-of-sums@100",
    "recall-capped@10",
    "recall-capped@100",
    "yambda-ndcg@10",
    "yambda-ndcg@100",
    "yambda-recall@100",
    "hit-rate@10",
    "coverage@10",
    "coverage@100",
)
GROUPS: Final = {
    "repeat": "played before",
    "discovery": "new to the listener",
    "new": "new to the listener, in lists of such tracks alone",
    "seen": "with a training row",
}
DIGITS: Final = 4


def day_parts(document: Mapping[str, Any]) -> list[str]:
    """Return the tables of the document: main metrics with intervals, other forms, groups, and the model's lead."""
    rows = document["rows"]
    head = ["", *(part for name in MAIN for part in (name.upper(), "95 %"))]
    cells = [[row["name"], *(part for name in MAIN for part in _with_interval(row[name]))] for row in rows]
    parts = [
        "all targets of a day\n" + _table(head, cells),
        "other forms\n" + _table(["", *OTHER], _values(rows, OTHER)),
    ]
    for group, title in GROUPS.items():
        names = [f"{name}.{group}" for name in MAIN]
        parts.append(f"targets {title}\n" + _table(["", *(name.upper() for name in MAIN)], _values(rows, names)))
    published = document.get("published", {})
    if published:
        names = list(dict.fromkeys(name for values in published.values() for name in values))
        cells = [[title, *(_number(values.get(name)) for name in names)] for title, values in published.items()]
        parts.append("published, on the whole of Yambda-50M\n" + _table(["", *names], cells))
    compared = [row for row in rows if "model_minus" in row]
    if compared:
        cells = [
            [row["name"], *(part for name in MAIN for part in _with_interval(row["model_minus"][name], "+"))]
            for row in compared
        ]
        parts.append("model minus the row, paired over listeners\n" + _table(head, cells))
    return parts


def _table(head: Sequence[str], cells: Sequence[Sequence[Any]]) -> str:
    return table_text(head, cells, right=range(1, len(head)))


def _values(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[list[str | None]]:
    return [[row["name"], *(_number(row[name][0]) for name in names)] for row in rows]


def _with_interval(estimate: Sequence[float | None], sign: str = "") -> tuple[str | None, str | None]:
    value, low, high = (_number(part, sign) for part in estimate)
    return value, None if low is None or high is None else f"{low} to {high}"


def _number(value: float | None, sign: str = "") -> str | None:
    return None if value is None else f"{value:{sign}.{DIGITS}f}"
