"""ListenBrainz's export: one listener, files of months; loved and hated tracks."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

from support.exports.play import Play, seconds

_MBID = "1f0a77b2-0000-4000-8000-00000000000"
_MSID = "9c3e55d0-0000-4000-8000-00000000000"


class _Listen(NamedTuple):
    at: str
    song: int
    matched: bool
    info: dict[str, Any]
    length_s: float | None


_SONGS = [("Harbour Lights", "The Paper Boats"), ("Ærø", "Nils Åkesson"), ("夜の電車", "Kumo"), ("Tin Roof", "Tin")]
_LISTENS = [
    _Listen("2023-12-31 23:50:00", 0, True, {"duration_ms": 190_500}, 190.5),
    _Listen("2023-12-31 23:54:00", 1, False, {"duration": 200}, 200.0),
    _Listen("2024-01-01 00:02:00", 2, True, {"duration_ms": None, "duration": 241}, 241.0),
    _Listen("2024-01-01 00:02:00", 0, True, {}, None),
    _Listen("2024-01-01 00:06:00", 3, False, {"recording_mbid": f"{_MBID}3"}, None),
]


def _id(listen: _Listen) -> str:
    return f"{_MBID if listen.matched or 'recording_mbid' in listen.info else _MSID}{listen.song}"


PLAYS = [
    Play(None, _id(listen), *_SONGS[listen.song], seconds(listen.at), False, None, listen.length_s, None)
    for listen in _LISTENS
]
LEFT_OUT: dict[str, int] = {}
FEEDBACK: list[dict[str, Any]] = [
    {"recording_msid": None, "recording_mbid": f"{_MBID}0", "score": 1, "created": 1_704_100_000},
    {"recording_msid": f"{_MSID}1", "recording_mbid": None, "score": -1, "created": 1_704_100_300},
    {"recording_msid": f"{_MSID}2", "recording_mbid": f"{_MBID}2", "score": 0, "created": 1_704_100_200},
    {"recording_msid": None, "recording_mbid": f"{_MBID}2", "score": 1, "created": 1_704_100_100},
    {"recording_msid": f"{_MSID}3", "recording_mbid": None, "score": 1, "created": 1_704_100_400},
]
STRENGTHS = [0, 3, None, 0, 0]
"""Of the plays; None = guessed."""


def write(folder: Path) -> Path:
    """Write the zip that ListenBrainz makes and return it."""
    months = {"2023/12": _LISTENS[:2], "2024/1": _LISTENS[2:]}
    path = folder / "listenbrainz_someone_1704200000.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("user.json", json.dumps({"user_id": 1, "username": "someone"}))
        for month, listens in months.items():
            archive.writestr(f"listens/{month}.jsonl", _lines([_record(listen) for listen in listens]))
        archive.writestr("feedback.jsonl", _lines(FEEDBACK))
        archive.writestr("pinned_recording.jsonl", _lines([{"recording_mbid": f"{_MBID}0", "blurb_content": None}]))
    return path


def _lines(records: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def _record(listen: _Listen) -> dict[str, Any]:
    title, artist = _SONGS[listen.song]
    about = {
        "artist_name": artist,
        "track_name": title,
        "release_name": "An Album" if listen.matched else None,
        "additional_info": {"recording_msid": f"{_MSID}{listen.song}", "submission_client": "a player", **listen.info},
        "mbid_mapping": {"recording_mbid": f"{_MBID}{listen.song}", "artists": []} if listen.matched else None,
    }
    return {"listened_at": seconds(listen.at), "inserted_at": 1_704_153_600.25, "track_metadata": about}
