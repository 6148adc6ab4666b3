"""Work done once per distinct value of a column."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from segue.data.event_table import coded_texts, shared_codes

_FEW: Final = 8
"""Average rows per distinct value from which one look per value is faster."""
_PROBED: Final = 4096
"""Values from which a column of short runs is recognised."""
Work = Callable[[pl.Series], pl.Series]
"""Maps each value independently of the others."""


def by_distinct(work: Work, texts: pl.Series) -> pl.Series:
    """Return `work(texts)`, done once per distinct text if there are few; flags become "true" and "false"."""
    if texts.dtype == pl.Boolean:
        of_flags = work(pl.Series(["false", "true", None], dtype=pl.String))
        return of_flags.gather(texts.cast(pl.UInt32).fill_null(2))
    column = shared_codes("distinct")
    codes = texts.cast(column.dtype).to_physical()
    num = 0 if codes.null_count() == len(codes) else int(codes.max()) + 1  # type: ignore[arg-type]
    if num * _FEW > len(texts):
        return work(texts)
    distinct = coded_texts(np.arange(num, dtype=np.int32), column)
    return work(distinct.extend(pl.Series([None], dtype=pl.String))).gather(codes.fill_null(num))


def by_runs(work: Work, values: pl.Series) -> pl.Series:
    """Return `work(values)`, done once per run of equal values if runs are long."""
    firsts, lengths = runs(values)
    return work(values) if lengths is None else pl.Series(values.name, np.repeat(work(firsts).to_numpy(), lengths))


def runs(values: pl.Series) -> tuple[pl.Series, NDArray[np.int64] | None]:
    """Return the first value and the length of each run of equal values; `(values, None)` if runs are short.

    `values` has no nulls.
    """
    start = np.zeros(0, np.intp)
    for seen in (values.head(_PROBED), values):
        start = np.flatnonzero((seen != seen.shift(1)).fill_null(True).to_numpy())
        if len(start) * _FEW > len(seen):
            return values, None
    return values.gather(start), np.diff(start, append=len(values))
