"""What a place for live sessions does, whichever it is."""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final

from segue.errors import SegueError

MOST_EVENTS: Final = 10_000
"""Events of one session."""


class NoSessionError(SegueError):
    """There is no such session, or it has expired."""


class SessionFullError(SegueError):
    """A session holds as many events as it may."""


class FullStoreError(SegueError):
    """Nothing more can be written: the disk, or the memory, is full."""


class ReadOnlyStoreError(SegueError):
    """Nothing can be written here; what stands there can be read."""


@dataclass(frozen=True)
class Logged:
    """One event of a live session."""

    track: str
    strength: int
    """0..3, 255 = unknown."""
    at: float
    """When it was told, UTC seconds."""
    event_id: str | None = None
    """The client's own id: told twice, it counts once."""


@dataclass(frozen=True)
class LiveSession:
    """One session as far as it went."""

    session_id: str
    model: str
    """The model that was named when it began; "" = whichever is first."""
    created_at: float
    events: tuple[Logged, ...]


@dataclass(frozen=True)
class Added:
    """What became of events that were told."""

    accepted: int
    repeated: int
    """Those whose event id the session had already."""
    events: int
    """Events of the session now."""


class Sessions(ABC):
    """Live sessions. Every method may be called from any thread; what a Future gives has been written before."""

    @abstractmethod
    def create(self, session_id: str, model: str, events: Sequence[Logged]) -> Future[None]:
        """Begin a session with these events."""

    @abstractmethod
    def add(self, session_id: str, events: Sequence[Logged]) -> Future[Added]:
        """Add events to a session; NoSessionError, SessionFullError."""

    @abstractmethod
    def read(self, session_id: str) -> Future[LiveSession]:
        """Give a session; NoSessionError."""

    @abstractmethod
    def remove(self, session_id: str) -> Future[None]:
        """Forget a session and its events; NoSessionError."""

    @abstractmethod
    def close(self) -> None:
        """Write what was told, and let go."""


def new_session_id() -> str:
    """Return an id that nobody guesses: 128 random bits, hexadecimal."""
    return secrets.token_hex(16)


def check_room(held: int) -> None:
    """Refuse one more event in a session that holds `held`; SessionFullError."""
    if held >= MOST_EVENTS:
        raise SessionFullError(f"a session holds {MOST_EVENTS:,} events at most; begin a new one")


def no_session() -> NoSessionError:
    """Return the error of a session that is not there."""
    return NoSessionError("there is no such session, or it has expired; begin a new one")
