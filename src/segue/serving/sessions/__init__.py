"""Live sessions, kept where a kill does not lose them."""

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
    "new_session_id",
]
