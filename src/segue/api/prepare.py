"""The verbs `prepare_*`: read a log into a store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from segue.api.log_inputs import Cutting, Input, Log
from segue.api.prepare_source import prepare_source
from segue.api.preparing import Job, PrepareReport, track_files
from segue.data.mapping import Mapping
from segue.data.records.block import RecordBlock
from segue.data.records.frames import frame_of
from segue.data.records.member import Member, find_members
from segue.data.records.reading import blocks_of, sample_of
from segue.data.rejects import Rejects
from segue.data.sessions import GAP_MINUTES, MAX_LENGTH
from segue.data.sources import all_sources, source_of
from segue.data.sources.source import Sample
from segue.data.sources.table import mapping_of
from segue.data.sources.table_columns import TableColumns
from segue.errors import InputError
from segue.progress import Progress, silent


def prepare_mssd(
    path: str | Path,
    store: str | Path,
    *,
    tracks: str | Path | None = None,
    max_rejected: float = 0.001,
    overwrite: bool = False,
    progress: Progress = silent,
) -> PrepareReport:
    """Return the report of reading a log in the layout of the Music Streaming Sessions Dataset into a store.

    `path` is a folder (with `training_set/` or CSVs), one CSV or one .csv.gz. Files beside `training_set` are joined:
    `tracks.csv` and `track_features/` as the track table, `oracle.parquet` as event columns, `simulation.json` as the
    mark of simulated data. Sessions keep the order of the log; rows may be in any order.

    Raises:
        InputError: bad input, or an existing store without `overwrite`.
        RejectedRowsError: more than `max_rejected` of the rows were unusable; they are in STORE.rejected.csv.
    """
    return prepare_source(
        path,
        store,
        source="mssd",
        tracks=tracks,
        max_rejected=max_rejected,
        overwrite=overwrite,
        progress=progress,
    )


def prepare_table(
    source: str | Path | Sequence[str | Path] | Any,
    store: str | Path,
    *,
    columns: TableColumns | None = None,
    tracks: str | Path | None = None,
    drop_duplicates: bool | None = None,
    accept: Sequence[str] = (),
    max_rejected: float = 0.001,
    overwrite: bool = False,
    progress: Progress = silent,
) -> PrepareReport:
    """Return the report of reading any table of events into a store.

    `source`: a file (CSV of any dialect, JSON, Parquet, ...; also compressed or in an archive), several files, or a
    Polars or pandas frame. `columns`: see `TableColumns`; usual names are recognised. Without a session column the
    histories of users are cut by gap and length. Needs about 50 bytes of memory per row.

    Raises:
        InputError: bad input, an implausible log, or an existing store without `overwrite`.
        RejectedRowsError: more than `max_rejected` of the rows were unusable; they are in STORE.rejected.csv.
    """
    columns = columns or TableColumns()
    inputs = [_table_input(*table, columns) for table in _tables(source)]
    name = type(source).__name__ if _is_frame(source) else Path(_paths(source)[0]).name
    job = Job(Path(store), "table", name, max_rejected, overwrite, track_files=track_files(tracks))
    cutting = Cutting(columns.gap_minutes, columns.max_length, drop_duplicates, tuple(accept))
    return Log(inputs, cutting, progress=progress).prepared(job)


def _is_frame(source: Any) -> bool:
    return not isinstance(source, str | Path | list | tuple)


def _paths(source: Any) -> list[str | Path]:
    return [source] if isinstance(source, str | Path) else list(source)


_Blocks = Callable[[Mapping, Rejects], Iterator[RecordBlock]]
"""Yields the records with the mapped columns; bad ones go to the rejects."""
_Table = tuple[str, pl.DataFrame, _Blocks]
"""Name, first records with all columns, and the records of a file or a frame."""


def _tables(source: Any) -> list[_Table]:
    """Return the tables of each file, or of a frame."""
    if _is_frame(source):
        frame = frame_of(source)
        block = RecordBlock(frame, np.arange(1, frame.height + 1, dtype=np.int64))
        return [("the frame", frame, lambda _, rejects: iter([block]))]
    samples = [(member, sample_of(member)) for member in find_members(_paths(source))]
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


def _table_input(name: str, first: pl.DataFrame, blocks: _Blocks, columns: TableColumns) -> Input:
    try:
        resolved = columns.resolved(tuple(first.columns), name)
    except InputError as error:
        raise InputError(f"{error}{_hint(name, first)}") from None
    return _mapped((name, first, blocks), mapping_of(resolved))


def _mapped(table: _Table, mapping: Mapping, scale: tuple[float, float] | None = None) -> Input:
    name, _, blocks = table
    return Input(name, mapping, lambda rejects: blocks(mapping, rejects), scale)


def _hint(name: str, first: pl.DataFrame) -> str:
    """Return the advice for a file that a source recognises, else ""."""
    sample = Sample(name, "delimited", tuple(first.columns), first)
    source = next((one for one in all_sources() if one.recognise(sample) is not None), None)
    return "" if source is None else f". It looks like {source.title}: segue prepare {source.name} reads it"


def prepare_ratings(
    path: str | Path | Sequence[str | Path],
    store: str | Path,
    *,
    gap_minutes: float = GAP_MINUTES,
    max_length: int = MAX_LENGTH,
    tracks: str | Path | None = None,
    max_rejected: float = 0.001,
    overwrite: bool = False,
    progress: Progress = silent,
) -> PrepareReport:
    """Return the report of reading ratings of one to five stars (user, item, rating, timestamp) into a store.

    Up to 1 star -> strength 3, up to 2 -> 2, up to 3 -> 1, more -> 0. Histories of users, by time and file row, are cut
    by gap and length. Many such files have tied times: see `tied_share` of the report and column `tied`.

    Raises:
        InputError: bad input, ratings of another scale, or an existing store without `overwrite`.
        RejectedRowsError: more than `max_rejected` of the rows were unusable; they are in STORE.rejected.csv.
    """
    source = source_of("movielens")
    inputs = []
    for name, first, blocks in _tables(_paths(path)):
        mapping = source.mapping(tuple(first.columns))
        missing = [role for role in ("listener", "track", "stated", "time") if getattr(mapping, role) is None]
        if missing:
            words = {"listener": "user", "track": "item", "stated": "rating", "time": "timestamp"}
            lacks = ", ".join(words[role] for role in missing)
            raise InputError(f"{name} has no column for {lacks}; its columns: {', '.join(first.columns)}")
        inputs.append(_mapped((name, first, blocks), mapping, source.scale))
    job = Job(
        Path(store), "ratings", Path(_paths(path)[0]).name, max_rejected, overwrite, track_files=track_files(tracks)
    )
    return Log(inputs, Cutting(gap_minutes, max_length), progress=progress).prepared(job)
