"""Figures as SVG text in the page's colours."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from segue.reports.findings import AMONG, known, measured

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK: Final = "#010203"
"""Placeholder of the page's text colour, replaced by `currentColor` in the SVG for dark pages."""
COLOURS: Final = {"model": "#c2553a", "baseline": "#7d8590"}
LINES: Final = ("#7d8590", "#c2553a", "#3d7ea6", "#8a6bbd", "#3d8a5f", "#b0892f")
PROTOCOLS: Final = {name: f"among {tracks}" for name, tracks in AMONG.items()}


def hit_rate_figure(rows: Sequence[Mapping[str, Any]], metric: str = "hr@10") -> str:
    """Return the SVG of `metric` with intervals: one panel per protocol, one bar per model or baseline.

    `rows` are records with name, kind ('model' or 'baseline'), protocol and `metric` = [value, low, high].
    """
    protocols = [name for name in PROTOCOLS if any(row["protocol"] == name for row in rows)]
    titles = [f"{metric.upper()} {PROTOCOLS[protocol]}" for protocol in protocols]
    figure, panels = titled_panels(9.0, 0.5 + 0.36 * max(len(rows) / max(len(protocols), 1), 2), titles)
    for axes, protocol in zip(panels, protocols, strict=True):
        bars = [row for row in rows if row["protocol"] == protocol and measured(row, metric)]
        shown = sorted(bars, key=lambda row: float(row[metric][0]))
        for height, row in enumerate(shown):
            value, low, high = row[metric]
            axes.barh(height, value, color=COLOURS[row["kind"]], height=0.62)
            if known(low) and known(high):
                axes.plot([low, high], [height, height], color=INK, linewidth=1.4)
        axes.set_yticks(range(len(shown)), [row["name"] for row in shown])
        axes.set_xlim(left=0)
    return svg_text(figure, "hit-rate")


def curve_figure(curves: Mapping[str, Sequence[Mapping[str, Any]]], metric: str = "hr@10") -> str:
    """Return the SVG of training: loss, and validation `metric`, by epoch; one line per run.

    `curves` maps a run's name to records with epoch and, if measured, loss and `metric`.
    """
    from matplotlib.ticker import MaxNLocator

    figure, panels = titled_panels(9.0, 2.8, ("training loss, next track", f"validation {metric.upper()}"))
    for axes, key in zip(panels, ("loss", metric), strict=True):
        for colour, (name, points) in zip(LINES, curves.items(), strict=False):
            axes.plot(*epochs_and_values(points, key), "o-", label=name, color=colour, markersize=4)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(frameon=False, labelcolor=INK, fontsize=9)
    return svg_text(figure, "curves")


def svg_text(figure: Figure, salt: str) -> str:
    """Return `figure` as an inline SVG element, the same bytes each time; `salt` makes its ids unique."""
    import matplotlib as mpl

    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": salt}):
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :].replace(INK, "currentColor")


def epochs_and_values(points: Sequence[Mapping[str, Any]], key: str) -> tuple[list[int], list[float]]:
    """Return the epochs of a curve at which `key` is measured, and its values there."""
    shown = [point for point in points if point.get(key) is not None]
    return [point["epoch"] for point in shown], [point[key] for point in shown]


def titled_panels(width: float, height: float, titles: Sequence[str]) -> tuple[Figure, list[Axes]]:
    """Return a figure of `width` x `height` inches (no window, no global state) and its axes side by side.

    One axes a title, in the page's text colour.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    panels = [figure.add_subplot(1, len(titles), number) for number in range(1, len(titles) + 1)]
    for axes, title in zip(panels, titles, strict=True):
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(INK)
        axes.tick_params(colors=INK, labelsize=9)
        axes.xaxis.label.set_color(INK)
        axes.yaxis.label.set_color(INK)
        axes.set_title(title, loc="left", fontsize=10, color=INK)
        axes.patch.set_alpha(0.0)
    return figure, panels
