"""Whole sessions by date: a log that has times needs no dates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from segue import columns
from segue.batches.split import DataConfig, split_store
from segue.errors import InputError
from segue.store.manifest import SideColumn
from support.stores import rewritten, tiny_store, values_of

AT = SideColumn(columns.AT, "int64")
DATE = SideColumn(columns.DATE, "int32", "session")


def test_the_day_of_a_session_is_that_of_its_first_event(tmp_path: Path) -> None:
    store = tiny_store(tmp_path / "store", sessions=60)
    values = values_of(store)
    late = np.arange(store.num_rows) - np.repeat(store.offsets[:-1], np.diff(store.offsets))
    days = np.repeat(values[columns.DATE].astype(np.int64), np.diff(store.offsets))
    values[columns.AT] = days * 86_400 + 86_000 + 300 * late  # most sessions end on the next day
    by_date = split_store(rewritten(tmp_path / "dates", store, values, (DATE,)), DataConfig(split="temporal"))
    by_time = split_store(rewritten(tmp_path / "times", store, values, (AT,)), DataConfig(split="temporal"))
    assert len(by_time.cases["test"]) > 0
    for which in ("validation", "test"):
        np.testing.assert_array_equal(by_time.cases[which].target, by_date.cases[which].target)  # type: ignore[index]
    np.testing.assert_array_equal(by_time.train_begin, by_date.train_begin)


def test_a_log_without_dates_and_times_is_refused(tmp_path: Path) -> None:
    store = tiny_store(tmp_path / "store")
    bare = rewritten(tmp_path / "bare", store, values_of(store), ())
    with pytest.raises(InputError, match="no dates or times"):
        split_store(bare, DataConfig(split="temporal"))
