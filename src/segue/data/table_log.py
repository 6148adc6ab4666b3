"""Tables of plays and of ratings: the inputs of a log whose columns are named, or recognised by usual names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from segue.data.log_reading import LogInput
from segue.data.mapping import Mapping
from segue.data.records.block import RecordBlock
from segue.data.records.frames import frame_of
from segue.data.records.member import Member, find_members
from segue.data.records.reading import blocks_of, sample_of
from segue.data.rejects import Rejects
from segue.data.sources import all_sources, source_of
from segue.data.sources.source import Sample
from segue.data.sources.table import mapping_of
from segue.data.sources.table_columns import TableColumns
from segue.errors import InputError


def table_inputs(log: Any, columns: TableColumns) -> list[LogInput]:
    """Return the inputs of tables of plays; `log`: one or several paths, or a Polars or pandas frame.

    Raises:
        InputError: no such file, or a column is missing.
    """
    inputs = []
    for table in _tables(log):
        name, first, _ = table
        try:
            resolved = columns.resolved(tuple(first.columns), name)
        except InputError as error:
            raise InputError(f"{error}{_hint(name, first)}") from None
        inputs.append(_mapped(table, mapping_of(resolved)))
    return inputs


def rating_inputs(log: Any) -> list[LogInput]:
    """Return the inputs of files of ratings, one to five stars: columns for user, item, rating and timestamp.

    Raises:
        InputError: no such file, or a column is missing.
    """
    source = source_of("movielens")
    words = {"listener": "user", "track": "item", "stated": "rating", "time": "timestamp"}
    inputs = []
    for table in _tables(log):
        name, first, _ = table
        mapping = source.mapping(tuple(first.columns))
        missing = ", ".join(word for role, word in words.items() if getattr(mapping, role) is None)
        if missing:
            raise InputError(f"{name} has no column for {missing}; its columns: {', '.join(first.columns)}")
        inputs.append(_mapped(table, mapping, source.scale))
    return inputs


def paths_of(log: Any) -> list[Path]:
    """Return one or several paths as a list.

    Raises:
        InputError: there is none.
    """
    paths = [Path(path) for path in ([log] if isinstance(log, str | Path) else log)]
    if not paths:
        raise InputError("no file is named; name the files of the log")
    return paths


_Blocks = Callable[[Mapping, Rejects], Iterator[RecordBlock]]
"""Yields the records with the mapped columns; bad ones go to the rejects."""
_Table = tuple[str, pl.DataFrame, _Blocks]
"""Name, first records with all columns, and the records of a file or a frame."""


def _tables(log: Any) -> list[_Table]:
    """Return the tables of each file, or of a frame."""
    if not isinstance(log, str | Path | list | tuple):
        frame = frame_of(log)
        block = RecordBlock(frame, np.arange(1, frame.height + 1, dtype=np.int64))
        return [("the frame", frame, lambda _, rejects: iter([block]))]
    samples = [(member, sample_of(member)) for member in find_members(paths_of(log))]
    samples = [each for each in samples if each[1].columns] or samples  # without empty files such as _SUCCESS
    if not samples[0][1].columns:
        raise InputError(f"{samples[0][0].name} is empty; name a file with plays")
    return [(member.name, _first(sample), _reader(member, sample)) for member, sample in samples]


def _first(sample: Sample) -> pl.DataFrame:
    return sample.first if sample.first.width else pl.DataFrame(schema=dict.fromkeys(sample.columns, pl.String))


def _reader(member: Member, sample: Sample) -> _Blocks:
    columns = sample.columns
    return lambda mapping, rejects: blocks_of(
        member, sample, mapping.read_of(columns), rejects, mapping.values_of(columns)
    )


def _mapped(table: _Table, mapping: Mapping, scale: tuple[float, float] | None = None) -> LogInput:
    name, _, blocks = table
    return LogInput(name, mapping, lambda rejects: blocks(mapping, rejects), scale)


def _hint(name: str, first: pl.DataFrame) -> str:
    """Return the advice for a file that a source recognises, else ""."""
    sample = Sample(name, "delimited", tuple(first.columns), first)
    source = next((one for one in all_sources() if one.recognise(sample) is not None), None)
    return "" if source is None else f". It looks like {source.title}: segue prepare {source.name} reads it"
