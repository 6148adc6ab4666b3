"""Maloja's export."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from support.exports.play import Play

_SCROBBLES: Final[list[dict[str, Any]]] = [
    {
        "time": 1_650_000_000,
        "track": {
            "artists": ["Ada Blue", "Cy Doe"],
            "title": "Ferns",
            "album": {"artists": ["Ada Blue"], "albumtitle": "Green"},
            "length": 200,
        },
        "duration": 31,
        "origin": "client:phone",
    },
    {
        "time": 1_650_000_300,
        "track": {"artists": ["Ada Blue"], "title": "Moss", "album": None, "length": None},
        "duration": None,
        "origin": "client:phone",
    },
    {
        "time": 1_650_000_100,
        "track": {"artists": [], "title": "Überall", "album": None, "length": 90},
        "duration": 90,
        "origin": "import:file",
    },
]
PLAYS: Final = [
    Play(None, None, "Ferns", "Ada Blue, Cy Doe", 1_650_000_000, False, 31, 200, None),
    Play(None, None, "Überall", None, 1_650_000_100, False, 90, 90, None),
    Play(None, None, "Moss", "Ada Blue", 1_650_000_300, False, None, None, None),
]
LEFT_OUT: Final[dict[str, int]] = {}


def write(folder: Path) -> Path:
    """Write the export; return the file."""
    path = folder / "maloja_export_1650001000.json"
    document = {"maloja": {"export_time": 1_650_001_000}, "scrobbles": _SCROBBLES}
    path.write_text(json.dumps(document, indent=1), encoding="utf-8")
    return path


FORMS: Final = {"export": (write, PLAYS, LEFT_OUT)}
