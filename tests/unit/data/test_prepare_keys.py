"""Session keys of a column."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from segue.data.session_keys import packed, text_keys
from segue.hashing import session_keys


@pytest.mark.parametrize(
    "texts", [[], [""], ["a", "bb", "é"], ["0_ab", "0_cd", "0_ab"], ["é", "ab"], ["x" * 64] * 3, ["x" * 65, "y" * 65]]
)
def test_keys_of_a_column_are_those_of_the_store(texts: list[str]) -> None:
    column = pl.Series(texts, dtype=pl.String)
    np.testing.assert_array_equal(text_keys(column), session_keys(*packed(column)))
