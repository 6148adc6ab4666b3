"""What sources of fixed columns share: how they are recognised, and their roles."""

from __future__ import annotations

import polars as pl
import pytest

from segue.data.mapping import WRONG, Amount, Column, Mapping, Time
from segue.data.sources.fields import by_column_names, by_columns, most_fit, strength_of
from segue.data.sources.source import Sample


def sample(frame: pl.DataFrame) -> Sample:
    """Return the beginning of a table."""
    return Sample("log.csv", "delimited", tuple(frame.columns), frame)


@pytest.mark.parametrize(
    ("columns", "why"),
    [(("a", "b", "c"), "3 of 3 columns of a log"), (("a", "x"), None), (("b", "a", "x"), "2 of 3 columns of a log")],
)
def test_a_file_with_the_required_columns_is_claimed_by_how_many_usual_ones_it_has(
    columns: tuple[str, ...], why: str | None
) -> None:
    recognise = by_columns("a log", ("a", "b", "c"), ("a", "b"))
    assert recognise(sample(pl.DataFrame({name: ["1"] for name in columns}))) == why


def test_without_required_columns_all_are() -> None:
    recognise = by_columns("a log", ("a", "b"))
    assert recognise(sample(pl.DataFrame({"a": ["1"]}))) is None
    assert recognise(sample(pl.DataFrame({"a": ["1"], "b": ["1"]}))) == "2 of 2 columns of a log"


def test_a_role_whose_column_is_missing_is_missing_and_the_others_stay() -> None:
    roles = Mapping(
        time=Time(pl.col("at"), "at", ends=True),
        track=Column.of("id"),
        played=Amount.of("ms"),
        side={"x": Column.of("x"), "y": Column.of("y")},
        newest_first=True,
    )
    mapping = by_column_names(roles)(("at", "id", "y"))
    assert (mapping.time, mapping.track, mapping.played) == (roles.time, roles.track, None)
    assert list(mapping.side) == ["y"]
    assert mapping.newest_first


@pytest.mark.parametrize(
    ("texts", "fits"),
    [(["12", "7"], True), (["12", "x", "7"], True), (["12", "x"], False), ([None, "7"], False), ([], False)],
)
def test_most_records_must_have_the_form(texts: list[str | None], fits: bool) -> None:
    assert most_fit(pl.DataFrame({"a": texts}, {"a": pl.String}), {"a": r"^\d+$"}) == fits


def test_a_word_that_stands_for_no_strength_is_wrong_and_an_empty_one_unknown() -> None:
    words = pl.DataFrame({"a": ["L", " S", "?", "", "nan", None]})
    strengths = words.select(strength_of(pl.col("a"), {"L": 0, "S": 3})).to_series()
    assert strengths.to_list() == [0, 3, WRONG, None, None, None]
    assert strengths.dtype == pl.UInt8
