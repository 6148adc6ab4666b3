"""LFM-2b's listening events."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from support.exports.lines import write_lines
from support.exports.play import Play

_DAY: Final = 1_582_156_800
"""2020-02-20 00:00:00."""
PLAYS: Final = [
    Play("2", "88", None, None, _DAY, False, None, None, None),
    Play("2", "7", None, None, _DAY + 240, False, None, None, None),
    Play("2", "88", None, None, _DAY + 241, False, None, None, None),
    Play("31", "7", None, None, _DAY + 3600, False, None, None, None),
    Play("40", "9", None, None, _DAY + 60, False, None, None, None),
    Play("40", "7", None, None, _DAY + 360, False, None, None, None),
]
LEFT_OUT: Final[dict[str, int]] = {}


def write(folder: Path) -> Path:
    """Write the events, not in order of time; return the file."""
    rows = (
        "31\t7\t501\t2020-02-20 01:00:00",
        "2\t88\t500\t2020-02-20 00:04:01",
        "2\t88\t500\t2020-02-20 00:00:00",
        "2\t7\t501\t2020-02-20 00:04:00",
        "40\t9\t502\t2020-02-20 00:01:00",
        "40\t7\t501\t2020-02-20 00:06:00",
    )
    return write_lines(folder / "listening_events.tsv", ("user_id\ttrack_id\talbum_id\ttimestamp", *rows))


FORMS: Final = {"events": (write, PLAYS, LEFT_OUT)}
