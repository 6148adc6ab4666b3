"""Live sessions, stored so that a kill of the service loses none."""

from segue.serving.sessions.places import check_place, kept_sessions, open_sessions
from segue.serving.sessions.sqlite import SqliteSessions
from segue.serving.sessions.store import (
    Added,
    FullStoreError,
    LiveSession,
    Logged,
    NoSessionError,
    ReadOnlyStoreError,
    SessionFullError,
    Sessions,
    new_session_id,
)

__all__ = [
    "Added",
    "FullStoreError",
    "LiveSession",
    "Logged",
    "NoSessionError",
    "ReadOnlyStoreError",
    "SessionFullError",
    "Sessions",
    "SqliteSessions",
    "check_place",
    "kept_sessions",
    "new_session_id",
    "open_sessions",
]
