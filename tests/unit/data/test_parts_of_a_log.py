"""A log that does not fit memory gives the store of one that does."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from segue.data import assembly, gathered
from segue.data.cutting import Cutting
from segue.data.sources.table_columns import TableColumns
from segue.errors import InputError
from segue.store import Store
from segue.verbs.prepare import PrepareOptions, prepare

Rows = dict[str, list[object]]


@contextmanager
def small_parts(monkeypatch: pytest.MonkeyPatch, chunk: int, part: int) -> Iterator[None]:
    """Let a log be spilled and divided as if so many plays were many."""
    with monkeypatch.context() as patch:
        patch.setattr(gathered, "MOST_IN_MEMORY", chunk)
        patch.setattr(assembly, "MOST_IN_MEMORY", chunk)
        patch.setattr(gathered, "CHUNK_ROWS", chunk)
        patch.setattr(gathered, "PART_ROWS", part)
        yield


def histories(seed: int, size: int = 400) -> Rows:
    """Return plays of seven listeners, mixed, with titles; one listener has most of them."""
    draw = random.Random(seed)
    rows: Rows = {name: [] for name in ("user_id", "track_name", "artist_name", "time", "played_s", "mood")}
    for row in range(size):
        rows["user_id"].append(draw.choice(["é", "b", "A", "10", "9", "b", "b", "b"]))
        rows["track_name"].append(f"Song {draw.randrange(40)}")
        rows["artist_name"].append(draw.choice(["X", "Y", None]))
        rows["time"].append(1_600_000_000 + row * 60 + draw.randrange(300))
        rows["played_s"].append(draw.choice([3.5, 45.0, 180.0, 180.5, None]))
        rows["mood"].append(draw.choice(["calm", "loud", "7"]))
    return rows


def sessions(seed: int, size: int = 400) -> Rows:
    """Return plays of numbered sessions that restart for each listener, mixed."""
    draw = random.Random(seed)
    rows: Rows = {name: [] for name in ("user_id", "session_id", "position", "track_id", "skipped", "score")}
    for row in range(size):
        rows["user_id"].append(draw.choice("abcdefg"))
        rows["session_id"].append(draw.randrange(5))
        rows["position"].append(row * 0.5)
        rows["track_id"].append(draw.randrange(50))
        rows["skipped"].append(draw.random() < 0.3)
        rows["score"].append(draw.random())
    return rows


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", ["histories", "sessions", "sessions without listeners", "one listener"])
def test_a_log_in_many_parts_is_the_log_in_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, kind: str
) -> None:
    rows = histories(seed) if kind in ("histories", "one listener") else sessions(seed)
    if kind == "sessions without listeners":
        del rows["user_id"]
    if kind == "one listener":
        rows["user_id"] = ["b"] * 400
    side = ("mood",) if "mood" in rows else ("score",)
    pl.DataFrame(rows).write_csv(tmp_path / "log.csv")
    columns = TableColumns(side=side)
    whole = prepare(tmp_path / "log.csv", tmp_path / "whole", PrepareOptions(source="table", columns=columns))
    for chunk, part in ((50, 1), (7, 30), (1000, 60), (64, 150)):  # 1000: held in memory, 400 rows
        with small_parts(monkeypatch, chunk, part):
            divided = prepare(
                tmp_path / "log.csv", tmp_path / f"{chunk}", PrepareOptions(source="table", columns=columns)
            )
        assert divided.fingerprint == whole.fingerprint
        assert (divided.warnings, divided.rows, divided.tracks) == (whole.warnings, whole.rows, whole.tracks)
    assert len(Store(tmp_path / "whole").offsets) > 2
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_repeats_are_found_in_every_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = pl.DataFrame(histories(5))
    pl.concat([rows, rows[::3]]).write_csv(tmp_path / "log.csv")
    with small_parts(monkeypatch, 50, 30):
        report = prepare(
            tmp_path / "log.csv",
            tmp_path / "store",
            PrepareOptions(source="table", cutting=Cutting(drop_duplicates=True)),
        )
    assert report.left_out == {"duplicate": len(rows[::3])}
    once = prepare(rows, tmp_path / "once", PrepareOptions(source="table"))
    assert report.rows == once.rows


def test_integers_above_what_a_float_holds_stay_exact(tmp_path: Path) -> None:
    numbers = [2**24 + 1, 3, 2**40 + 1, -5]
    log = pl.DataFrame({"session": ["s"] * 4, "track": list("abcd"), "big": numbers, "small": [1, 2, None, 4]})
    for name, made in (("frame", log), ("file", tmp_path / "log.csv")):
        log.write_csv(tmp_path / "log.csv")
        prepare(made, tmp_path / name, PrepareOptions(source="table", columns=TableColumns(side=("big", "small"))))
        store = Store(tmp_path / name)
        assert store.side("big").tolist() == numbers
        np.testing.assert_array_equal(store.side("small"), np.float32([1, 2, np.nan, 4]))


def test_a_text_that_comes_late_makes_a_column_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = [*(str(n) for n in range(30)), "rock", "007", *[""] * 3]
    log = pl.DataFrame({"session": ["s"] * len(values), "track": [str(n % 7) for n in range(len(values))], "c": values})
    log.write_csv(tmp_path / "log.csv")
    with small_parts(monkeypatch, 10, 10):
        prepare(
            tmp_path / "log.csv", tmp_path / "store", PrepareOptions(source="table", columns=TableColumns(side=("c",)))
        )
    store = Store(tmp_path / "store")
    column = store.side_column("c")
    assert column is not None
    assert [column.categories[code] for code in store.side("c")] == values


def test_files_that_cannot_be_one_log_are_refused(tmp_path: Path) -> None:
    pl.DataFrame({"session": ["s"], "track": ["a"], "user": ["u"]}).write_csv(tmp_path / "a.csv")
    pl.DataFrame({"session": ["s"], "track": ["a"]}).write_csv(tmp_path / "b.csv")
    with pytest.raises(InputError, match=r"a\.csv has a listener and b\.csv has none; prepare them apart"):
        prepare([tmp_path / "a.csv", tmp_path / "b.csv"], tmp_path / "store", PrepareOptions(source="table"))


def test_a_text_column_called_like_one_of_segues_is_text(tmp_path: Path) -> None:
    values = ["true", "false", "true", "true"]
    log = pl.DataFrame({"session": ["s"] * 4, "track": list("abcd"), "premium": values})
    log.write_csv(tmp_path / "log.csv")
    options = PrepareOptions(source="table", columns=TableColumns(side=("premium",)))
    prepare(tmp_path / "log.csv", tmp_path / "store", options)
    store = Store(tmp_path / "store")
    column = store.side_column("premium")
    assert column is not None
    assert [column.categories[code] for code in store.side("premium")] == values
