"""A moment is the same however it is spelled; what can be read in two ways is not read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.data.times import moments

MOMENT = datetime(2023, 10, 29, 0, 30, tzinfo=UTC)
MICROSECONDS = 1_698_539_400_000_000
SPELLINGS = [
    "2023-10-29T00:30:00Z",
    "2023-10-29T00:30Z",
    "2023-10-29 00:30:00 UTC",
    "2023-10-29 00:30:00+00",
    "2023-10-29T02:30:00+02:00",
    "2023-10-29 02:30:00+0200",
    "2023-10-28 19:30:00-05:00",
    "2023-10-29 00:30:00",
    " 2023-10-29 00:30:00 ",
    "2023-10-29 00:30",
    "2023/10/29 00:30:00",
    "29.10.2023 00:30:00",
    "29 Oct 2023 00:30",
    "29 Oct 2023, 00:30",
    "1698539400",
    "1698539400.0",
    "1698539400000",
    "1698539400000000",
    "1698539400000000000",
]


@pytest.mark.parametrize("text", SPELLINGS)
def test_one_moment_has_many_spellings(text: str) -> None:
    assert moments(pl.Series([text])).at.to_list() == [MICROSECONDS]


@pytest.mark.parametrize("text", ["03/04/2023 10:00", "soon", "", "2023-13-01", "25:00", "inf", "nan", "1e30"])
def test_what_names_no_single_moment_is_not_read(text: str) -> None:
    assert moments(pl.Series([text])).at.to_list() == [None]


def test_how_times_were_read_is_told() -> None:
    found = moments(
        pl.Series(["1698539400", "1698539400000", "2023-10-29 00:30", "2023-10-29T00:30:00Z", "soon", None])
    )
    assert found.readings == {"s", "ms", "text without offset", "text with offset"}
    assert moments(pl.Series([None], dtype=pl.String)).readings == frozenset()


@given(st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1)), st.integers(-14 * 4, 14 * 4))
def test_an_offset_moves_nothing(moment: datetime, quarters: int) -> None:
    there = moment.replace(tzinfo=UTC).astimezone(timezone(timedelta(minutes=15 * quarters)))
    assert moments(pl.Series([there.isoformat()])).at[0] == (moment - datetime(1970, 1, 1)) // timedelta(microseconds=1)


@pytest.mark.parametrize("values", [pl.Series([MOMENT]), pl.Series([MOMENT.replace(tzinfo=None)])])
def test_dates_of_a_table_are_moments(values: pl.Series) -> None:
    assert moments(values).at.to_list() == [MICROSECONDS]


def test_integers_keep_every_digit() -> None:
    assert moments(pl.Series([1_698_539_400_123_456_789])).at.to_list() == [1_698_539_400_123_456]
