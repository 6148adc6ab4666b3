"""How histories are cut, where nobody says otherwise."""

from __future__ import annotations

from typing import Final

from segue.errors import InputError

GAP_MINUTES: Final = 20.0
MAX_LENGTH: Final = 20
"""Method, section 2: histories are cut by inactivity (20 minutes) and length (<= 20)."""


def check_cut(gap_minutes: float, max_length: int) -> None:
    """Refuse a gap or length that is not positive.

    Raises:
        InputError: see there.
    """
    if not gap_minutes > 0 or max_length < 1:
        raise InputError(f"gap {gap_minutes} minutes, length {max_length}: both must be positive")
