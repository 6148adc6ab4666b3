"""Histories cut at once equal a listener's history cut event by event."""

from __future__ import annotations

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from segue.events.sources.histories import cut_histories

EVENTS = st.lists(st.tuples(st.sampled_from(["u", "v", "é"]), st.integers(0, 12_000)), min_size=1, max_size=60)


def naive(events: list[tuple[str, int]], gap_s: float, length: int) -> list[tuple[str, int]]:
    result = []
    for user in sorted({u for u, _ in events}, key=str.encode):
        rows = sorted((at, row) for row, (u, at) in enumerate(events) if u == user)
        number, size, last = -1, length, 0
        for at, row in rows:
            if size == length or at - last > gap_s:
                number, size = number + 1, 0
            size, last = size + 1, at
            result.append((f"{user}:{number}", row))
    return result


@settings(max_examples=40, deadline=None)
@given(EVENTS, st.integers(1, 30), st.integers(1, 7))
def test_cutting_equals_a_walk_through_each_history(events: list[tuple[str, int]], gap: int, length: int) -> None:
    users, at = pl.Series([u for u, _ in events]), np.array([t for _, t in events], np.int64)
    cut = cut_histories(users, at, float(gap), length)
    ids = cut.session_ids.to_list()
    found = [(ids[code], int(row)) for code, row in zip(cut.session, cut.rows, strict=True)]
    assert found == naive(events, gap * 60, length)
    assert len(set(ids)) == len(ids)
