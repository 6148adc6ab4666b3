"""KKBOX' train.csv, which holds no plays."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from support.exports.lines import write_lines
from support.exports.play import Play

PLAYS: Final[list[Play]] = []
LEFT_OUT: Final[dict[str, int]] = {}


def write(folder: Path) -> Path:
    """Write the table; return the file."""
    rows = (
        "AbC+/d=,xyz0=,explore,Explore,online-playlist,1",
        "AbC+/d=,xyz1=,my library,Local playlist more,local-playlist,0",
        "EfG=,xyz0=,,,,1",
    )
    header = "msno,song_id,source_system_tab,source_screen_name,source_type,target"
    return write_lines(folder / "train.csv", (header, *rows))


FORMS: Final = {"train": (write, PLAYS, LEFT_OUT)}
