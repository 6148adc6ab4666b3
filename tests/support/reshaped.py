"""A file of an export with other records: fewer of them, or another value in a column; archives are not reshaped."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import openpyxl
import polars as pl

from segue.data.records.member import Member
from segue.data.records.reading import sample_of
from segue.data.sources.source import Sample
from support.exports.every import Original

Change = Callable[[Sequence[Any]], Sequence[Any]]
"""Returns other records for those of a file."""


def sample(original: Original) -> Sample:
    """Return the beginning of an export, as the readers see it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, original.name)
        path.write_bytes(original.data)
        return sample_of(Member(original.name, path))


def num_records(original: Original) -> int:
    """Return the records of an export."""
    counted: list[int] = []

    def count(rows: Sequence[Any]) -> Sequence[Any]:
        counted.append(len(rows))
        return rows

    _reshaped(original, count)
    return counted[0]


def with_records(original: Original, places: Sequence[int]) -> Original:
    """Return the export with the records at `places` alone, and what stands above and around them."""
    return _reshaped(original, lambda rows: [rows[place] for place in places if place < len(rows)])


def with_value(original: Original, column: str, value: str, places: Sequence[int] | None = None) -> Original:
    """Return a delimited or JSON export with `value` in a column, in the records at `places` (None: in all)."""
    seen = sample(original)

    def changed(rows: Sequence[Any]) -> list[Any]:
        there = range(len(rows)) if places is None else places
        return [_changed(row, column, value, seen) if at in there else row for at, row in enumerate(rows)]

    return _reshaped(original, changed)


def _changed(row: Any, column: str, value: str, seen: Sample) -> Any:
    if isinstance(row, dict):
        return _set(row, column.split("."), value)
    separator = max((b"\t", b",", b"::", b";"), key=row.count)
    text = row.decode().rstrip("\r\n")
    fields = next(csv.reader([text])) if separator == b"," else text.split(separator.decode())
    fields[seen.columns.index(column)] = value
    if separator != b",":
        return (separator.decode().join(fields) + "\n").encode()
    written = io.StringIO(newline="")
    csv.writer(written, lineterminator="\n").writerow(fields)
    return written.getvalue().encode()


def _set(node: Any, path: list[str], value: str) -> Any:
    """Return a JSON value with another at `path`; what leads there is made where it is missing."""
    if not path:
        return value
    if isinstance(node, list):
        return [_set(inner, path[1:], value) if str(at) == path[0] else inner for at, inner in enumerate(node)]
    return {**(node or {}), path[0]: _set((node or {}).get(path[0]), path[1:], value)}


def _reshaped(original: Original, change: Change) -> Original:
    data = original.data
    if data.startswith(b"PK"):
        return replace(original, data=_workbook(data, change))
    if data.startswith(b"PAR1"):
        return replace(original, data=_parquet(data, change))
    if data.startswith(b"SQLite"):
        return replace(original, data=_database(data, change))
    if data.lstrip()[:1] in (b"[", b"{"):
        return replace(original, data=_json(data, change))
    seen = sample(original)
    lines = data.splitlines(keepends=True)
    above = len(seen.preamble) or int(seen.headed)
    return replace(original, data=b"".join([*lines[:above], *change(lines[above:])]))


def _json(data: bytes, change: Change) -> bytes:
    text = data.decode()
    if "\n{" in text:
        rows = change([json.loads(line) for line in text.splitlines()])
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    document = json.loads(text)
    if isinstance(document, list):
        return json.dumps(change(document), ensure_ascii=False).encode()
    holder, key = _array_in(document)
    holder[key] = change(holder[key])
    return json.dumps(document, ensure_ascii=False).encode()


def _array_in(document: dict[str, Any]) -> tuple[dict[str, Any], str]:
    for key, value in document.items():
        if isinstance(value, list):
            return document, key
        if isinstance(value, dict) and any(isinstance(inner, list | dict) for inner in value.values()):
            return _array_in(value)
    raise AssertionError("no array of records")


def _parquet(data: bytes, change: Change) -> bytes:
    frame, kept = pl.read_parquet(io.BytesIO(data)), io.BytesIO()
    rows = change(list(range(frame.height)))
    frame[list(rows)].write_parquet(kept)
    return kept.getvalue()


def _workbook(data: bytes, change: Change) -> bytes:
    book, kept = openpyxl.load_workbook(io.BytesIO(data)), io.BytesIO()
    sheet = max(book.worksheets, key=lambda one: one.max_row)
    header, *rows = sheet.iter_rows(values_only=True)
    sheet.delete_rows(1, sheet.max_row)
    for row in (header, *change(rows)):
        sheet.append(list(row))
    book.save(kept)
    return kept.getvalue()


def _database(data: bytes, change: Change) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "reshaped.db")
        path.write_bytes(data)
        with closing(sqlite3.connect(path)) as base, base:
            rows = base.execute("SELECT * FROM scrobbles").fetchall()
            base.execute("DELETE FROM scrobbles")
            base.executemany("INSERT INTO scrobbles VALUES (?, ?, ?)", change(rows))
        return path.read_bytes()
