"""The interface of a store of live sessions, with its records and errors."""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final

from segue.errors import SegueError

MOST_EVENTS: Final = 10_000
"""Most events of one session."""


class NoSessionError(SegueError):
    """There is no such session, or it has expired."""


class SessionFullError(SegueError):
    """A session has as many events as it may have."""


class FullStoreError(SegueError):
    """Nothing can be written because the disk or the memory is full."""


class ReadOnlyStoreError(SegueError):
    """Nothing can be written; sessions can still be read."""


@dataclass(frozen=True)
class Logged:
    """One event of a live session."""

    track: str
    strength: int
    """0..3, 255 = unknown."""
    at: float
    """When the service got it, in UTC seconds."""
    event_id: str | None = None
    """The client's own id: an event that is sent again with it counts once."""


@dataclass(frozen=True)
class LiveSession:
    """One session so far."""

    session_id: str
    model: str
    """The model that was named when it began; "" = the default."""
    created_at: float
    events: tuple[Logged, ...]


@dataclass(frozen=True)
class Added:
    """How many of the new events were added."""

    accepted: int
    repeated: int
    """Events whose id the session had already."""
    events: int
    """Events of the session afterwards."""


class Sessions(ABC):
    """Live sessions. Methods may be called from any thread; when a Future has its result, it has been written."""

    @abstractmethod
    def create(self, session_id: str, model: str, events: Sequence[Logged]) -> Future[None]:
        """Begin a session with these events."""

    @abstractmethod
    def add(self, session_id: str, events: Sequence[Logged]) -> Future[Added]:
        """Add events to a session; NoSessionError, SessionFullError."""

    @abstractmethod
    def read(self, session_id: str) -> Future[LiveSession]:
        """Return a session; NoSessionError."""

    @abstractmethod
    def remove(self, session_id: str) -> Future[None]:
        """Delete a session and its events; NoSessionError."""

    @abstractmethod
    def close(self) -> None:
        """Finish all jobs, then close the store."""


def new_session_id() -> str:
    """Return an id that nobody can guess: 128 random bits in hexadecimal."""
    return secrets.token_hex(16)


def check_room(num_events: int) -> None:
    """Raise SessionFullError if a session of `num_events` events can have no more."""
    if num_events >= MOST_EVENTS:
        raise SessionFullError(f"a session holds {MOST_EVENTS:,} events at most; begin a new one")


def no_session() -> NoSessionError:
    """Return the error for a missing session."""
    return NoSessionError("there is no such session, or it has expired; begin a new one")
