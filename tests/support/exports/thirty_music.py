"""30Music's sessions in idomaar's form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from support.exports.lines import write_lines
from support.exports.play import Play

_Session = tuple[int, int, int, list[tuple[int, int, float | None, float | None]]]
_SESSIONS: Final[list[_Session]] = [
    (287, 1_390_000_000, 44, [(12, 0, 165, 0.5), (13, 166, 200, 1.0), (12, 366, 40, 0.125), (14, 410, None, None)]),
    (11, 1_390_100_000, 44, [(13, 0, 10, 0.05), (14, 10, 11, 0.0625)]),
    (12, 1_390_000_050, 9, [(15, 0, 300, 1.25)]),
    (13, 1_390_000_050, 10, []),
]
PLAYS: Final = [
    Play(str(user), str(track), None, None, at + start, False, played, None, None, str(session), share)
    for session, at, user, plays in _SESSIONS
    for track, start, played, share in plays
]
LEFT_OUT: Final[dict[str, int]] = {}


def write(folder: Path) -> Path:
    """Write the sessions, both JSON objects in one field; return the file."""
    return _written(folder, " ")


def write_five_fields(folder: Path) -> Path:
    """Write the sessions with a tab between the JSON objects, as idomaar specifies; return the file."""
    return _written(folder, "\t")


def _written(folder: Path, between: str) -> Path:
    return write_lines(folder / "sessions.idomaar", (_line(*session, between) for session in _SESSIONS))


def _line(session: int, at: int, user: int, plays: list[Any], between: str) -> str:
    objects = [
        {"type": "track", "id": track, "playstart": start, "playtime": played, "playratio": share, "action": "play"}
        for track, start, played, share in plays
    ]
    properties = {"numtracks": len(plays), "playtime": sum(played or 0 for _, _, played, _ in plays)}
    links = {"subjects": [{"type": "user", "id": user}], "objects": objects}
    texts = (json.dumps(value, separators=(",", ":")) for value in (properties, links))
    return f"event.session\t{session}\t{at}\t{between.join(texts)}"


FORMS: Final = {"one-field": (write, PLAYS, LEFT_OUT), "two-fields": (write_five_fields, PLAYS, LEFT_OUT)}
