"""A plain reader: the records of an export as the contract of raw frames has them, by the standard library alone."""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import polars as pl

from segue.data.sources.source import Sample

Record = dict[str, str | None]
_SHEET = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"


def samples(path: Path, patterns: tuple[str, ...] = ("*",)) -> list[Sample]:
    """Return the files below `path` (a file, folder or zip) whose names match, whole, in the order of their names."""
    return [
        _sample(name, content)
        for name, content in _contents(path)
        if any(fnmatch(name.lower(), pattern.lower()) for pattern in patterns)
    ]


def _contents(path: Path) -> Iterator[tuple[str, bytes]]:
    if path.is_dir():
        for file in sorted(file for file in path.rglob("*") if file.is_file()):
            yield file.relative_to(path).as_posix(), file.read_bytes()
    elif path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            for name in sorted(archive.namelist()):
                yield name, archive.read(name)
    else:
        yield path.name, path.read_bytes()


def _sample(name: str, content: bytes) -> Sample:
    suffix = Path(name).suffix
    if suffix == ".parquet":
        frame = pl.read_parquet(io.BytesIO(content))
        return Sample(name, "parquet", tuple(frame.columns), frame)
    if suffix in (".json", ".jsonl"):
        return _framed(name, "json", _json_records(content.decode("utf-8-sig"), lines=suffix == ".jsonl"))
    if suffix == ".xlsx":
        header, *rows = _sheet_rows(content)
        return _framed(name, "xlsx", [dict(zip(header, row, strict=True)) for row in rows])
    text = content.decode("utf-8-sig")
    lines = (line.split("\t") for line in text.splitlines()) if suffix == ".tsv" else csv.reader(io.StringIO(text, ""))
    cells = [[cell or None for cell in line] for line in lines if line]
    headed = not any(re.search(r"\d{4}", cell or "") for cell in cells[0])
    header = [str(cell) for cell in cells.pop(0)] if headed else [str(place) for place in range(len(cells[0]))]
    return _framed(name, "delimited", [dict(zip(header, row, strict=True)) for row in cells], headed)


def _framed(name: str, kind: Any, records: list[Record], headed: bool = True) -> Sample:
    columns = list(dict.fromkeys(column for record in records for column in record))
    frame = pl.DataFrame(
        {column: [record.get(column) for record in records] for column in columns},
        schema=dict.fromkeys(columns, pl.String),
    )
    return Sample(name, kind, tuple(columns), frame, headed)


def _json_records(text: str, *, lines: bool) -> list[Record]:
    if lines:
        return [_flat(_parsed(line)) for line in text.splitlines() if line]
    found = _parsed(text)
    while isinstance(found, dict):  # the records stand within: {"recenttracks": {"track": [...]}}
        found = next(value for value in found.values() if isinstance(value, dict | list))
    return [_flat(record) for record in found]


def _parsed(text: str) -> Any:
    return json.loads(text, parse_int=str, parse_float=str)


def _flat(value: Any, path: str = "") -> Record:
    """Return the leaves of `value` as text by their path."""
    inner = enumerate(value) if isinstance(value, list) else value.items() if isinstance(value, dict) else None
    if inner is None:
        word = str(value).lower() if isinstance(value, bool) else value
        return {path: word or None}
    flat: Record = {}
    for key, child in inner:
        flat |= _flat(child, f"{path}.{key}" if path else str(key))
    return flat


def _sheet_rows(content: bytes) -> list[list[str | None]]:
    """Return the cells of the last sheet of a workbook; every cell is there, shared strings are looked up."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        shared = ["".join(item.itertext()) for item in ElementTree.fromstring(archive.read("xl/sharedStrings.xml"))]
        last = max(name for name in archive.namelist() if name.startswith("xl/worksheets/"))
        sheet = ElementTree.fromstring(archive.read(last))
    rows = []
    for row in sheet.iter(f"{_SHEET}row"):
        cells = [(cell.get("t"), cell.findtext(f"{_SHEET}v")) for cell in row]
        rows.append([shared[int(value)] if kind == "s" and value else value for kind, value in cells])
    return rows
