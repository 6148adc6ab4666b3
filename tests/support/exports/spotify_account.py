"""Spotify's account export: one listener, to the minute, with the files beside it."""

from __future__ import annotations

import csv
import json
import zipfile
from pathlib import Path

from support.exports.play import Play, seconds

_NAMES = ["endTime", "artistName", "trackName", "msPlayed"]
_FIRST = [
    ("2021-09-30 12:28", "The Paper Boats", "Harbour Lights", 500),
    ("2021-09-30 12:28", "Nils Åkesson", "Ærø", 0),
    ("2021-09-30 12:28", "Mira Vale", "Glass Stairs", 12_345),
    ("2021-09-30 12:32", "The Paper Boats", "Tin Roof", 231_000),
    ("2021-09-30 23:59", "Kumo", "夜の電車", 240_500),
]
_SECOND = [  # out of order
    ("2021-10-01 07:04", "Comma, the Band", 'She Said "Go"', 64_000),
    ("2021-10-01 07:00", "Kumo", "夜の電車", 180_000),
    ("2021-10-01 07:03", "The Paper Boats", "Harbour Lights", 190_000),
]
_TABLE = [
    ("2022-01-05 06:30", "Mira Vale", "Glass Stairs", 3_000),
    ("2022-01-05 06:34", "Nils Åkesson", "Ærø", 220_000),
]


def _plays(rows: list[tuple[str, str, str, int]]) -> list[Play]:
    return [
        Play(None, None, title, artist, seconds(end), True, ms / 1000, None, None)
        for end, artist, title, ms in sorted(rows, key=lambda row: row[0])
    ]


PLAYS = _plays(_FIRST + _SECOND)
LEFT_OUT: dict[str, int] = {}
TABLE_PLAYS = _plays(_TABLE)
"""What the CSV file holds."""


def write(folder: Path) -> Path:
    """Write the zip that Spotify sends, podcasts and audiobooks beside the music, and return it."""
    podcast = {"endTime": "2021-09-30 13:00", "podcastName": "A Show", "episodeName": "Episode 1", "msPlayed": 900_000}
    book = {"endTime": "2021-09-30 14:00", "authorName": "B", "audiobookName": "A Book", "msPlayed": 900_000}
    files = {
        "StreamingHistory_music_0.json": [dict(zip(_NAMES, row, strict=True)) for row in _FIRST],
        "StreamingHistory_music_1.json": [dict(zip(_NAMES, row, strict=True)) for row in _SECOND],
        "StreamingHistory_podcast_0.json": [podcast],
        "StreamingHistory_audiobook_0.json": [book],
        "Userdata.json": {"username": "someone"},
    }
    path = folder / "my_spotify_data.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, records in files.items():
            archive.writestr(f"Spotify Account Data/{name}", json.dumps(records, indent=2, ensure_ascii=False))
    return path


def write_csv(folder: Path) -> Path:
    """Write a history turned into CSV with a byte order mark, under the name of old exports, and return the file."""
    path = folder / "StreamingHistory0.csv"
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file).writerows([_NAMES, *_TABLE])
    return path
