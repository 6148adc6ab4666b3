"""Figures of a search: what each trial reached, and which parameters decided."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from segue.files import replaced_file
from segue.reports.figures import COLOURS, svg_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Record = Mapping[str, Any]
MARKS: Final = {"finished": ("o", COLOURS["model"]), "pruned": ("x", COLOURS["baseline"])}
DPI: Final = 150
"""Of the PNG files."""


def write_figures(result: Record, folder: Path) -> list[Path]:
    """Return the files written into `folder`: history and importance, each as PNG and SVG.

    `result` is the document of `segue tune`. Without importances (too few trials, or equal values) the figure says so.
    """
    paths = []
    for name, draw in (("history", draw_history), ("importance", draw_importance)):
        figure = _figure(result)
        draw(figure.add_subplot(), result)
        for path in (folder / f"{name}.png", folder / f"{name}.svg"):
            with replaced_file(path) as temporary:
                if path.suffix == ".svg":
                    temporary.write_text(svg_text(figure, name), encoding="utf-8")
                else:
                    figure.savefig(temporary, format="png", dpi=DPI, metadata={"Software": None})
            paths.append(path)
    return paths


def draw_history(axes: Axes, result: Record) -> None:
    """Draw validation HR@10 of each trial by its number, and the best so far."""
    best, numbers, heights = float("-inf"), list[int](), list[float]()
    for trial in result["trials"]:
        if trial["state"] == "finished":
            best = max(best, trial["value"])
        if best > float("-inf"):
            numbers.append(trial["number"])
            heights.append(best)
    for state, (marker, colour) in MARKS.items():
        shown = [trial for trial in result["trials"] if trial["state"] == state]
        if shown:
            values = [trial["value"] for trial in shown]
            axes.plot([trial["number"] for trial in shown], values, marker, color=colour, label=state, markersize=5)
    if numbers:
        axes.step(numbers, heights, where="post", color=COLOURS["model"], linewidth=1.2, label="best so far")
        axes.legend(frameon=False, fontsize=9)
    axes.set_xlabel("trial")
    axes.set_title(f"validation HR@10{_mark(result)}", loc="left", fontsize=10)


def draw_importance(axes: Axes, result: Record) -> None:
    """Draw one bar a parameter."""
    values = dict(reversed(result["importance"]["values"].items()))
    axes.barh(list(values), list(values.values()), color=COLOURS["model"], height=0.62)
    axes.set_xlim(0.0, 1.0)
    axes.set_title(f"importance for validation HR@10{_mark(result)}", loc="left", fontsize=10)
    axes.set_xlabel(result["importance"]["method"])
    if not values:
        axes.set_yticks([])
        axes.text(0.5, 0.5, "too few trials, or all equal", transform=axes.transAxes, ha="center")


def _mark(result: Record) -> str:
    """Return the word *simulated*, where it belongs beside numbers."""
    return f", {result['recipe']}, simulated data" if result["simulated"] else f", {result['recipe']}"


def _figure(result: Record) -> Figure:
    """Return an empty figure (no window, no global state)."""
    from matplotlib.figure import Figure

    return Figure(figsize=(7.0, 0.9 + 0.55 * max(len(result["importance"]["values"]), 4)), layout="constrained")
