"""Parquet and Arrow files as blocks with their types."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from segue.data.records.block import Block
from segue.data.records.dialect import PROBED
from segue.data.records.member import Member
from segue.data.records.opened import on_disk
from segue.data.sources.source import Sample
from segue.errors import InputError

PARQUET_MAGIC: Final = b"PAR1"
ARROW_MAGIC: Final = b"ARROW1"
_FAULTS: Final = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)
"""What Polars raises on damaged files; a panic is not an Exception."""
BLOCK_ROWS = 1 << 20
"""Records of a block: a common size of row groups."""


def columnar_sample(member: Member, magic: bytes) -> Sample:
    """Return the beginning of a Parquet or Arrow file.

    Raises:
        InputError: a damaged file.
    """
    with on_disk(member, magic) as path:
        try:
            lazy = _scan(path, magic)
            first = lazy.head(PROBED).collect(engine="streaming")
        except _FAULTS as error:
            raise _damaged(member, error) from error
    return Sample(member.name, "parquet", tuple(first.columns), first)


def columnar_blocks(member: Member, magic: bytes, wanted: Sequence[str]) -> Iterator[Block]:
    """Yield the records of a Parquet or Arrow file, columns `wanted` only (empty = all).

    Raises:
        InputError: no record, no such column, or a damaged file.
    """
    with on_disk(member, magic) as path:
        try:
            yield from _blocks(path, magic, member, wanted)
        except _FAULTS as error:
            raise _damaged(member, error) from error


def _blocks(path: Path, magic: bytes, member: Member, wanted: Sequence[str]) -> Iterator[Block]:
    lazy = _scan(path, magic)
    file_columns = lazy.collect_schema().names()
    if unknown := [name for name in wanted if name not in file_columns]:
        raise InputError(f"{member.name} has no column {', '.join(unknown)}; it has {', '.join(file_columns)}")
    lazy = lazy.select(list(wanted) or file_columns)
    start, height = 0, lazy.select(pl.len()).collect(engine="streaming").item()
    if not height:
        raise InputError(f"{member.name} is empty; it has columns and no records")
    while start < height:
        frame = lazy.slice(start, BLOCK_ROWS).collect(engine="streaming")
        yield Block(frame, np.arange(start + 1, start + 1 + frame.height, dtype=np.int64))
        start += frame.height


def _scan(path: Path, magic: bytes) -> pl.LazyFrame:
    if magic == PARQUET_MAGIC:
        return pl.scan_parquet(path, glob=False)
    return pl.scan_ipc(path, glob=False)


def _damaged(member: Member, error: BaseException) -> InputError:
    return InputError(f"{member.name}: the file is damaged or cut short ({error}); write it or download it again")
