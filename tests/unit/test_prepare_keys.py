"""Session keys of a column, and rows grouped by key."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from segue.events.keys import SeenKeys, grouped, packed, stable_order, text_keys
from segue.hashing import session_keys


@pytest.mark.parametrize(
    "texts", [[], [""], ["a", "bb", "é"], ["0_ab", "0_cd", "0_ab"], ["é", "ab"], ["x" * 64] * 3, ["x" * 65, "y" * 65]]
)
def test_keys_of_a_column_are_those_of_the_store(texts: list[str]) -> None:
    column = pl.Series(texts, dtype=pl.String)
    np.testing.assert_array_equal(text_keys(column), session_keys(*packed(column)))


@pytest.mark.parametrize("high", [0, 2**40, 2**63])
def test_rows_are_grouped_in_order_of_first_appearance(high: int) -> None:
    """`high` 0 and 2^63: the keys differ in their low bits alone, where the places are put."""
    drawn = np.random.default_rng(0).integers(0, 50, 400)
    keys = drawn.astype(np.uint64) * np.uint64(1 if high != 2**40 else high) + np.uint64(high)
    code, distinct = grouped(keys)
    np.testing.assert_array_equal(distinct[code], keys)
    assert list(dict.fromkeys(keys.tolist())) == distinct.tolist()
    np.testing.assert_array_equal(stable_order(code), np.argsort(code, kind="stable"))


@pytest.mark.parametrize("keys", [[], [7], [9, 3, 5]])
def test_distinct_keys_are_their_own_groups(keys: list[int]) -> None:
    code, distinct = grouped(np.array(keys, np.uint64))
    assert (code.tolist(), distinct.tolist()) == (list(range(len(keys))), keys)


def test_seen_keys_are_known_in_any_order() -> None:
    seen = SeenKeys()
    for first in range(0, 100, 10):
        seen.add(np.arange(first, first + 10, dtype=np.uint64)[::-1])
    assert seen.known(np.array([5, 99, 100, 3], np.uint64)).tolist() == [True, True, False, True]
