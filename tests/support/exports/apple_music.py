"""Apple Music's play activity of two years: one listener each, columns in another order, records in none."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

from support.exports.play import Play, seconds

_UNREAD = [f"Feature {number}" for number in range(20)]
"""There are 44 to 143 columns."""


class _Event(NamedTuple):
    start: str
    end: str
    reason: str
    played: str
    length: str
    title: str
    artist: str
    kind: str = ""
    media: str = "AUDIO"


_LIGHTS = ("198452.0", "Harbour Lights", "The Paper Boats")
_AERO = ("230000", "Ærø", "Nils Åkesson")
_NEXT, _END = "TRACK_SKIPPED_FORWARDS", "NATURAL_END_OF_TRACK"
_PAUSED = "PLAYBACK_MANUALLY_PAUSED"
_OTHER = "MANUALLY_SELECTED_PLAYBACK_OF_A_DIFF_ITEM"
_DAY = "2023-03-05T"
_EVENTS = [
    (_Event(f"{_DAY}08:00:00.250Z", f"{_DAY}08:03:18.702Z", _END, "198452", *_LIGHTS), 198.452, 0),
    (_Event(f"{_DAY}08:03:19.000Z", f"{_DAY}08:03:23.999Z", _NEXT, "4999", *_AERO, "PLAY_END"), 4.999, 3),
    (_Event("", f"{_DAY}08:03:54.500Z", _NEXT, "29500", *_LIGHTS), 29.5, 2),
    (_Event(f"{_DAY}08:04:00Z", f"{_DAY}08:05:00Z", _NEXT, "60000", *_AERO), 60.0, 1),
    (_Event(f"{_DAY}08:05:00Z", f"{_DAY}08:05:09Z", _OTHER, "9000", *_LIGHTS), 9.0, None),
    (_Event(f"{_DAY}08:05:10Z", f"{_DAY}08:05:20Z", "TRACK_SKIPPED_BACKWARDS", "10000", *_AERO), 10.0, None),
    (_Event(f"{_DAY}08:06:10Z", f"{_DAY}08:09:10Z", _END, "159000", *_LIGHTS), 198.0, 0),  # after the slider
    (_Event(f"{_DAY}09:10:00Z", f"{_DAY}09:10:02Z", _NEXT, "2000", *_AERO), 4.5, 3),  # after two pauses
    (_Event(f"{_DAY}09:11:00Z", f"{_DAY}09:11:10Z", _PAUSED, "10000", *_LIGHTS), 10.0, None),  # and then another track
    (_Event(f"{_DAY}09:12:00Z", f"{_DAY}09:12:30Z", _NEXT, "-1500", *_AERO), -1.5, 2),
    (_Event(f"{_DAY}09:13:00Z", f"{_DAY}09:13:20Z", _PAUSED, "20000", *_LIGHTS), 20.0, None),  # and never taken up
    (_Event(f"{_DAY}09:33:21Z", f"{_DAY}09:33:51Z", _END, "30000", *_LIGHTS), 30.0, 0),
]
_PARTS = [
    _Event(f"{_DAY}08:05:21Z", f"{_DAY}08:06:00Z", "SCRUB_BEGIN", "39000", *_LIGHTS),
    _Event(f"{_DAY}08:06:00Z", f"{_DAY}08:06:10Z", "SCRUB_END", "-20", *_LIGHTS),
    _Event("", f"{_DAY}09:00:02.5Z", _PAUSED, "2500", *_AERO),
    _Event(f"{_DAY}09:05:00Z", f"{_DAY}09:05:00Z", _PAUSED, "0", *_AERO, "PLAY_END"),
]
"""Each of a play that a later record ends."""
_NO_PLAYS = [
    _Event(f"{_DAY}08:06:00Z", f"{_DAY}08:06:10Z", _END, "10000", "", "", ""),
    _Event(f"{_DAY}08:00:01Z", f"{_DAY}08:00:09Z", "", "", *_LIGHTS, "LYRIC_DISPLAY"),
    _Event(f"{_DAY}08:03:19Z", f"{_DAY}08:03:19Z", "", "", *_AERO, "PLAY_START"),
    _Event(f"{_DAY}10:00:00Z", f"{_DAY}10:03:00Z", _END, "180000", *_LIGHTS, media="VIDEO"),
]
_BEGAN = {
    "": f"{_DAY}08:03:25",
    f"{_DAY}08:06:10Z": f"{_DAY}08:05:21",
    f"{_DAY}09:10:00Z": f"{_DAY}09:00:00",
}
"""When a play began whose last record says otherwise, or nothing."""


def _play(event: _Event, played_s: float, told: int | None) -> Play:
    at = seconds(_BEGAN.get(event.start, event.start[:19]))
    return Play(None, None, event.title, event.artist, at, False, played_s, float(event.length) / 1000, told)


PLAYS = [_play(*row) for row in _EVENTS]
LEFT_OUT = {"part-of-a-play": len(_PARTS), "no-track": 1, "no-play": 2, "video": 1}


def write(folder: Path) -> Path:
    """Write the newest form among files of other kinds and return the folder."""
    names = {"end": "Event End Timestamp", "start": "Event Start Timestamp", "reason": "End Reason Type"}
    names |= {"title": "Song Name", "kind": "Event Type", "artist": "Container Artist Name", "media": "Media Type"}
    names |= {"played": "Play Duration Milliseconds", "length": "Media Duration In Milliseconds"}
    path = folder / "Apple_Media_Services" / "Apple Music Activity"
    path.mkdir(parents=True)
    _write(path / "Apple Music Play Activity.csv", names)
    (path / "Apple Music - Play History Daily Tracks.csv").write_text("Country,Track Identifier\nXX,1\n")
    return folder / "Apple_Media_Services"


def write_2021(folder: Path) -> Path:
    """Write the form of 2021 and return the file."""
    names = {"artist": "Artist Name", "title": "Content Name", "reason": "End Reason Type", "kind": "Event Type"}
    names |= {"start": "Event Start Timestamp", "end": "Event End Timestamp", "media": "Media Type"}
    names |= {"length": "Media Duration In Milliseconds", "played": "Play Duration Milliseconds"}
    path = folder / "Apple Music Play Activity.csv"
    _write(path, names)
    return path


def _write(path: Path, names: dict[str, str]) -> None:
    """Write the events, those that are no plays first, with `names` as columns in their order."""
    events = [*_NO_PLAYS, *(event for event, _, _ in reversed(_EVENTS)), *_PARTS]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["Client IP Address", *names.values(), "UTC Offset In Seconds", *_UNREAD])
        for event in events:
            cells = event._asdict()
            writer.writerow(["0.0.0.0", *(cells[name] for name in names), "3600", *_UNREAD])
