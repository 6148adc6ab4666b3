"""SQLite databases as blocks: one table, or the result of a query."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from shutil import copyfile
from typing import Any, Final
from urllib.parse import quote

import numpy as np
import polars as pl

from segue.data.records.block import RecordBlock, check_columns
from segue.data.records.dialect import PROBED
from segue.data.records.member import Member
from segue.data.records.opened import on_disk
from segue.data.rejects import NOT_UTF8, NUL_BYTE, Rejects
from segue.data.sources.source import Sample
from segue.errors import InputError

SQLITE_MAGIC: Final = b"SQLite format 3\x00"
BLOCK_ROWS = 1 << 16
"""Records of a block."""
_WRITE_AHEAD: Final = 2
"""File format of a database in WAL mode."""


def database_sample(member: Member) -> Sample:
    """Return the beginning of a database: columns 'table.column' of all tables, their first rows side by side.

    Raises:
        InputError: a damaged database, or one whose write-ahead log is missing.
    """
    frames = list[pl.DataFrame]()
    with _connected(member) as connection:
        for table, columns in _tables(connection).items():
            rows = connection.execute(f"SELECT * FROM {_quoted(table)} LIMIT {PROBED}").fetchall()
            sound = [row for row in rows if _fault(row) is None]
            frames.append(_frame(sound, [f"{table}.{name}" for name in columns]))
    longest = max((frame.height for frame in frames), default=0)
    levelled = [frame.select(pl.all().extend_constant(None, longest - frame.height)) for frame in frames]
    first = pl.concat(levelled, how="horizontal") if frames else pl.DataFrame()
    return Sample(member.name, "sqlite", tuple(first.columns), first)


def database_blocks(member: Member, wanted: Sequence[str], rejects: Rejects) -> Iterator[RecordBlock]:
    """Yield the rows of the one table with the columns `wanted` ('table.column'); empty = all of the only table.

    Raises:
        InputError: no such column, columns of several tables, or no row.
    """
    with _connected(member) as connection:
        table_of = {f"{table}.{name}": table for table, names in _tables(connection).items() for name in names}
    check_columns(member.name, wanted, table_of)
    columns = list(wanted) or list(table_of)
    tables = dict.fromkeys(table_of[name] for name in columns)
    if len(tables) != 1:
        raise InputError(f"{member.name}: columns of {len(tables)} tables ({', '.join(tables)}); name those of one")
    table = next(iter(tables))
    selected = ", ".join(f"{_quoted(name.removeprefix(table + '.'))} AS {_quoted(name)}" for name in columns)
    yield from query_blocks(member, f"SELECT {selected} FROM {_quoted(table)}", rejects)


def query_blocks(member: Member, sql: str, rejects: Rejects) -> Iterator[RecordBlock]:
    """Yield the rows of a SELECT, all String, with its column names; `line` counts the rows from 1.

    Rows with text that is not UTF-8 or contains NUL go to `rejects`.

    Raises:
        InputError: a damaged database, a query that fails, or no row.
    """
    number = 1
    with _connected(member) as connection:
        cursor = connection.execute(sql)
        names = [entry[0] for entry in cursor.description]
        while rows := cursor.fetchmany(BLOCK_ROWS):
            faults = [_fault(row) for row in rows]
            for kind in (NOT_UTF8, NUL_BYTE):
                bad = [(number + at, _shown(rows[at])) for at, fault in enumerate(faults) if fault == kind]
                rejects.add(kind, member.name, bad)
            sound = np.array([at for at, fault in enumerate(faults) if fault is None], dtype=np.int64)
            yield RecordBlock(_frame([rows[at] for at in sound], names), sound + number)
            number += len(rows)
    if number == 1:
        raise InputError(f"{member.name} is empty; its tables have no plays")


@contextmanager
def _connected(member: Member) -> Iterator[sqlite3.Connection]:
    """Return a read-only connection, which writes neither into the file nor beside it."""
    with on_disk(member, SQLITE_MAGIC) as path, _with_log(path, member) as (readable, immutable):
        uri = f"file:{quote(str(readable.absolute()))}?mode=ro" + "&immutable=1" * immutable
        try:
            with closing(sqlite3.connect(uri, uri=True)) as connection:
                connection.text_factory = bytes
                yield connection
        except sqlite3.Error as error:
            raise InputError(
                f"{member.name}: the database cannot be read ({error}); copy it again while its program is closed"
            ) from error


@contextmanager
def _with_log(path: Path, member: Member) -> Iterator[tuple[Path, bool]]:
    """Return the path to read, and whether to open it as immutable. With a write-ahead log it is that of a copy, since
    reading merges the log.

    Raises:
        InputError: the database is cut short, or its rows are in a write-ahead log that is missing.
    """
    with path.open("rb") as handle:
        header = handle.read(100)
    log = path.with_name(path.name + "-wal")
    if log.exists() and log.stat().st_size:
        with tempfile.TemporaryDirectory(prefix="segue-") as folder:
            copy = Path(folder, "copy")
            copyfile(path, copy)
            copyfile(log, copy.with_name("copy-wal"))
            yield copy, False
        return
    page = int.from_bytes(header[16:18], "big")
    pages, size = int.from_bytes(header[28:32], "big"), path.stat().st_size
    whole = size >= pages * (65_536 if page == 1 else page)
    if len(header) == 100 and header[18] == _WRITE_AHEAD and (not whole or pages <= 1):
        raise InputError(
            f"{member.name}: its latest rows are in a write-ahead log that is missing; "
            f"copy {Path(member.name).name}-wal beside it, or close the program that writes it and copy again"
        )
    if not whole and header[24:28] == header[92:96]:  # else an old SQLite wrote it, without the number of pages
        raise InputError(f"{member.name}: the database is cut short ({size:,} bytes); copy it again")
    yield path, True


def _tables(connection: sqlite3.Connection) -> dict[str, list[str]]:
    """Return the columns of each table, tables in the order of their creation."""
    rows = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
    )
    names = [row[0].decode("utf-8", "replace") for row in rows.fetchall()]
    described = {name: connection.execute(f"SELECT * FROM {_quoted(name)} LIMIT 0").description for name in names}
    return {name: [entry[0] for entry in columns or ()] for name, columns in described.items()}


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _fault(row: tuple[Any, ...]) -> str | None:
    """Return the kind of reject of a row, None for a valid row."""
    texts = [value for value in row if isinstance(value, bytes)]
    try:
        for text in texts:
            text.decode("utf-8")
    except UnicodeDecodeError:
        return NOT_UTF8
    return NUL_BYTE if any(b"\0" in text for text in texts) else None


def _shown(row: tuple[Any, ...]) -> str:
    return ",".join(value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value) for value in row)


def _frame(rows: list[tuple[Any, ...]], names: Sequence[str]) -> pl.DataFrame:
    columns = {name: [_text(row[index]) for row in rows] for index, name in enumerate(names)}
    return pl.DataFrame(columns, dict.fromkeys(names, pl.String))


def _text(value: Any) -> str | None:
    if value is None:
        return None
    return (value.decode("utf-8") if isinstance(value, bytes) else str(value)) or None
