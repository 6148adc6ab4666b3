"""The earlier plays of listeners as models read them, for the sessions that were used last."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from segue.exported.folder import ExportFolder
from segue.serving.earlier_plays import EarlierPlays
from segue.serving.sessions.store import LiveSession

MOST_CACHED: Final = 1024
"""Most sessions and models of which plays are remembered; 1,000 plays take some 40 kB."""
Key = tuple[str, str, int]
"""Session, fingerprint of the model, and the minute in which the session began."""


class PlaysCache:
    """Earlier plays by session and model."""

    def __init__(self) -> None:
        self._plays: OrderedDict[Key, tuple[str | None, EarlierPlays]] = OrderedDict()

    def get(self, session: LiveSession, export: ExportFolder) -> EarlierPlays | None:
        """Return what is remembered; None = nothing."""
        key = _key(session, export)
        if key not in self._plays:
            return None
        self._plays.move_to_end(key)
        return self._plays[key][1]

    def put(self, session: LiveSession, export: ExportFolder, plays: EarlierPlays) -> None:
        """Remember plays; those that were not used for the longest time are forgotten."""
        self._plays[_key(session, export)] = session.listener, plays
        if len(self._plays) > MOST_CACHED:
            self._plays.popitem(last=False)

    def forget(self, listener: str) -> None:
        """Forget the plays of a listener."""
        self._plays = OrderedDict((key, each) for key, each in self._plays.items() if each[0] != listener)


def began_at(session: LiveSession) -> float:
    """Return when a session began to be listened to, UTC seconds."""
    return session.events[0].at if session.events else session.created_at


def _key(session: LiveSession, export: ExportFolder) -> Key:
    return session.session_id, export.fingerprint, int(began_at(session)) // 60
