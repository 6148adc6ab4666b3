"""The strength of a skip that a source states, from the time played."""

from __future__ import annotations

from typing import Final

import polars as pl

VERY_BRIEFLY_MS: Final = 5_000
"""Milliseconds; a track left before is one that the listener did not try: strength 3."""
BRIEFLY_MS: Final = 30_000
"""Milliseconds; from here on services count (and pay for) a play, so a skip before is strength 2 and a later one 1."""


def skip_strength(played_ms: pl.Expr) -> pl.Expr:
    """Return the strength of a play that the source calls skipped, UInt8.

    3 where `played_ms` is below `VERY_BRIEFLY_MS`, 2 where it is below `BRIEFLY_MS`, else 1; 2 where it is null
    or below 0, since a skip of unknown length is still a skip.
    """
    return (
        pl.when(played_ms.is_null() | (played_ms < 0))
        .then(2)
        .when(played_ms < VERY_BRIEFLY_MS)
        .then(3)
        .when(played_ms < BRIEFLY_MS)
        .then(2)
        .otherwise(1)
        .cast(pl.UInt8)
    )
