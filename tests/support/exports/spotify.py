"""Spotify's extended streaming history: one listener, 2014 to 2025, in files of every form."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import polars as pl

from support.exports.play import Play, seconds

_INNER = "Spotify Extended Streaming History"
_SONGS = [
    ("Harbour Lights", "The Paper Boats", "Low Tide"),
    ("Ærø", "Nils Åkesson", "Øer"),
    ('She Said "Go"', "Comma, the Band", "Quotes, and More"),
    ("Glass Stairs", "Mira Vale", "Glass Stairs"),
    ("夜の電車", "Kumo", "Kumo"),
    ("Tin Roof", "The Paper Boats", "Low Tide"),
]
_URIS = [f"spotify:track:{song:022d}" for song in range(len(_SONGS))]

# When it stopped, milliseconds, song, reason_end, skipped, strength that is stated.
_Row = tuple[str, int, int, str | None, bool | None, int | None]
_OF_2014: list[_Row] = [  # skipped is null for years
    ("2014-05-01T10:03:10Z", 190_000, 0, "trackdone", None, 0),
    ("2014-05-01T10:03:12Z", 1_900, 1, "fwdbtn", None, 3),
    ("2014-05-01T10:03:40Z", 28_000, 2, "fwdbtn", None, 2),
    ("2014-05-01T10:05:30Z", 110_000, 3, "fwdbtn", None, 1),
    ("2014-05-01T10:05:33Z", 3_000, 4, "nextbtn", None, 3),
    ("2014-05-01T10:06:00Z", 25_000, 5, "clickrow", None, None),
    ("2014-05-01T10:06:00Z", 0, 0, "unknown", None, None),
]
_OF_2020: list[_Row] = [  # no id; places
    ("2020-01-10T20:00:00Z", 200_000, 0, "trackdone", None, 0),
    ("2020-01-10T20:03:20Z", 200_000, 1, "trackdone", None, 0),
    ("2020-01-10T20:03:24Z", 4_999, 2, "", True, 3),
    ("2020-01-10T20:03:50Z", 26_000, 3, None, True, 2),
    ("2020-01-10T20:04:50Z", 60_000, 4, None, None, None),
]
_OF_2023: list[_Row] = [  # all skipped
    ("2023-06-01T08:00:05Z", 5_000, 3, "fwdbtn", None, 2),
    ("2023-06-01T08:00:08Z", 2_500, 4, "fwdbtn", None, 3),
    ("2023-06-01T08:00:37Z", 29_999, 5, "fwdbtn", None, 2),
]
_OF_2024: list[_Row] = [  # in both of two exports
    ("2024-02-29T16:21:02Z", 242_786, 0, "trackdone", False, 0),
    ("2024-02-29T16:21:20Z", 18_000, 1, "backbtn", True, None),
    ("2024-02-29T16:21:45Z", 25_000, 2, "endplay", True, None),
    ("2024-02-29T16:22:15Z", 30_000, 3, "fwdbtn", True, 1),
]
_OF_2025: list[_Row] = [  # none skipped
    ("2025-08-13T14:10:00Z", 180_000, 4, "trackdone", False, 0),
    ("2025-08-13T14:13:22Z", 202_000, 5, "trackdone", False, 0),
    ("2025-08-13T14:13:30Z", 8_000, 0, "logout", False, None),
    ("2025-08-13T14:14:30Z", 60_000, 1, "unexpected-exit-while-paused", False, None),
    ("2025-08-13T14:15:30Z", 60_000, 2, "remote", False, None),
    ("2025-08-13T14:16:30Z", 60_000, 3, "switched-to-video", False, None),
]
_FIELDS: dict[int, dict[str, Any]] = {
    2020: {"username": "someone", "city": None, "region": None, "metro_code": None, "longitude": None}
    | {"latitude": None},
    2022: {"username": "someone", "ip_addr_decrypted": "0.0.0.0", "user_agent_decrypted": "unknown"},
    2024: {"ip_addr": "0.0.0.0"},
    2025: {"ip_addr": "0.0.0.0", "audiobook_title": None, "audiobook_uri": None}
    | {"audiobook_chapter_uri": None, "audiobook_chapter_title": None},
}
"""Those that an export of a year has beside the others'."""


def _blank(ts: str, ms: int, year: int) -> dict[str, Any]:
    """Return the record of an export of `year` that names nothing: no track, episode or audiobook."""
    record: dict[str, Any] = {"ts": ts, "platform": "ios", "ms_played": ms, "conn_country": "XX"}
    record |= dict.fromkeys(f"master_metadata_{part}_name" for part in ("track", "album_artist", "album_album"))
    if year != 2020:
        record["spotify_track_uri"] = None
    record |= {"episode_name": None, "episode_show_name": None, "spotify_episode_uri": None}
    record |= {"reason_start": "clickrow", "reason_end": "endplay", "shuffle": False, "skipped": None}
    stamp = {2020: 0, 2022: 1_398_938_590_123, 2024: 1_709_223_420, 2025: None}[year]
    return record | {"offline": False, "offline_timestamp": stamp, "incognito_mode": False} | _FIELDS[year]


