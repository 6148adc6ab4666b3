"""The table that leads every report: HR@K among all tracks, with the heard ones and without, by group of targets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from segue.reports.findings import measured

CUTOFFS: Final = (1, 10, 20)
GROUPS: Final = {
    "": "all targets",
    ".repeat": "repeats",
    ".discovery": "discoveries",
    ".next-listened": "next listened",
}
"""Groups of targets, as the end of a metric's name, and their heads."""
FORMS: Final = {"full": "kept", "unheard": "left out"}
"""Protocols of the table, and whether the tracks heard in the session are candidates."""
TITLE: Final = "HR@1, HR@10 and HR@20 among all tracks"
CAPTION: Final = (
    "Heard tracks are those of the session's context: kept as candidates, or left out. Repeats are targets among them, "
    "discoveries all others; next listened = the first of the held-out tracks that was listened to."
)
METRICS: Final = tuple(f"hr@{cutoff}{group}" for group in GROUPS for cutoff in CUTOFFS)
"""Metrics of the table."""
Metrics = Mapping[str, Any]


def headline(named: Iterable[tuple[str, Mapping[str, Any]]]) -> tuple[list[str], list[list[str]]]:
    """Return head and rows of the table: two adjacent rows for each name, one for each form.

    `named`: names, and metrics ([value, low, high]) by protocol. Names without the ranks of both forms are left out.

    >>> levels = {"full": {"hr@1": [0.25, None, None]}, "unheard": {"hr@1": [0.5, None, None]}}
    >>> headline([("model", levels)])[1]
    [['model', 'kept', '.250 - -', '-', '-', '-'], ['', 'left out', '.500 - -', '-', '-', '-']]
    """
    rows = []
    for name, by_protocol in named:
        if not FORMS.keys() <= by_protocol.keys():
            continue
        for form, heard in FORMS.items():
            cells = [_cell(by_protocol[form], group) for group in GROUPS if (form, group) != ("unheard", ".repeat")]
            if form == "unheard":
                cells.insert(1, "-")  # a repeat is no candidate
            rows.append([name if form == "full" else "", heard, *cells])
    return ["", "heard tracks", *GROUPS.values()], rows


def by_protocol(rows: Iterable[Metrics]) -> dict[str, dict[str, Metrics]]:
    """Return the rows of an evaluation by name and protocol."""
    named: dict[str, dict[str, Metrics]] = {}
    for row in rows:
        named.setdefault(row["name"], {})[row["protocol"]] = row
    return named


def _cell(metrics: Metrics, group: str) -> str:
    """Return HR@1, HR@10 and HR@20 of a group, '-' for each that is not measured, one '-' for none."""
    names = [f"hr@{cutoff}{group}" for cutoff in CUTOFFS]
    if not any(measured(metrics, name) for name in names):
        return "-"
    return " ".join(_share(metrics[name][0]) if measured(metrics, name) else "-" for name in names)


def _share(value: float) -> str:
    """Return a share with three decimals and without a leading 0."""
    return f"{value:.3f}".removeprefix("0")
