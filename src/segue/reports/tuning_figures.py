"""Figures of a search: validation NDCG@20 by trial, and the importance of parameters."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from segue.files import replaced_file
from segue.reports.figures import COLOURS, svg_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Record = Mapping[str, Any]
MARKS: Final = {"finished": ("o", COLOURS["model"]), "pruned": ("x", COLOURS["baseline"])}
DPI: Final = 150
"""Resolution of the PNG files."""


def write_figures(result: Record, folder: Path) -> list[Path]:
    """Return the files written into `folder`: history and importance, each as PNG and SVG.

    `result` is the document of `segue tune`. Without importances (too few trials, or equal values) the figure says so.
    """
    from matplotlib.figure import Figure

    paths, height = [], 0.9 + 0.55 * max(len(result["importance"]["values"]), 4)
    data = f"{result['recipe']}, simulated data" if result["simulated"] else result["recipe"]
    drawings = (
        ("history", "validation NDCG@20", draw_history),
        ("importance", "importance for validation NDCG@20", draw_importance),
    )
    for name, title, draw in drawings:
        figure = Figure(figsize=(7.0, height), layout="constrained")
        axes = figure.add_subplot()
        draw(axes, result)
        axes.set_title(f"{title}, {data}", loc="left", fontsize=10)
        for path in (folder / f"{name}.png", folder / f"{name}.svg"):
            with replaced_file(path) as temporary:
                if path.suffix == ".svg":
                    temporary.write_text(svg_text(figure, name), encoding="utf-8")
                else:
                    figure.savefig(temporary, format="png", dpi=DPI, metadata={"Software": None})
            paths.append(path)
    return paths


def draw_history(axes: Axes, result: Record) -> None:
    """Draw validation NDCG@20 of each trial by its number, and the best so far."""
    none = float("-inf")
    values = [trial["value"] if trial["state"] == "finished" else none for trial in result["trials"]]
    best = [(trial["number"], value) for trial, value in zip(result["trials"], accumulate(values, max), strict=True)]
    begun = [(number, value) for number, value in best if value > none]
    for state, (marker, colour) in MARKS.items():
        shown = [(trial["number"], trial["value"]) for trial in result["trials"] if trial["state"] == state]
        if shown:
            axes.plot(*zip(*shown, strict=True), marker, color=colour, label=state, markersize=5)
    if begun:
        axes.step(*zip(*begun, strict=True), where="post", color=COLOURS["model"], linewidth=1.2, label="best so far")
        axes.legend(frameon=False, fontsize=9)
    axes.set_xlabel("trial")


def draw_importance(axes: Axes, result: Record) -> None:
    """Draw one bar a parameter."""
    values = dict(reversed(result["importance"]["values"].items()))
    axes.barh(list(values), list(values.values()), color=COLOURS["model"], height=0.62)
    axes.set_xlim(0.0, 1.0)
    axes.set_xlabel(result["importance"]["method"])
    if not values:
        axes.set_yticks([])
        axes.text(0.5, 0.5, "too few trials, or all equal", transform=axes.transAxes, ha="center")
