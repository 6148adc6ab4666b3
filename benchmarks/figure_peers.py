"""Draw training throughput against vocabulary size from what against_peers.py printed.

    python benchmarks/figure_peers.py peers.json [more.json ...] --out docs/figures/peers

Writes OUT.svg and OUT.png: sessions a second over tracks, both axes logarithmic, one line a system with its name at the
end, bars from the slowest to the fastest chunk. Documents of several calls are joined (a later one wins a point both
have). A system that did not run at a size has no point there, and its line ends before it.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from peers.processes import QUIET
from peers.systems import SYSTEMS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SEGUE: Final = "#c2553a"
OTHERS: Final = ("#3d7ea6", "#8a6bbd", "#5c8a4d", "#b08a2e", "#7d8590", "#2f6f6a", "#a0527d", "#4a4f57")
NAMES: Final[Mapping[str, str]] = {
    "segue": "Segue",
    "segue-fp32": "Segue, float32",
    "replay": "RePlay",
    "replay-tuned": "RePlay, bf16 and trimmed",
    "torch": "plain PyTorch",
    "torch-fused": "plain PyTorch, fused Adam",
    "torch-sparse": "plain PyTorch, SparseAdam",
    "rectools": "RecTools, sampled",
    "rectools-softmax": "RecTools",
    "recbole": "RecBole SASRec",
    "recbole-bert4rec": "RecBole BERT4Rec",
}
_APART: Final = 0.045
"""Least distance of two labels, as a share of the axis."""

Points = dict[int, dict[str, float]]
"""Vocabulary size to median, min and max of sessions a second."""


def lines_of(documents: list[dict[str, Any]]) -> dict[str, Points]:
    """Return the points of each system, systems in the order of the registry."""
    lines: dict[str, Points] = {name: {} for name in SYSTEMS}
    for document in documents:
        for part in document["results"]:
            for name, facts in part["systems"].items():
                if "not_run" in facts:
                    continue
                if facts["others_cpu"] > QUIET:
                    print(f"{name} at {part['tracks']:,} tracks was disturbed: measure again", file=sys.stderr)
                lines[name][part["tracks"]] = facts["sessions_per_s"]
    return {name: dict(sorted(points.items())) for name, points in lines.items() if points}


def short(tracks: int) -> str:
    """Return 50000 as 50K and 2000000 as 2M."""
    return f"{tracks / 1e6:g}M" if tracks >= 1_000_000 else f"{tracks / 1e3:g}K"


def label_heights(axes: Axes, ends: Mapping[str, float]) -> dict[str, float]:
    """Return where to write each label: at its line's end, pushed upward where two would meet."""
    low, high = (math.log(limit) for limit in axes.get_ylim())
    step = _APART * (high - low)
    heights: dict[str, float] = {}
    below = -math.inf
    for name, value in sorted(ends.items(), key=lambda end: end[1]):
        below = max(math.log(value), below + step)
        heights[name] = math.exp(below)
    return heights


def draw_lines(axes: Axes, lines: Mapping[str, Points]) -> None:
    """Draw the lines, each with its name where it ends."""
    others = iter(OTHERS * 2)
    colours = {name: SEGUE if name == "segue" else next(others) for name in lines}
    for name, points in lines.items():
        sizes, rates = list(points), [point["median"] for point in points.values()]
        bars = [
            [point["median"] - point["min"] for point in points.values()],
            [point["max"] - point["median"] for point in points.values()],
        ]
        wide = 2.4 if name == "segue" else 1.5
        axes.errorbar(sizes, rates, yerr=bars, fmt="o-", color=colours[name], linewidth=wide, markersize=4, capsize=2)
    last = max(size for points in lines.values() for size in points)
    ends = {name: list(points.values())[-1]["median"] for name, points in lines.items()}
    whole = {name: value for name, value in ends.items() if max(lines[name]) == last}
    heights = ends | label_heights(axes, whole)
    for name, height in heights.items():
        place = (max(lines[name]) * 1.12, height)
        axes.annotate(NAMES[name], xy=place, color=colours[name], fontsize=9, va="center", annotation_clip=False)


def draw(documents: list[dict[str, Any]], out: Path) -> None:
    """Write `out`.svg and `out`.png."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    lines = lines_of(documents)
    sizes = sorted({size for points in lines.values() for size in points})
    machine = documents[-1]["machine"]
    figure = Figure(figsize=(9.5, 5.2), layout="constrained")
    axes = figure.add_subplot()
    axes.set_xscale("log")
    axes.set_yscale("log")
    draw_lines(axes, lines)
    axes.set_xticks(sizes, [short(size) for size in sizes])
    axes.minorticks_off()
    axes.set_xlabel("tracks in the vocabulary")
    axes.set_ylabel("training, sessions a second")
    axes.set_title(f"{machine['cpu']}, {machine['cores']} cores", loc="left", fontsize=10)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    out.parent.mkdir(parents=True, exist_ok=True)
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "peers"}):
        figure.savefig(out.with_suffix(".svg"), metadata={"Date": None})
        figure.savefig(out.with_suffix(".png"), dpi=160)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("documents", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="path without suffix")
    given = parser.parse_args()
    draw([json.loads(path.read_text()) for path in given.documents], given.out)


if __name__ == "__main__":
    main()
