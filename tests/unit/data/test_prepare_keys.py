"""Session keys of a column, and those that were seen before."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from segue.data.session_keys import SeenKeys, packed, text_keys
from segue.hashing import session_keys


@pytest.mark.parametrize(
    "texts", [[], [""], ["a", "bb", "é"], ["0_ab", "0_cd", "0_ab"], ["é", "ab"], ["x" * 64] * 3, ["x" * 65, "y" * 65]]
)
def test_keys_of_a_column_are_those_of_the_store(texts: list[str]) -> None:
    column = pl.Series(texts, dtype=pl.String)
    np.testing.assert_array_equal(text_keys(column), session_keys(*packed(column)))


def test_seen_keys_are_known_in_any_order() -> None:
    seen = SeenKeys()
    for first in range(0, 100, 10):
        seen.add(np.arange(first, first + 10, dtype=np.uint64)[::-1])
    assert seen.contains(np.array([5, 99, 100, 3], np.uint64)).tolist() == [True, True, False, True]
