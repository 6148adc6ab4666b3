"""A Google takeout's watch history: one listener, the newest first, videos among the music."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from support.exports.play import Play, seconds

# Time, video, title, channel; the oldest first.
_ROWS: list[tuple[str, str | None, str, str | None]] = [
    ("2024-03-01T18:00:00.123Z", "aaaaaaaaaa0", "Harbour Lights", "The Paper Boats - Topic"),
    ("2024-03-01T18:03:11.000Z", "aaaa-aaaa_1", "Ærø", "Nils Åkesson"),
    ("2024-03-01T18:03:15Z", "aaaaaaaaaa2", "Watched by the Moon", "Mira Vale - Topic"),
    ("2024-03-01T18:07:15.900Z", "aaaaaaaaaa3", "夜の電車", None),
    ("2024-03-02T07:00:00.001Z", "aaaaaaaaaa4", "https://www.youtube.com/watch?v=aaaaaaaaaa4", None),
    ("2024-03-02T07:04:00.001Z", None, "Tin Roof", "The Paper Boats - Topic"),
    ("2024-03-02T07:04:00.001Z", "aaaaaaaaaa0", "Harbour Lights", "The Paper Boats - Topic"),
    ("2024-03-02T07:08:00.001Z", None, "Ærø", "Nils Åkesson"),  # its id stands above
]


def _play(at: str, video: str | None, title: str, channel: str | None) -> Play:
    artist = channel and channel.removesuffix(" - Topic")
    name = None if title.startswith("https:") else title
    return Play(None, video, name, artist, seconds(at[:19]), False, None, None, None)


PLAYS = [_play(*row) for row in _ROWS]
LEFT_OUT = {"video": 2, "removed": 1}


def write(folder: Path) -> Path:
    """Write the takeout, unpacked, and return its folder."""
    music = [_record("YouTube Music", *row) for row in reversed(_ROWS)]
    removed = {"header": "YouTube Music", "title": "Watched a video that has been removed"}
    removed |= {"time": "2024-03-02T07:03:00.000Z", "products": ["YouTube"]}  # type: ignore[dict-item]
    video = _record("YouTube", "2024-03-02T08:00:00.000Z", "aaaaaaaaaa9", "How to mend a boat", "Boatyard")
    advert = video | {"details": [{"name": "From Google Ads"}]}
    takeout = folder / "Takeout" / "YouTube and YouTube Music"
    for inner in ("history", "subscriptions"):
        (takeout / inner).mkdir(parents=True)
    history = json.dumps([video, advert, *music[:2], removed, *music[2:]], indent=2, ensure_ascii=False)
    (takeout / "history" / "watch-history.json").write_text(history, encoding="utf-8")
    (takeout / "history" / "search-history.json").write_text("[]")
    (takeout / "subscriptions" / "subscriptions.csv").write_text("Channel Id,Channel Url,Channel Title\n")
    return folder / "Takeout"


def _record(header: str, at: str, video: str | None, title: str, channel: str | None) -> dict[str, Any]:
    host = "music" if header == "YouTube Music" else "www"
    record: dict[str, Any] = {"header": header, "title": f"Watched {title}"}
    if video:
        record["titleUrl"] = f"https://{host}.youtube.com/watch?v={video}"
    if channel:
        record["subtitles"] = [{"name": channel, "url": "https://www.youtube.com/channel/UC0"}]
    return record | {"time": at, "products": ["YouTube"], "activityControls": ["YouTube watch history"]}
