"""The earlier plays of listeners as models read them, for the sessions that were used last."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Final

from segue.exported.folder import ExportFolder
from segue.serving.earlier_plays import EarlierPlays, PlaysRead, earlier_plays
from segue.serving.sessions.store import LiveSession

MOST_CACHED: Final = 1024
"""Most pairs of a session and a model of which plays are remembered; 1,000 plays take some 80 kB."""


@dataclass
class _Cached:
    listener: str | None
    read: PlaysRead
    minute: int
    plays: EarlierPlays


class PlaysCache:
    """Earlier plays by session and model."""

    def __init__(self) -> None:
        self._cached: OrderedDict[tuple[str, str], _Cached] = OrderedDict()

    def get(self, session: LiveSession, export: ExportFolder) -> EarlierPlays | None:
        """Return what is remembered; None = nothing."""
        key = session.session_id, export.fingerprint
        cached = self._cached.get(key)
        if cached is None:
            return None
        self._cached.move_to_end(key)
        if cached.minute != _began(session):  # a session may wait for its first event
            cached.minute = _began(session)
            kept = cached.plays.kept  # keys and values do not depend on the time
            cached.plays = replace(earlier_plays(export, cached.read, cached.minute), kept=kept)
        return cached.plays

    def put(self, session: LiveSession, export: ExportFolder, read: PlaysRead) -> EarlierPlays:
        """Remember plays and return them; those that were not used for the longest time are forgotten."""
        minute = _began(session)
        plays = earlier_plays(export, read, minute)
        self._cached[session.session_id, export.fingerprint] = _Cached(session.listener, read, minute, plays)
        if len(self._cached) > MOST_CACHED:
            self._cached.popitem(last=False)
        return plays

    def forget(self, listener: str) -> None:
        """Forget the plays of a listener."""
        kept = [(key, cached) for key, cached in self._cached.items() if cached.listener != listener]
        self._cached = OrderedDict(kept)


def _began(session: LiveSession) -> int:
    """Return the minute since 1970 in which a session began: that of its first event if there is one."""
    return int(session.events[0].at if session.events else session.created_at) // 60