def _records(rows: list[_Row], year: int) -> list[dict[str, Any]]:
    records = []
    for ts, ms, song, end, skipped, _ in rows:
        record = _blank(ts, ms, year) | {"reason_end": end, "skipped": skipped, "shuffle": song % 2 == 0}
        title, artist, album = _SONGS[song]
        record |= {"master_metadata_track_name": title, "master_metadata_album_artist_name": artist}
        record |= {"master_metadata_album_album_name": album}
        records.append(record if year == 2020 else record | {"spotify_track_uri": _URIS[song]})
    return records


def _no_tracks() -> list[dict[str, Any]]:
    """Return what a history of 2025 holds beside tracks."""
    episode = {"episode_name": "Episode 1", "episode_show_name": "A Show", "spotify_episode_uri": "spotify:episode:1"}
    book = {"audiobook_title": "A Book", "audiobook_uri": "spotify:show:1", "audiobook_chapter_title": "Chapter 1"}
    return [
        _blank("2025-08-12T09:00:00Z", 6_039_903, 2025) | episode,
        _blank("2025-08-12T10:00:00Z", 900_000, 2025) | episode,
        _blank("2025-08-12T11:00:00Z", 600_000, 2025) | book,
        _blank("2025-08-12T12:00:00Z", 0, 2025) | {"reason_end": "unknown", "offline_timestamp": ""},
    ]


def _plays(rows: list[_Row], *, ids: bool = True) -> list[Play]:
    return [
        Play(None, _URIS[song] if ids else None, *_SONGS[song][:2], seconds(ts[:-1]), True, ms / 1000, None, told)
        for ts, ms, song, _, _, told in rows
    ]


PLAYS = [
    *_plays(_OF_2014),
    *_plays(_OF_2020, ids=False),
    *_plays(_OF_2023),
    *_plays(_OF_2024),
    *_plays(_OF_2025),
]
LEFT_OUT = {"podcast": 2, "audiobook": 1, "no-track": 1}
REPEATED = len(_OF_2024)
"""Records that say what another has said already."""


def write(folder: Path) -> Path:
    """Write the zip that Spotify sends, with the files of five exports, and return it."""
    old = _records(_OF_2014, 2022)
    files: dict[str, list[dict[str, Any]]] = {
        "endsong_0.json": _records(_OF_2023, 2022) + old[4:],  # each scattered over all years
        "endsong_1.json": old[:4],
        "endsong_2.json": _records(_OF_2020, 2020),
        "Streaming_History_Audio_2023-2024_4.json": _records(_OF_2024, 2024),
        "Streaming_History_Audio_2024-2025_5.json": [
            *_records(_OF_2024, 2025),
            *_no_tracks(),
            *_records(_OF_2025, 2025),
        ],
        "Streaming_History_Video_2021-2025.json": _records(_OF_2023[:1], 2025),
    }
    path = folder / "my_spotify_data.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{_INNER}/ReadMeFirst_ExtendedStreamingHistory.pdf", b"%PDF-1.4")
        for name, records in files.items():
            archive.writestr(f"{_INNER}/{name}", json.dumps(records, indent=2, ensure_ascii=False))
    return path


TABLE_PLAYS = _plays(_OF_2024 + _OF_2025)
"""What the CSV and Parquet files hold."""


def _table() -> pl.DataFrame:
    """Return the newest plays and what is no track as pandas types them."""
    records = _records(_OF_2024, 2025) + _no_tracks() + _records(_OF_2025, 2025)
    return pl.DataFrame([record | {"offline_timestamp": 1_755_016_854} for record in records]).with_columns(
        pl.col("ts").str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_zone="UTC", time_unit="us"),
        pl.col("offline_timestamp").cast(pl.Float64),
    )


def write_csv(folder: Path) -> Path:
    """Write the table as pandas does, `True` and `1755016854.0` and `2025-08-13 14:13:22+00:00`; return the file."""
    path = folder / "Streaming_History_Audio_all.csv"
    spelled = _table().with_columns(
        pl.col("ts").dt.strftime("%Y-%m-%d %H:%M:%S+00:00"),
        pl.col(pl.Boolean).cast(pl.String).str.to_titlecase(),
    )
    spelled.write_csv(path)
    return path


def write_parquet(folder: Path) -> Path:
    """Write the table with its types and return the file."""
    path = folder / "Streaming_History_Audio_all.parquet"
    _table().write_parquet(path)
    return path
