"""Every source with values that a spreadsheet or another type left: read right, or shown with their column."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from segue.data.mapping import Mapping
from segue.data.sources import TITLES, source_of
from segue.errors import InputError, RejectedRowsError
from segue.store import Store
from segue.verbs.prepare import PrepareOptions, prepare
from support.exports.every import Original, smallest
from support.lawful import prepared
from support.reshaped import num_records, sample, with_value

ROLES = ("time", "played", "length", "share", "position", "stated", "track", "listener", "session")
IDS = ("track", "listener", "session")
"""Roles whose values are ids."""
NOON = 1_701_259_200
"""2023-11-29 12:00 UTC, 45259.5 days since 1899-12-30."""
SMALLEST = {name: smallest(name) for name in TITLES}


def roles(name: str) -> dict[str, str]:
    """Return the columns of a source's smallest export that a value may be put into, by role."""
    original = SMALLEST[name]
    if original.data.startswith((b"PK", b"PAR1", b"SQLite")) or source_of(name).refused:
        return {}
    seen = sample(original)
    mapping: Mapping = source_of(name).mapping(seen.columns)
    named = {role: column.name for role in ROLES if (column := getattr(mapping, role)) is not None}
    return {role: column for role, column in named.items() if column in seen.columns}


PAIRS = [(name, role, column) for name in TITLES for role, column in roles(name).items()]
NUMBERS = [pair for pair in PAIRS if pair[1] in ("played", "length", "share", "position", "time")]
NUMBERS.remove(("listenbrainz", "length", "track_metadata.additional_info.duration_ms"))  # unknown where it is none
GIVEN = [pair for pair in PAIRS if pair[0] != "youtube-music"]
"""YouTube's ids are parts of addresses."""
STATED = ("piki", "movielens", "rockbox", "mssd")
"""Sources that state feedback in a column of its own."""


def message(original: Original, folder: Path, max_rejected: float = 0.0) -> str:
    """Return the message by which an export is refused, '' where it is prepared."""
    outcome = prepared(original, "named", folder, max_rejected=max_rejected)
    assert outcome.fault == "", outcome.fault
    return outcome.message


