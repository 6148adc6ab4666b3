"""Piki's table of likes, as published and as others write it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from support.exports.lines import write_lines
from support.exports.play import Play


def _play(listener: str, track: str, at: int, told: int | None) -> Play:
    return Play(listener, track, None, None, at, False, None, None, told)


_NEW_YEAR: Final = 1_577_836_800
"""2020-01-01 00:00:00 UTC."""
PLAYS: Final = [
    _play("31", "900", _NEW_YEAR, 0),
    _play("31", "901", _NEW_YEAR + 8, 3),
    _play("31", "900", _NEW_YEAR + 20, None),
    _play("8", "902", _NEW_YEAR + 1, 3),
    _play("8", "901", _NEW_YEAR + 2, 3),
    _play("45", "902", _NEW_YEAR + 30, 0),
]
LEFT_OUT: Final[dict[str, int]] = {}


def write(folder: Path) -> Path:
    """Write the table as published, a superlike among the likes; return the file."""
    rows = (
        "2020-01-01 00:00:00,31,900,1,0,70",
        "2020-01-01 00:00:01,8,902,0,1,12",
        "2020-01-01 00:00:02,8,901,0,0,3",
        "2020-01-01 00:00:08,31,901,0,0,3",
        "2020-01-01 00:00:20,31,900,,0,70",
        "2020-01-01 00:00:30,45,902,2,1,12",
    )
    header = "timestamp,user_id,song_id,liked,personalized,spotify_popularity"
    return write_lines(folder / "piki_dataset.csv", (header, *rows))


def write_as_flags(folder: Path) -> Path:
    """Write the four columns with flags as pandas spells them; return the file."""
    rows = (
        "2020-01-01T00:00:00Z,31,900,True",
        "2020-01-01T00:00:08Z,31,901,False",
        "2020-01-01T00:00:20Z,31,900,",
        "2020-01-01T00:00:01Z,8,902,False",
        "2020-01-01T00:00:02Z,8,901,false",
        "2020-01-01T00:00:30Z,45,902,true",
    )
    return write_lines(folder / "piki.csv", ("timestamp,user,song,liked", *rows))


FORMS: Final = {"published": (write, PLAYS, LEFT_OUT), "flags": (write_as_flags, PLAYS, LEFT_OUT)}
