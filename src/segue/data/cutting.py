"""How a listener's history is cut into sessions, and which doubts about a log are ignored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from segue.errors import InputError
from segue.option_types import Whole

GAP_MINUTES: Final = 20.0
MAX_LENGTH: Final = 20
"""Default cuts of histories: inactivity of 20 minutes, 20 plays (method, section 2)."""


@dataclass(frozen=True)
class Cutting:
    """How a log is cut and checked.

    Raises:
        InputError: a gap or a length that is not positive.
    """

    gap_minutes: float = GAP_MINUTES
    """A longer pause ends a session; it counts from the end of a play if that is known."""
    max_length: Whole = MAX_LENGTH
    """Most plays of a session."""
    drop_duplicates: bool | None = None
    """Keep only the first of several plays of one listener, time and track; default for sources that repeat plays."""
    accept: tuple[str, ...] = ()
    """Name of a doubt (years, shares, lone-plays, ...) to ignore; repeat the option."""

    def __post_init__(self) -> None:
        """Check gap and length."""
        if not self.gap_minutes > 0 or self.max_length < 1:
            raise InputError(f"gap {self.gap_minutes} minutes, length {self.max_length}: both must be positive")
