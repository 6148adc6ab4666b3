"""Tidal's streaming history: one listener, in no order, a video among the tracks."""

from __future__ import annotations

import csv
from pathlib import Path

from support.exports.play import Play, seconds

_HEADER = ["artist_name", "track_title", "entry_date", "stream_duration_ms", "product_type", "country", "client_name"]
_ROWS = [
    ("The Paper Boats", "Harbour Lights", "2023-04-19 10:01:02.392000+00:00", "3000.0", "TRACK"),
    ("Nils Åkesson", "Ærø", "2023-04-19 10:01:06+00:00", "201000.0", "TRACK"),
    ("Comma, the Band", 'She Said "Go"', "2023-04-19 10:04:30.000001+00:00", "0.0", "TRACK"),
    ("Kumo", "夜の電車", "2023-04-20 06:00:00.500000+00:00", "240123.0", "TRACK"),
]
_VIDEO = ("Kumo", "夜の電車 (Live)", "2023-04-20 05:00:00+00:00", "240000.0", "VIDEO")

PLAYS = [
    Play(None, None, title, artist, seconds(at[:19]), False, float(ms) / 1000, None, None)
    for artist, title, at, ms, _ in _ROWS
]
LEFT_OUT = {"video": 1}


def write(folder: Path) -> Path:
    """Write the history and return the file."""
    path = folder / "streaming.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = [_ROWS[2], _VIDEO, _ROWS[0], _ROWS[3], _ROWS[1]]
        csv.writer(file).writerows([_HEADER, *([*row, "XX", "a player"] for row in rows)])
    return path
