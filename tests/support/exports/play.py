"""What must come out of a file of a source, one play a record."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True)
class Play:
    """One play as the file states it."""

    listener: str | None
    track: str | None
    """Id as text; None where artist and title are the identity."""
    title: str | None
    artist: str | None
    at: int | None
    """UTC seconds of the stamp."""
    ends: bool
    """True where the stamp is the end of the play."""
    played_s: float | None
    length_s: float | None
    told: int | None
    """Strength that the source states."""
    session: str | None = None
    share: float | None = None


def seconds(stamp: str) -> int:
    """Return the UTC seconds of an ISO date and time without a zone: '2024-02-29 16:21:02'."""
    return int(datetime.fromisoformat(stamp).replace(tzinfo=UTC).timestamp())
