"""Sessions from the command line or from JSON (without cyclopts)."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from segue.config import nearest
from segue.errors import InputError
from segue.skips import FEEDBACK_WORDS, LISTENED

SUFFIXES: Final = tuple(word for word in FEEDBACK_WORDS if word != LISTENED)
"""Words after the last colon of a track id; no suffix means listened to the end."""
KEYS: Final = ("track", "feedback", "title", "artist", "score")
"""Keys of an entry of a session file; `recommend --json` prints all, only the first two are read."""
SESSION_BYTES: Final = 10_000_000
"""Most bytes read of a session on stdin."""


def parse_session(text: str) -> tuple[list[str], list[str]]:
    """Return (track ids, feedback words) of 't_a,t_b:skip,t_c'.

    Only a suffix in SUFFIXES counts, since ids may contain colons; ids with commas need `--session-json`.

    >>> parse_session("t_a,spotify:track:b:skip,c:d")
    (['t_a', 'spotify:track:b', 'c:d'], ['listened', 'skip', 'listened'])
    """
    tracks, feedback = [], []
    for part in text.split(","):
        track, colon, suffix = part.strip().rpartition(":")
        has_suffix = bool(colon) and suffix in SUFFIXES
        tracks.append(track if has_suffix else part.strip())
        feedback.append(suffix if has_suffix else LISTENED)
    if "" in tracks:
        raise InputError(f"--session {text!r} has an empty track id; write t_a,t_b:skip,t_c")
    return tracks, feedback


def check_suffixes(unknown: Sequence[str], still_unknown: Callable[[Sequence[str]], Sequence[str]]) -> None:
    """Refuse an unknown track that is known without the text after its last colon, a misspelt suffix.

    Raises:
        InputError: with the nearest suffix.
    """
    for text in unknown:
        track, colon, suffix = text.rpartition(":")
        if colon and track and not still_unknown([track]):
            raise InputError(
                f"--session has {text!r}: {track!r} is known, but {suffix!r} is not one of {', '.join(SUFFIXES)} "
                "(no suffix means listened to its end)"
            )


def read_session_json(name: str) -> tuple[list[str], list[str]]:
    """Return (track ids, feedback words) of a JSON file, or of stdin for '-'.

    Each entry is a track id, or an object with `track` and, optionally, `feedback` (a word of FEEDBACK_WORDS); the
    list may be under the key `session`.

    Raises:
        InputError: no such file, not JSON, or another shape.
    """
    try:
        text = sys.stdin.read(SESSION_BYTES) if name == "-" else Path(name).read_text(encoding="utf-8")
        document = json.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"--session-json {name} cannot be read as JSON ({error})") from error
    entries = document.get("session") if isinstance(document, dict) else document
    if not isinstance(entries, list):
        raise InputError(
            f'--session-json {name}: expected a list such as ["t_a", {{"track": "t_b", "feedback": "skip"}}]'
        )
    pairs = [_entry(entry, f"--session-json {name}, entry {i}") for i, entry in enumerate(entries)]
    return [track for track, _ in pairs], [word for _, word in pairs]


def _entry(entry: Any, where: str) -> tuple[str, str]:
    """Return (track, feedback) of one entry."""
    if isinstance(entry, str):
        return entry, LISTENED
    if not isinstance(entry, dict) or not isinstance(entry.get("track"), str):
        raise InputError(f"{where} is {entry!r}: expected a track id or an object with one under 'track'")
    for key in entry:
        if key not in KEYS:
            raise InputError(f"{where}: unknown key {key!r}{nearest(key, KEYS)}")
    word = entry.get("feedback", LISTENED)
    if word not in FEEDBACK_WORDS:
        raise InputError(f"{where}: feedback is {word!r}; known: {', '.join(FEEDBACK_WORDS)}")
    return entry["track"], word
