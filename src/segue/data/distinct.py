"""Work on the distinct values of a column, where many rows hold few."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import polars as pl

from segue.events.table import coded_texts, shared_codes

_FEW: Final = 8
"""Rows of a distinct value, on average, from which it pays to look at each value once."""
Work = Callable[[pl.Series], pl.Series]
"""Looks at each value alone."""


def by_distinct(work: Work, texts: pl.Series) -> pl.Series:
    """Return `work(texts)`, done once for each distinct text where these are few."""
    column = shared_codes("distinct")
    codes = texts.cast(column.dtype).to_physical()
    num = 0 if codes.null_count() == len(codes) else int(codes.max()) + 1  # type: ignore[arg-type]
    if num * _FEW > len(texts):
        return work(texts)
    distinct = coded_texts(np.arange(num, dtype=np.int32), column)
    return work(distinct.extend(pl.Series([None], dtype=pl.String))).gather(codes.fill_null(num))


def by_runs(work: Work, values: pl.Series) -> pl.Series:
    """Return `work(values)`, done at the first of each run of equal values where runs are long."""
    begins = pl.concat([pl.Series([True])[: len(values)], values[1:].ne_missing(values[:-1])])
    if begins.sum() * _FEW > len(values):
        return work(values)
    return work(values.filter(begins)).gather(begins.cast(pl.UInt32).cum_sum() - 1)
