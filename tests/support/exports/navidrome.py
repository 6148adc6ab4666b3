"""Navidrome's database."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from support.exports.play import Play

_FILES: Final = {
    "f1": ("Ferns", "Ada Blue", "Green", 201.5),
    "f2": ("Moss", "Ada Blue • Cy Doe", "Green", 180.0),
    "f3": ("Bark", "Cy Doe", "", 60.25),
}
_SCROBBLES: Final = [
    ("f2", "u2", 1_760_000_500),
    ("f1", "u1", 1_760_000_000),
    ("f2", "u1", 1_760_000_202),
    ("gone", "u1", 1_760_000_400),
    ("f3", "u2", 1_760_000_700),
    ("f1", "u3", 1_760_000_800),
]
LEFT_OUT: Final[dict[str, int]] = {}


def _play(track: str, listener: str, at: int) -> Play:
    title, artist, _, length = _FILES.get(track, (None, None, None, None))
    return Play(listener, track, title, artist, at, False, None, length, None)


PLAYS: Final = [_play(*row) for row in sorted(_SCROBBLES, key=lambda row: row[2])]


def write(folder: Path) -> Path:
    """Write a database with scrobbles, one of a file that is gone, and a table that is none of ours; return it."""
    path = folder / "navidrome.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE user (id VARCHAR PRIMARY KEY, user_name VARCHAR, password VARCHAR)")
        connection.execute(
            "CREATE TABLE media_file (id VARCHAR PRIMARY KEY, title, artist, album, duration REAL, path)"
        )
        connection.execute("CREATE TABLE scrobbles (media_file_id VARCHAR, user_id VARCHAR, submission_time INTEGER)")
        files = [(name, *fields, f"/music/{name}.flac") for name, fields in _FILES.items()]
        connection.executemany("INSERT INTO media_file VALUES (?, ?, ?, ?, ?, ?)", files)
        connection.executemany("INSERT INTO scrobbles VALUES (?, ?, ?)", _SCROBBLES)
    return path


FORMS: Final = {"database": (write, PLAYS, LEFT_OUT)}
