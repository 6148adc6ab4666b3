"""KKBOX' train.csv, which holds no plays."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from exports.play import Play

PLAYS: Final[list[Play]] = []
LEFT_OUT: Final[dict[str, int]] = {}


def write(folder: Path) -> Path:
    """Write the table; return the file."""
    path = folder / "train.csv"
    rows = (
        "AbC+/d=,xyz0=,explore,Explore,online-playlist,1",
        "AbC+/d=,xyz1=,my library,Local playlist more,local-playlist,0",
        "EfG=,xyz0=,,,,1",
    )
    header = "msno,song_id,source_system_tab,source_screen_name,source_type,target"
    path.write_text("\n".join((header, *rows)) + "\n", encoding="utf-8")
    return path


FORMS: Final = {"train": (write, PLAYS, LEFT_OUT)}
