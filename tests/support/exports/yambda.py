"""Yambda's Parquet files: flat, sequential, and events of several kinds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import polars as pl

from support.exports.play import Play

_FLAT: Final = {
    "uid": pl.UInt32,
    "timestamp": pl.UInt32,
    "item_id": pl.UInt32,
    "is_organic": pl.UInt8,
    "played_ratio_pct": pl.UInt16,
    "track_length_seconds": pl.UInt32,
}
_ROWS: Final[list[tuple[Any, ...]]] = [
    (7, 0, 70, 1, 100, 200),
    (7, 40, 71, 0, 3, 180),
    (7, 41, 70, 1, 130, 200),
    (9, 5, 72, 1, 0, 240),
    (12, 100, 70, 0, 50, 200),
    (12, 120, 71, 0, 95, 180),
]
_OTHERS: Final[list[tuple[Any, ...]]] = [
    (7, 42, 70, 1, None, None, "like"),
    (7, 43, 71, 0, None, None, "dislike"),
    (7, 44, 70, 1, None, None, "unlike"),
    (7, 45, 71, 1, None, None, "undislike"),
    (9, 6, 72, 1, None, None, "like"),  # while it plays, though 0 % are heard
    (12, 110, 70, 0, None, None, "dislike"),
    (12, 9_000, 71, 0, None, None, "dislike"),  # long after, and the share is known
]


def _play(row: tuple[Any, ...], told: int | None = None) -> Play:
    uid, stamp, item, _, percent, length = row[:6]
    share = None if percent is None else percent / 100
    return Play(str(uid), str(item), None, None, stamp, False, None, length, told, share=share)


PLAYS: Final = [_play(row) for row in _ROWS]
LEFT_OUT: Final[dict[str, int]] = {}
OPINIONS_LEFT_OUT: Final = {"like": 2, "dislike": 3, "unlike": 1, "undislike": 1}
STRENGTHS: Final = [0, 3, 0, 3, 1, 0]
"""Of the plays, without the opinions."""
JUDGED_STRENGTHS: Final = [0, 3, 0, 0, 3, 0]
"""With them."""
ORGANIC: Final = [bool(row[3]) for row in _ROWS]


def write(folder: Path) -> Path:
    """Write the flat listens; return the file."""
    return _written(folder / "listens.parquet", pl.DataFrame(_ROWS, schema=_FLAT, orient="row"))


def write_sequential(folder: Path) -> Path:
    """Write the same listens as one row a listener, and a listener without any; return the file."""
    frame = pl.DataFrame(_ROWS, schema=_FLAT, orient="row").group_by("uid", maintain_order=True).agg(pl.all())
    nobody = pl.DataFrame({"uid": [99], **{name: [[]] for name in list(_FLAT)[1:]}}, schema=frame.schema)
    return _written(folder / "sequential" / "listens.parquet", pl.concat([frame, nobody]))


def write_multi_event(folder: Path) -> Path:
    """Write listens among likes and dislikes; return the file."""
    return _written(folder / "multi_event.parquet", _events())


def write_sequential_events(folder: Path) -> Path:
    """Write the same as one row a listener; return the file."""
    return _written(folder / "multi_event.parquet", _events().group_by("uid", maintain_order=True).agg(pl.all()))


def write_flat_files(folder: Path) -> Path:
    """Write a file for each kind of event; return the folder."""
    return _write_kinds(folder / "flat" / "50m", lambda frame: frame)


def write_sequential_files(folder: Path) -> Path:
    """Write a file for each kind of event, with one row a listener; return the folder."""
    return _write_kinds(
        folder / "sequential" / "50m", lambda frame: frame.group_by("uid", maintain_order=True).agg(pl.all())
    )


def _events() -> pl.DataFrame:
    rows = sorted([*((*row, "listen") for row in _ROWS), *_OTHERS], key=lambda row: row[:2])
    kinds = pl.Enum(["listen", "like", "dislike", "unlike", "undislike"])
    return pl.DataFrame(rows, schema={**_FLAT, "event_type": kinds}, orient="row")


def _write_kinds(folder: Path, layout: Callable[[pl.DataFrame], pl.DataFrame]) -> Path:
    for (kind,), events in _events().group_by("event_type"):
        measures = [] if kind == "listen" else ["played_ratio_pct", "track_length_seconds"]
        _written(folder / f"{kind}s.parquet", layout(events.drop("event_type", *measures)))
    return folder.parent.parent


def _written(path: Path, frame: pl.DataFrame) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.write_parquet(path)
    return path


FORMS: Final = {
    "flat": (write, PLAYS, LEFT_OUT),
    "sequential": (write_sequential, PLAYS, LEFT_OUT),
    "multi-event": (write_multi_event, PLAYS, OPINIONS_LEFT_OUT),
    "sequential-multi-event": (write_sequential_events, PLAYS, OPINIONS_LEFT_OUT),
}
