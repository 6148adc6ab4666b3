"""The verb `inspect`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from segue.errors import InputError
from segue.files import check_parent, replaced_file
from segue.option_types import PathOrNone
from segue.store.reader import Store

KINDS: Final = ("png", "svg", "pdf")
"""Endings of a figure's name."""


@dataclass(frozen=True)
class InspectOptions:
    """Options of `inspect`."""

    figure: PathOrNone = None
    """Also draw lengths, popularity and skip rates to this file (.svg, .png or .pdf)."""
    overwrite: bool = False
    """Replace an existing figure."""


def inspect(store: str | Path, options: InspectOptions = InspectOptions()) -> dict[str, Any]:
    """Show the figures of a store: sessions, tracks, lengths, popularity, skip rates.

    Args:
        store: a store.

    Raises:
        FormatError: not a store, or a damaged one. InputError: the figure does not end in .png, .svg or .pdf, or it
            exists and `overwrite` is not set.
    """

    from segue.data.store_summary import inspect_store

    figure = None if options.figure is None else _checked_figure(Path(options.figure), options.overwrite)
    summary = inspect_store(Store(store))
    if figure is not None:
        _draw(summary, figure)
    return summary


def _checked_figure(path: Path, overwrite: bool) -> Path:
    """Return `path` if a figure may be written there."""
    if path.suffix.lstrip(".").lower() not in KINDS:
        raise InputError(f"{path}: name a figure ending in .png, .svg or .pdf")
    check_parent(path)
    if path.is_dir() or (path.exists() and not overwrite):
        raise InputError(f"{path} exists already; name another file or add --overwrite")
    return path


def _draw(summary: Mapping[str, Any], path: Path) -> None:
    """Draw lengths, popularity, strengths and skip rates by position of `inspect`'s document into `path`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 7), layout="constrained")
    FigureCanvasAgg(figure)
    mark = " (simulated)" if summary["simulated"] else ""
    figure.suptitle(
        f"{summary['store']}{mark}: {summary['sessions']:,} sessions, {summary['rows']:,} rows, "
        f"{summary['tracks']:,} tracks"
    )
    axes = figure.subplots(2, 2)
    _bars(axes[0, 0], {int(k): v for k, v in summary["lengths"].items()}, "session length", "sessions")
    top = summary["popularity"]["top_share"]
    axes[0, 1].plot([int(rank) for rank in top], list(top.values()), marker="o")
    axes[0, 1].set(xscale="log", ylim=(0, 1), xlabel="top tracks", ylabel="share of plays")
    _bars(axes[1, 0], summary["strengths"], "strength (3 = skipped very briefly)", "share of rows")
    rates = [part for part in summary["skip_rate_by_position"] if part["skip_rate"] is not None]
    axes[1, 1].plot([part["position"] for part in rates], [part["skip_rate"] for part in rates], marker="o")
    axes[1, 1].set(ylim=(0, 1), xlabel="position", ylabel="skip rate")
    with replaced_file(path) as temporary:
        figure.savefig(temporary, format=path.suffix.lstrip(".").lower())


def _bars(axis: Any, values: Mapping[Any, int | float], xlabel: str, ylabel: str) -> None:
    axis.bar(list(values), list(values.values()))
    axis.set(xlabel=xlabel, ylabel=ylabel)
