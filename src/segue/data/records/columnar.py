"""Parquet and Arrow files as blocks with their types."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import numpy as np
import polars as pl

from segue.data.records.block import RecordBlock, check_columns
from segue.data.records.dialect import PROBED
from segue.data.records.member import Member
from segue.data.records.opened import on_disk
from segue.data.rejects import Rejects
from segue.data.sources.source import Sample
from segue.errors import InputError

PARQUET_MAGIC: Final = b"PAR1"
ARROW_MAGIC: Final = b"ARROW1"
BLOCK_ROWS = 1 << 20
"""Records of a block: a common size of row groups."""


def columnar_sample(member: Member) -> Sample:
    """Return the beginning of a Parquet or Arrow file.

    Raises:
        InputError: a damaged file.
    """
    with _scanned(member) as lazy:
        first = lazy.head(PROBED).collect(engine="streaming")
    return Sample(member.name, "parquet", tuple(first.columns), first)


def columnar_blocks(member: Member, wanted: Sequence[str], _: Rejects) -> Iterator[RecordBlock]:
    """Yield the records of a Parquet or Arrow file, columns `wanted` only (empty = all).

    Raises:
        InputError: no record, no such column, or a damaged file.
    """
    with _scanned(member) as lazy:
        names = lazy.collect_schema().names()
        check_columns(member.name, wanted, names)
        lazy = lazy.select(list(wanted) or names)
        height = lazy.select(pl.len()).collect(engine="streaming").item()
        if not height:
            raise InputError(f"{member.name} is empty; it has columns and no records")
        for start in range(0, height, BLOCK_ROWS):
            frame = lazy.slice(start, BLOCK_ROWS).collect(engine="streaming")
            yield RecordBlock(frame, np.arange(start + 1, start + 1 + frame.height, dtype=np.int64))


@contextmanager
def _scanned(member: Member) -> Iterator[pl.LazyFrame]:
    """Return the file as a lazy frame; damage is an InputError."""
    with on_disk(member, PARQUET_MAGIC, ARROW_MAGIC) as path:
        try:
            with path.open("rb") as handle:
                is_arrow = handle.read(len(ARROW_MAGIC)) == ARROW_MAGIC
            yield pl.scan_ipc(path, glob=False) if is_arrow else pl.scan_parquet(path, glob=False)
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:  # a panic is no Exception
            raise InputError(
                f"{member.name}: the file is damaged or cut short ({error}); write it or download it again"
            ) from error
