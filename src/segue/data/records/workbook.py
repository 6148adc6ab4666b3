"""Excel workbooks (.xlsx) as blocks: the sheet with the most rows, its first row the header."""

from __future__ import annotations

import datetime
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from segue.data.records.block import RecordBlock, check_columns
from segue.data.records.dialect import PROBED
from segue.data.records.member import Member
from segue.data.records.opened import on_disk
from segue.data.rejects import WRONG_FIELD_COUNT, Rejects
from segue.data.sources.source import Sample
from segue.errors import InputError

ZIP_MAGIC: Final = b"PK\x03\x04"
_MAIN: Final = "xl/workbook.xml"
BLOCK_ROWS = 1 << 15
"""Records of a block."""


def workbook_sample(member: Member) -> Sample:
    """Return the beginning of a workbook's largest sheet; `columns` is empty for an empty sheet.

    Raises:
        InputError: openpyxl is missing, not a workbook, or a column named twice.
    """
    with _sheet(member) as rows:
        header = _header(rows, member)
        first = [row for _, row in islice(rows, PROBED)]
    return Sample(member.name, "xlsx", tuple(filter(None, header)), _frame(first, header, ()))


def workbook_blocks(member: Member, wanted: Sequence[str], rejects: Rejects) -> Iterator[RecordBlock]:
    """Yield the records of the largest sheet, columns `wanted` only (empty = all), all String.

    `line` is the row of the sheet. A row with a value to the right of the header goes to `rejects`.

    Raises:
        InputError: openpyxl is missing, no record, or no such column.
    """
    num_rows = 0
    with _sheet(member) as rows:
        header = _header(rows, member)
        check_columns(member.name, wanted, [name for name in header if name], "its largest sheet")
        while part := list(islice(rows, BLOCK_ROWS)):
            sound = [(line, row) for line, row in part if not any(row[len(header) :])]
            bad = [(line, ",".join(cell or "" for cell in row)) for line, row in part if any(row[len(header) :])]
            rejects.add(WRONG_FIELD_COUNT, member.name, bad)
            num_rows += len(part)
            line = np.array([line for line, _ in sound], dtype=np.int64)
            yield RecordBlock(_frame([row for _, row in sound], header, wanted), line)
    if not num_rows:
        raise InputError(f"{member.name} is empty; its largest sheet has no row below the header")


@contextmanager
def _sheet(member: Member) -> Iterator[Iterator[tuple[int, list[str | None]]]]:
    """Return number and cells of each row of the largest sheet, without blank rows."""
    try:
        import openpyxl
    except ImportError:
        raise InputError(f"{member.name}: workbooks need the package openpyxl; pip install openpyxl") from None
    with on_disk(member, ZIP_MAGIC) as path, path.open("rb") as handle:
        _check(path, member)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about unsupported styles and extensions
                book = openpyxl.load_workbook(handle, read_only=True, data_only=True)
                sheets = [(_size(sheet), sheet) for sheet in book.worksheets]
        except Exception as error:  # openpyxl passes on the errors of its parsers
            raise _damaged(member, error) from error
        if not sheets:
            raise InputError(f"{member.name} has no sheet; name a workbook with a log")
        with closing(book):
            yield _rows(max(sheets, key=lambda pair: pair[0])[1], member)


def _check(path: Path, member: Member) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            if _MAIN in archive.namelist():
                return
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise _damaged(member, error) from error
    raise InputError(f"{member.name} is an archive inside an archive; unpack it and name the folder")


def _size(sheet: Any) -> tuple[int, int]:
    """Return the counted rows and cells of a sheet; the size that a sheet declares is often wrong."""
    cells = [sum(cell is not None for cell in row) for row in sheet.iter_rows(values_only=True)]
    return sum(map(bool, cells)), sum(cells)


def _rows(sheet: Any, member: Member) -> Iterator[tuple[int, list[str | None]]]:
    try:
        for number, row in enumerate(sheet.iter_rows(values_only=True), 1):
            if any(cell is not None for cell in row):
                yield number, [_text(cell) for cell in row]
    except InputError:
        raise
    except Exception as error:  # openpyxl passes on the errors of its parsers
        raise _damaged(member, error) from error


def _text(cell: Any) -> str | None:
    """Return a cell as text: whole numbers without a fraction, true and false, dates as YYYY-MM-DD HH:MM:SS."""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    if isinstance(cell, datetime.datetime):
        return cell.isoformat(" ")
    return None if cell is None else str(cell) or None


def _header(rows: Iterator[tuple[int, list[str | None]]], member: Member) -> list[str]:
    _, cells = next(rows, (0, []))
    header = [(cell or "").strip() for cell in cells]
    while header and not header[-1]:
        header.pop()
    twice = [name for name, count in Counter(filter(None, header)).items() if count > 1]
    if twice:
        raise InputError(f"{member.name}: the header names a column twice ({', '.join(twice)}); rename one")
    return header


def _frame(rows: list[list[str | None]], header: list[str], wanted: Sequence[str]) -> pl.DataFrame:
    names = list(wanted) or [name for name in header if name]
    padded = [row + [None] * (len(header) - len(row)) for row in rows]
    columns = {name: [row[header.index(name)] for row in padded] for name in names}
    return pl.DataFrame(columns, dict.fromkeys(names, pl.String))


def _damaged(member: Member, error: Exception) -> InputError:
    return InputError(f"{member.name}: the workbook is damaged or cut short ({error}); save it again, or as CSV")
