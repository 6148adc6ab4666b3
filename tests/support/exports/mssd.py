"""Logs of the Music Streaming Sessions Dataset, as published and after pandas."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from segue import columns
from support.exports.lines import write_lines
from support.exports.play import Play

_FLAGS: Final = {
    3: ("true", "true", "true", "false"),
    2: ("false", "true", "true", "false"),
    1: ("false", "false", "true", "false"),
    0: ("false", "false", "false", "true"),
    None: ("false", "false", "false", "false"),
}
_SESSIONS: Final[dict[str, list[tuple[str, int | None]]]] = {
    "0_a": [("t_x", 3), ("t_y", 0), ("t_x", 1), ("007", 2), ("t_z", None)],
    "0_b": [("t_y", 0), ("007", 0), ("t_z", 0)],
    "0_c": [("t_z", 3), ("t_x", 2)],
}
PLAYS: Final = [
    Play(None, track, None, None, None, False, None, None, told, session)
    for session, events in _SESSIONS.items()
    for track, told in events
]
LEFT_OUT: Final[dict[str, int]] = {}


def write(folder: Path) -> Path:
    """Write a log as published; return the file."""
    return write_lines(folder / "log_0_20180715_000000000000.csv", _lines("2018-07-15"))


def write_as_pandas(folder: Path) -> Path:
    """Write the log with pandas' flags and days that begin with the day; return the file."""
    lines = (line.replace("true", "True").replace("false", "False") for line in _lines("15-07-18"))
    return write_lines(folder / "log_mini.csv", lines)


def _lines(day: str) -> list[str]:
    lines = [",".join(columns.MSSD_LOG)]
    for session, events in _SESSIONS.items():
        for position, (track, told) in enumerate(events, start=1):
            head = (session, str(position), str(len(events)), track, *_FLAGS[told])
            rest = ("0", "0", "0", "0", "0", "0", "true", "16", day, "false", "radio", "trackdone", "fwdbtn")
            lines.append(",".join((*head, *rest)))
    return lines


FORMS: Final = {"published": (write, PLAYS, LEFT_OUT), "pandas": (write_as_pandas, PLAYS, LEFT_OUT)}
