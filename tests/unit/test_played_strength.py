"""A share that was played means the same in a log and over the wire."""

from __future__ import annotations

import math

import polars as pl

from segue.events.skips import UNKNOWN_STRENGTH, played_strength
from segue.events.sources.typed import _played

SHARES = (-1.0, 0.0, 0.1499, 0.15, 0.3, 0.5, 0.51, 0.8999, 0.9, 1.0, 7.0, math.inf, math.nan)


def test_one_by_one_and_a_whole_column_agree() -> None:
    column = _played(pl.Series(SHARES), pl.Series([1.0] * len(SHARES)))
    assert [played_strength(share) for share in SHARES] == column.to_list()
    assert [played_strength(share) for share in (0.0, 0.2, 0.6, 0.95)] == [3, 2, 1, 0]
    assert played_strength(math.nan) == UNKNOWN_STRENGTH