def one_wrong(name: str, column: str, value: str) -> Original:
    """Return a source's export with a value in one of its plays."""
    return with_value(SMALLEST[name], column, value, [num_records(SMALLEST[name]) // 2])


def labelled(pairs: list[tuple[str, str, str]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("name", "role", "column"), pairs, ids=[f"{name}-{role}" for name, role, _ in pairs])


@labelled(NUMBERS)
def test_text_in_a_column_of_numbers_is_shown_with_its_column(
    name: str, role: str, column: str, tmp_path: Path
) -> None:
    assert f"{column} is 'many'" in message(one_wrong(name, column, "many"), tmp_path)


@labelled([pair for pair in PAIRS if pair[1] == "stated" and pair[0] in STATED])
def test_a_word_that_is_no_feedback_is_shown_with_its_column(name: str, role: str, column: str, tmp_path: Path) -> None:
    assert f"{column} is 'many'" in message(one_wrong(name, column, "many"), tmp_path)


@labelled([pair for pair in GIVEN if pair[1] in IDS])
def test_an_id_whose_digits_a_spreadsheet_cut_is_shown(name: str, role: str, column: str, tmp_path: Path) -> None:
    assert f"{column} is '1.23E+15'" in message(one_wrong(name, column, "1.23E+15"), tmp_path)


@labelled([pair for pair in GIVEN if pair[1] == "track"])
def test_an_id_that_went_through_floats_is_the_id(name: str, role: str, column: str, tmp_path: Path) -> None:
    assert message(one_wrong(name, column, "12.0"), tmp_path, 1.0) == ""
    store = Store(tmp_path / "store")
    assert "12" in {store.vocabulary.track_id(int(row)) for row in store.tracks}


@pytest.mark.parametrize("value", ["11/29/2023", "11/29/2023 12:00", "1.7E+12", "29.11.", "12:60"])
@labelled([pair for pair in PAIRS if pair[1] == "time"])
def test_a_time_that_may_be_two_is_shown(name: str, role: str, column: str, value: str, tmp_path: Path) -> None:
    assert f"{column} is '{value}'" in message(one_wrong(name, column, value), tmp_path)


@labelled([pair for pair in PAIRS if pair[1] == "time"])
def test_the_days_of_a_spreadsheet_are_days(name: str, role: str, column: str, tmp_path: Path) -> None:
    said = message(with_value(SMALLEST[name], column, "45259.5"), tmp_path, 1.0)
    if said:
        assert "no source" in said or "nothing of" in said
        return
    assert set(Store(tmp_path / "store").side("at").tolist()) <= {*range(NOON - 3600, NOON + 1)}


@pytest.mark.parametrize("value", ["inf", "-inf", "1e308", "1e13", "9" * 400])
def test_an_amount_beyond_reason_is_shown(value: str, tmp_path: Path) -> None:
    said = message(with_value(SMALLEST["table"], "ms_played", value), tmp_path)
    assert "ms_played is '" in said


@pytest.mark.parametrize("dtype", [pl.Float32, pl.Float64])
def test_ids_of_a_float_column_that_has_rounded_them_are_shown(dtype: type[pl.DataType], tmp_path: Path) -> None:
    frame = pl.DataFrame({"user": ["u"] * 3, "time": [1_700_000_000, 1_700_000_200, 1_700_000_400]})
    large = frame.with_columns(track=pl.Series([1.0, float(1 << 60), 2.0]).cast(dtype))
    with pytest.raises(RejectedRowsError, match=r"track is '1\.15"):
        prepare(large, tmp_path / "store", PrepareOptions(source="table"))
    prepare(large.filter(pl.col("track") < 3), tmp_path / "store", PrepareOptions(source="table"))
    vocabulary = Store(tmp_path / "store").vocabulary
    assert [vocabulary.track_id(row) for row in (3, 4)] == ["1", "2"]


TYPES = [pl.String, pl.Float32, pl.Boolean, pl.Date, pl.Duration("us"), pl.Binary, pl.List(pl.Int64), pl.Null, pl.Time]


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_a_parquet_column_of_another_type_is_read_or_refused_by_name(dtype: pl.DataType, tmp_path: Path) -> None:
    frame = pl.read_parquet(io.BytesIO(SMALLEST["yambda"].data))
    for number, column in enumerate(frame.columns):
        buffer = io.BytesIO()
        frame.with_columns(_cast(frame[column], dtype)).write_parquet(buffer)
        (tmp_path / str(number)).mkdir()
        for verb in ("named", "table"):
            folder = tmp_path / f"{number} {verb}"
            folder.mkdir()
            outcome = prepared(replace(SMALLEST["yambda"], data=buffer.getvalue()), verb, folder, max_rejected=1.0)
            assert outcome.fault == "", (column, verb)


def _cast(values: pl.Series, dtype: pl.DataType) -> pl.Series:
    if isinstance(dtype, pl.List):
        return values.reshape((-1, 1)).cast(dtype).alias(values.name)
    text = values.cast(pl.String) if dtype in (pl.String, pl.Binary) else values
    return text.cast(dtype, strict=False)


Record = dict[str, object]
SHAPES: dict[str, Callable[[Record], object]] = {
    "a list": lambda record: [record],
    "a text": lambda record: "play",
    "a number": lambda record: 5,
    "nothing": lambda record: None,
    "nested": lambda record: {"play": record},
    "deep": lambda record: json.loads('{"a":' * 90 + "{}" + "}" * 90),
    "fields of lists": lambda record: {key: [value] for key, value in record.items()},
    "fields of objects": lambda record: {key: {"value": value} for key, value in record.items()},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_json_of_another_shape_is_refused_by_name(shape: str, tmp_path: Path) -> None:
    record = {"endTime": "2021-09-30 12:28", "artistName": "A", "trackName": "B", "msPlayed": 500}
    path = tmp_path / "StreamingHistory0.json"
    path.write_text(json.dumps([record, SHAPES[shape](record)]), encoding="utf-8")
    with pytest.raises(InputError, match=r"StreamingHistory0\.json"):
        prepare(path, tmp_path / "store", PrepareOptions(source="spotify-account"))
    assert not (tmp_path / "store").exists()
