"""The reliability figure: share of tracks listened to by predicted P(listen)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from segue.reports.figures import INK, LINES, svg_text, titled_panels

SHOWN: Final = ("session-rate", "model", "track-rate", "oracle")
"""Predictors that are drawn if they are measured."""
Record = Mapping[str, Any]


def reliability(listening: Sequence[Record], title: str) -> str:
    """Return the SVG of the share listened to by the mean P(listen) of each bin; the diagonal is perfect.

    `listening`: records of an evaluation with name and `reliability`, [mean p, share listened, targets] per bin. A
    point's area is its bin's share of the targets.
    """
    figure, (axes,) = titled_panels(5.2, 4.2, [title])
    axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=":")
    bins_of = {row["name"]: row["reliability"] for row in listening}
    for number, name in enumerate(name for name in SHOWN if bins_of.get(name)):
        p, share, count = zip(*bins_of[name], strict=True)
        colour, whole = LINES[number % len(LINES)], max(sum(count), 1)
        axes.plot(p, share, color=colour, linewidth=1, label=name)
        axes.scatter(p, share, s=[6 + 240 * each / whole for each in count], color=colour)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="P(listen) predicted", ylabel="share listened to")
    axes.legend(frameon=False, labelcolor=INK, fontsize=8, loc="upper left")
    return svg_text(figure, "reliability")
