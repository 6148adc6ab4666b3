"""A portable player's .scrobbler.log."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from support.exports.lines import write_lines
from support.exports.play import Play

_LINES: Final = (
    'Ada Blue\tGreen\tFerns (12" Mix)\t3\t201\tL\t1400000000\t0f0f0f0f-0000-4000-8000-000000000001',
    "<Untagged>\t\tMoss\t\t180\tS\t1400000201\t",
    "Cy, Doe\tGreen\tFerns\t1\t65\tS\t1400000205\t",
    "Ada Blue\t<UNTAGGED>\tMoss\t2\t180\tL\t1400000209\t",
    "<Untagged>\t<Untagged>\t<Untagged>\t\t12\tS\t1400000400\t",
)
_DAMAGED: Final = "# FAILED - Ada Bl\tGreen\tFerns\t3\t201\tL\t1400000500\t"
PLAYS: Final = [
    Play(None, None, 'Ferns (12" Mix)', "Ada Blue", 1_400_000_000, False, None, 201, 0),
    Play(None, None, "Moss", None, 1_400_000_201, False, None, 180, 3),
    Play(None, None, "Ferns", "Cy, Doe", 1_400_000_205, False, None, 65, 3),
    Play(None, None, "Moss", "Ada Blue", 1_400_000_209, False, None, 180, 0),
]
LEFT_OUT: Final = {"damaged entry": 1}


def write(folder: Path) -> Path:
    """Write a log with its four leading lines and a damaged entry; return the file."""
    names = "#ARTIST #ALBUM #TITLE #TRACKNUM #LENGTH #RATING #TIMESTAMP #MUSICBRAINZ_TRACKID"
    head = ("#AUDIOSCROBBLER/1.1", "#TZ/UNKNOWN", "#CLIENT/Rockbox player $Revision$", names)
    return write_lines(folder / ".scrobbler.log", (*head, *_LINES, _DAMAGED))


def write_bare(folder: Path) -> Path:
    """Write a log without leading lines but with a byte order mark; return the file."""
    return write_lines(folder / "player.scrobbler.log", ("\ufeff" + _LINES[0], *_LINES[1:]))


def write_old(folder: Path) -> Path:
    """Write a log of version 1.0, which has no MusicBrainz ids; return the file."""
    head = ("#AUDIOSCROBBLER/1.0", "#TZ/UTC", "#CLIENT/Player 1.0")
    return write_lines(folder / ".scrobbler.log", (*head, *(line.rsplit("\t", 1)[0] for line in _LINES)))


FORMS: Final = {"log": (write, PLAYS, LEFT_OUT), "bare": (write_bare, PLAYS, {}), "old": (write_old, PLAYS, {})}
