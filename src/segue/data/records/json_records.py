"""JSON as blocks: nested fields flattened, one column per path."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final

import numpy as np
import polars as pl

from segue.data.records.block import RecordBlock
from segue.data.records.dialect import PROBED
from segue.data.records.json_text import JsonText, Object, objects_of
from segue.data.records.member import Member
from segue.data.records.opened import opened
from segue.data.records.utf8_text import utf8_chunks
from segue.data.sources.source import Sample
from segue.errors import InputError

CHUNK_BYTES = 1 << 20
"""Bytes decoded at once: 1 MiB."""
BLOCK_ROWS = 1 << 15
"""Records of a block."""
MAX_COLUMNS: Final = 10_000
"""Most columns of a block; a file with more has ids as keys, or whole logs as records."""


def json_sample(member: Member) -> Sample:
    """Return the beginning of a JSON file; `columns` is empty without a record.

    Raises:
        InputError: invalid JSON, or a text that ends early, within the first records.
    """
    with opened(member) as handle:
        rows = _rows(_objects(handle, member), None)
        first = [row for _, row in islice(rows, PROBED)]
    columns = tuple(dict.fromkeys(name for row in first for name in row))
    return Sample(member.name, "json", columns, _frame(member, first, columns, 1))


def json_blocks(member: Member, sample: Sample, wanted: Sequence[str]) -> Iterator[RecordBlock]:
    """Yield the records of a JSON file, columns `wanted` only (null if a record lacks them); by default the columns of
    the sample and of the block's records.

    Raises:
        InputError: no record, invalid JSON, or a text that ends early.
    """
    number, num_blocks = 1, 0
    with opened(member) as handle:
        rows = _rows(_objects(handle, member), _prefixes(wanted) if wanted else None)
        while part := list(islice(rows, BLOCK_ROWS)):
            records = [row for _, row in part]
            columns = tuple(wanted) or tuple(dict.fromkeys((*sample.columns, *(key for row in records for key in row))))
            if columns:
                line = np.array([at for at, _ in part], dtype=np.int64)
                yield RecordBlock(_frame(member, records, columns, number), line)
                num_blocks += 1
            number += len(part)
    if not num_blocks:
        raise InputError(f"{member.name} is empty; it is JSON without records")


def _objects(handle: Any, member: Member) -> Iterator[Object]:
    return objects_of(JsonText(utf8_chunks(handle, member.name, CHUNK_BYTES), member.name))


def _prefixes(wanted: Sequence[str]) -> set[str]:
    """Return the columns and their prefixes: 'a', 'a.b' and 'a.b.c' for 'a.b.c'."""
    parts = [name.split(".") for name in wanted]
    return {".".join(part[:size]) for part in parts for size in range(1, len(part) + 1)}


def _rows(objects: Iterable[Object], prefixes: Collection[str] | None) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield number and flattened fields of each record; `prefixes` = paths to follow, None = all."""
    for number, record in enumerate(objects, 1):
        row = dict[str, str]()
        _flatten(record.items(), "", prefixes, row)
        yield number, row


def _flatten(
    items: Iterable[tuple[Any, Any]], prefix: str, prefixes: Collection[str] | None, row: dict[str, str]
) -> None:
    for key, value in items:
        name = f"{prefix}{key}"
        if value is None or (prefixes is not None and name not in prefixes):
            continue
        if isinstance(value, str):
            if value:
                row[name] = value
        elif isinstance(value, bool):
            row[name] = "true" if value else "false"
        else:
            _flatten(value.items() if isinstance(value, dict) else enumerate(value), name + ".", prefixes, row)


def _frame(member: Member, rows: list[dict[str, str]], columns: Sequence[str], number: int) -> pl.DataFrame:
    """Return rows as a frame; the first row is record `number`."""
    if len(columns) > MAX_COLUMNS:
        raise InputError(
            f"{member.name}: the records have {len(columns):,} different fields; name a log whose records share a few "
            "fields"
        )
    try:
        values = {name: [row.get(name) for row in rows] for name in columns}
        return pl.DataFrame(values, dict.fromkeys(columns, pl.String))
    except UnicodeEncodeError:
        bad = next(at for at, row in enumerate(rows) if not all(map(_is_text, (*row, *row.values()))))
        raise InputError(
            f"{member.name}: record {number + bad} has half of a surrogate pair (\\ud800 to \\udfff alone), which is "
            "not text; remove it"
        ) from None


def _is_text(value: str) -> bool:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
