"""Last.fm's scrobbles in three forms, the newest first; each of its own listener."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from support.exports.play import Play, seconds

# Time, artist, album, title; the oldest first.
_ROWS = [
    ("1970-01-01 00:05:00", "Kumo", "Kumo", "夜の電車"),  # a player without a clock
    ("2024-07-10 21:00:00", "The Paper Boats", "Low Tide", "Harbour Lights"),
    ("2024-07-10 21:03:00", "The Paper Boats", "Low Tide", "Tin Roof"),
    ("2024-07-10 21:07:00", "Comma, the Band", "Quotes, and More", 'She Said "Go"'),
    ("2024-07-11 09:07:00", "Nils Åkesson", "", "Ærø"),
    ("2024-07-11 09:07:00", "Mira Vale", "Glass Stairs", "Glass Stairs"),  # a tie: read out of a cache
    ("2024-07-11 09:15:00", "Nils Åkesson", "", "Ærø"),
]
_MBID = "7d2c1a34-0000-4000-8000-00000000000"


PLAYS = [Play(None, None, title, artist, seconds(at), False, None, None, None) for at, artist, _, title in _ROWS]
LEFT_OUT: dict[str, int] = {}
PAGE_LEFT_OUT = {"now-playing": 1}


def write(folder: Path) -> Path:
    """Write the table with a header, all quoted, and return the file."""
    header = ["uts", "utc_time", "artist", "artist_mbid", "album", "album_mbid", "track", "track_mbid"]
    rows = [
        [seconds(at), _spelled(at, ", "), artist, "", album, "", title, f"{_MBID}{place}" if place % 2 else ""]
        for place, (at, artist, album, title) in enumerate(_ROWS)
    ]
    path = folder / "recenttracks-someone-1720689000.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([header, *reversed(rows)])
    return path


def write_bare(folder: Path) -> Path:
    """Write the table without a header and without seconds and return the file."""
    path = folder / "someone.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = [[artist, album, title, _spelled(at, " ")] for at, artist, album, title in _ROWS]
        csv.writer(file).writerows(reversed(rows))
    return path


def write_pages(folder: Path) -> Path:
    """Write two pages of the programming interface, the first with a track that is playing, and return the folder."""
    records = [_record(*row) for row in reversed(_ROWS)]
    playing: dict[str, Any] = {"@attr": {"nowplaying": "true"}} | _record(*_ROWS[1])
    del playing["date"]
    pages = folder / "pages"
    pages.mkdir()
    for number, tracks in enumerate([[playing, *records[:4]], records[4:]], start=1):
        about = {"user": "someone", "page": str(number), "perPage": "4", "totalPages": "2", "total": str(len(records))}
        page = {"recenttracks": {"track": tracks, "@attr": about}}
        (pages / f"page-{number}.json").write_text(json.dumps(page, ensure_ascii=False), encoding="utf-8")
    return pages


def _record(at: str, artist: str, album: str, title: str) -> dict[str, Any]:
    return {
        "artist": {"mbid": "", "#text": artist},
        "streamable": "0",
        "image": [{"size": "small", "#text": "https://example.org/34s/0.png"}],
        "mbid": "",
        "album": {"mbid": "", "#text": album},
        "name": title,
        "url": "https://example.org/music/track",
        "date": {"uts": str(seconds(at)), "#text": _spelled(at, ", ")},
    }


def _spelled(at: str, between: str) -> str:
    """Return '11 Jul 2024, 09:07'."""
    return datetime.fromtimestamp(seconds(at), UTC).strftime(f"%d %b %Y{between}%H:%M")
