"""A backup of Jellyfin's Playback Reporting."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from support.exports.lines import write_lines
from support.exports.play import Play

_ADA, _CY = "a" * 32, "0123456789abcdef" * 2
_FERNS, _MOSS, _FILM = "f" * 32, "1" * 32, "2" * 32
_LINES: Final = (
    ("2023-05-01 20:00:20.1234567", _ADA, _FERNS, "Audio", "Ada Blue - Ferns - Live (Green)", "214"),
    ("2023-05-01 20:05:20.1", _ADA, _MOSS, "Audio", "Not Known - Moss (Not Known)", "25"),
    ("2023-05-01 20:04:00", _CY, _FERNS, "Audio", "Ada Blue - Ferns - Live (Green)", "0"),
    ("2023-05-02 21:00:00.5", _CY, _FILM, "Movie", "A Film", "5400"),
    ("2023-05-03 07:00:00.25", _CY, _MOSS, "Audio", "Moss", "180"),
)
_EVENING: Final = 1_682_971_200
"""2023-05-01 20:00:00."""
PLAYS: Final = [
    Play(_ADA, _FERNS, "Ferns - Live (Green)", "Ada Blue", _EVENING + 20, False, 214, None, None),
    Play(_ADA, _MOSS, "Moss", None, _EVENING + 320, False, 25, None, None),
    Play(_CY, _FERNS, "Ferns - Live (Green)", "Ada Blue", _EVENING + 240, False, 0, None, None),
    Play(_CY, _MOSS, "Moss", None, _EVENING + 35 * 3600, False, 180, None, None),
]
LEFT_OUT: Final = {"video": 1}


def write(folder: Path) -> Path:
    """Write the backup; return the file."""
    rows = ((*fields[:5], "DirectPlay", "Finamp", "Phone", fields[5]) for fields in _LINES)
    return write_lines(folder / "PlaybackReportingBackup-20230504-030000.tsv", map("\t".join, rows))


FORMS: Final = {"backup": (write, PLAYS, LEFT_OUT)}
