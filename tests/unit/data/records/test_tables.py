"""Parquet, Arrow, workbooks and SQLite, alone and inside archives."""

from __future__ import annotations

import builtins
import datetime
import sqlite3
import zipfile
from contextlib import closing
from pathlib import Path
from typing import Any

import openpyxl
import polars as pl
import pytest

from segue.data.records import columnar, database, workbook
from segue.data.records.database import query_blocks
from segue.data.records.member import find_members
from segue.data.rejects import Rejects
from segue.errors import InputError
from support.read_records import read_file

FRAME = pl.DataFrame({"uid": [1, 2, 3], "at": [0.5, None, 1.5], "track": ["a", "b", None]})


@pytest.mark.parametrize("name", ["x.parquet", "x.PARQUET", "x.pq", "x.arrow", "x [1]*.csv"])
@pytest.mark.parametrize("inside", [False, True])
def test_columnar_files_keep_their_types(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, inside: bool
) -> None:
    monkeypatch.setattr(columnar, "BLOCK_ROWS", 2)
    path = tmp_path / name
    if name.endswith("arrow"):
        FRAME.write_ipc(path)
    else:
        FRAME.write_parquet(path)
    if inside:
        with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
            archive.write(path, "in/" + name)
        path = tmp_path / "x.zip"
    read = read_file(path)
    assert read.frame.equals(FRAME)
    assert read.frame.schema == FRAME.schema
    assert read.line == [1, 2, 3]
    assert read_file(path, ("track", "uid")).frame.columns == ["track", "uid"]
    with pytest.raises(InputError, match="has no column nothing; it has uid, at, track"):
        read_file(path, ("nothing",))


@pytest.mark.parametrize("write", [pl.DataFrame.write_parquet, pl.DataFrame.write_ipc])
def test_a_columnar_file_cut_anywhere_is_an_input_error(tmp_path: Path, write: Any) -> None:
    path = tmp_path / "x"
    write(FRAME, path)
    data = path.read_bytes()
    for size in range(8, len(data), 7):
        path.write_bytes(data[:size])
        with pytest.raises(InputError, match="damaged or cut short"):
            read_file(path)


def test_a_workbook_gives_its_largest_sheet_as_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbook, "BLOCK_ROWS", 2)
    book = openpyxl.Workbook()
    assert book.active is not None
    book.active.append(["other"])
    sheet = book.create_sheet("10_listeningHistory")
    rows = [["S", 100.0, datetime.datetime(2025, 1, 7, 15, 18, 4), True], ["T", 1.5, "2025-01-07", None], [None, 7]]
    for row in [["Song Title", "Listening Time", "Date", "x"], *rows[:2], [], rows[2], ["a", 1, "b", "c", "surplus"]]:
        sheet.append(row)
    path = tmp_path / "deezer.xlsx"
    book.save(path)
    assert [found.name for found in find_members([path])] == ["deezer.xlsx"]
    read = read_file(path)
    assert read.sample.kind == "xlsx"
    assert read.sample.columns == ("Song Title", "Listening Time", "Date", "x")
    first = [("S", "100", "2025-01-07 15:18:04", "true"), ("T", "1.5", "2025-01-07", None), (None, "7", None, None)]
    assert read.rows == first
    assert read.line == [2, 3, 5]
    assert read.counts == {"wrong-field-count": 1}
    assert read_file(path, ("Date",)).rows[0] == ("2025-01-07 15:18:04",)
    data = path.read_bytes()
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("deezer.xlsx", data)
    assert read_file(tmp_path / "x.zip").rows == first


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    book = openpyxl.Workbook()
    book.save(tmp_path / "x.xlsx")
    (tmp_path / "x.zst").write_bytes(b"\x28\xb5\x2f\xfd")
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name in {"openpyxl", "zstandard"}:
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    for name, package in (("x.xlsx", "openpyxl"), ("x.zst", "zstandard")):
        with pytest.raises(InputError, match=f"pip install {package}"):
            read_file(tmp_path / name)


def _database(path: Path) -> Path:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE scrobbles (media_file_id, user_id, submission_time INTEGER)")
        connection.execute("CREATE TABLE media_file (id, title)")
        rows = [("m1", "u", 1_700_000_000), ("m2", "u", None), ("m1", "", 1_700_000_900)]
        connection.executemany("INSERT INTO scrobbles VALUES (?, ?, ?)", rows)
        connection.execute("INSERT INTO media_file VALUES ('m1', 'é')")
        connection.commit()
    return path


def test_a_database_gives_the_table_of_the_wanted_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BLOCK_ROWS", 2)
    path = _database(tmp_path / "navi [1]?#.db")
    wanted = ("scrobbles.submission_time", "scrobbles.user_id")
    read = read_file(path, wanted)
    assert read.sample.columns[:3] == ("scrobbles.media_file_id", "scrobbles.user_id", "scrobbles.submission_time")
    assert read.sample.first.height == 3
    assert read.rows == [("1700000000", "u"), (None, "u"), ("1700000900", None)]
    assert read.line == [1, 2, 3]
    with pytest.raises(InputError, match="columns of 2 tables"):
        read_file(path)
    (found,) = find_members([path])
    sql = (
        "SELECT m.title AS title, s.submission_time AS at FROM scrobbles s JOIN media_file m ON s.media_file_id = m.id"
    )
    blocks = list(query_blocks(found, sql, Rejects(tmp_path / "r.csv")))
    assert pl.concat([block.frame for block in blocks]).rows() == [("é", "1700000000"), ("é", "1700000900")]
    with pytest.raises(InputError, match="cannot be read"):
        list(query_blocks(found, "SELECT nothing FROM nowhere", Rejects(tmp_path / "r.csv")))


def test_the_write_ahead_log_of_a_database_is_read_or_named(tmp_path: Path) -> None:
    path = tmp_path / "wal.db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE plays (track)")
    connection.execute("INSERT INTO plays VALUES ('t1')")
    connection.commit()
    copies = tmp_path / "copies"
    copies.mkdir()
    (copies / "wal.db").write_bytes(path.read_bytes())
    with pytest.raises(InputError, match=r"copy wal\.db-wal beside it"):
        read_file(copies / "wal.db")
    (copies / "wal.db-wal").write_bytes((tmp_path / "wal.db-wal").read_bytes())
    assert read_file(copies / "wal.db").rows == [("t1",)]
    assert sorted(found.name for found in copies.iterdir()) == ["rejected.csv", "wal.db", "wal.db-wal"][1:]
    connection.close()
