"""Figures of a study: hit rates by K, differences with their intervals, training curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from segue.reports.figures import INK, LINES, PROTOCOLS, epochs_and_values, svg_text, titled_panels
from segue.reports.findings import known

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STYLES: Final = ("-", "--", ":")
"""Styles of the lines of one colour."""
VERDICTS: Final = {"gain": "#3d8a5f", "loss": "#c2553a"}
NEUTRAL: Final = "#7d8590"
COLUMNS: Final = 3
"""Columns of the legend below the panels."""
LINE: Final = 0.17
"""Height of a line of it, in inches."""
Record = Mapping[str, Any]


def hit_rates_by_k(arms: Mapping[str, Record], baselines: Sequence[Record], cutoffs: Sequence[int]) -> str:
    """Return the SVG of HR@K by K: one panel a protocol, one line an arm, baselines in grey.

    `arms` maps a title to {protocol: {metric: [mean, low, high]}}; `baselines` are rows with name and protocol.
    """
    protocols = [name for name in PROTOCOLS if all(name in levels for levels in arms.values())]
    num_lines = len(arms) + len({row["name"] for row in baselines})
    titles = [f"HR@K {PROTOCOLS[name]}" for name in protocols]
    figure, panels = titled_panels(9.0, 3.2 + _legend_height(num_lines), titles)
    for axes, protocol in zip(panels, protocols, strict=True):
        for number, (title, levels) in enumerate(arms.items()):
            values = [levels[protocol][f"hr@{cutoff}"][0] for cutoff in cutoffs]
            axes.plot(cutoffs, values, "o", **_line(number), markersize=3, label=title)
        for number, row in enumerate(row for row in baselines if row["protocol"] == protocol):
            values = [row[f"hr@{cutoff}"][0] for cutoff in cutoffs]
            axes.plot(cutoffs, values, linestyle=STYLES[number % 3], color=NEUTRAL, linewidth=1, label=row["name"])
        axes.set_xticks(list(cutoffs))
        axes.set_xlabel("K")
        axes.set_ylim(bottom=0)
    _legend(figure, panels[-1])
    return svg_text(figure, "hit-rates-by-k")


def differences(records: Sequence[Record], title: str) -> str:
    """Return the SVG of differences in points: a thick line is the interval over sessions, a thin one over seeds.

    `records` have label, difference, bootstrap_interval, t_interval, verdict and counts; a difference that does not
    count is hollow and has no colour.
    """
    figure, (axes,) = titled_panels(9.0, 0.8 + 0.22 * max(len(records), 2), [title])
    for row, record in enumerate(reversed(records)):
        colour = VERDICTS.get(record["verdict"], NEUTRAL) if record["counts"] else NEUTRAL
        for bounds, width in ((record["t_interval"], 1.0), (record["bootstrap_interval"], 3.0)):
            if known(bounds[0]) and known(bounds[1]):
                axes.plot([100 * bound for bound in bounds], [row, row], color=colour, linewidth=width, zorder=1)
        if known(record["difference"]):
            face = colour if record["counts"] else "white"
            axes.plot([100 * record["difference"]], [row], "o", color=colour, markersize=4, markerfacecolor=face)
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_yticks(range(len(records)), [record["label"] for record in reversed(records)])
    axes.set_xlabel("points")
    return svg_text(figure, f"differences-{title}")


def training_curves(curves: Mapping[str, Sequence[Record]], metric: str, among: str) -> str:
    """Return the SVG of a validation metric `among` its candidates by epoch, one line an arm (its first seed)."""
    figure, (axes,) = titled_panels(9.0, 3.0 + _legend_height(len(curves)), [f"validation {metric.upper()} {among}"])
    for number, (title, points) in enumerate(curves.items()):
        axes.plot(*epochs_and_values(points, metric), **_line(number), label=title)
    axes.set_xlabel("epoch")
    _legend(figure, axes)
    return svg_text(figure, "training-curves")


def _legend_height(num_lines: int) -> float:
    """Return the height that the names of so many lines take, in inches."""
    return LINE * math.ceil(num_lines / COLUMNS)


def _legend(figure: Figure, axes: Axes) -> None:
    """Name the lines of `axes` below all panels of its figure."""
    handles, names = axes.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=COLUMNS, frameon=False, labelcolor=INK, fontsize=8)


def _line(number: int) -> dict[str, Any]:
    """Return style and colour of the line of arm `number`."""
    colour = LINES[1 + number // len(STYLES) % (len(LINES) - 1)]
    return {"linestyle": STYLES[number % len(STYLES)], "color": colour}
