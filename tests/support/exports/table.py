"""A table of plays of one's own: usual names, the end of each play to the minute, milliseconds played."""

from __future__ import annotations

from pathlib import Path

from support.exports.lines import write_lines
from support.exports.play import Play, seconds

_ROWS = [
    ("u1", "2024-02-29 16:20", "t1", "200000"),
    ("u1", "2024-02-29 16:20", "t2", "1500"),
    ("u1", "2024-02-29 16:24", "t1", "200400"),
    ("u2", "2024-02-29 12:00", "t2", "45000"),
    ("u2", "2024-02-29 12:04", "t3", ""),
]
PLAYS = [
    Play(user, track, None, None, seconds(f"{at}:00"), True, float(ms) / 1000 if ms else None, None, None)
    for user, at, track, ms in _ROWS
]
LEFT_OUT: dict[str, int] = {}


def write(folder: Path) -> Path:
    """Write the table into `folder`, and return its path."""
    return write_lines(folder / "plays.csv", ["listener,ended_at,track,ms_played", *(",".join(row) for row in _ROWS)])
