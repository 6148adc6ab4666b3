"""The steps of every `prepare` verb: read, check, write, report."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from segue.data.assembly import Questions, write_store
from segue.data.event_table import EventTable
from segue.data.rejects import Rejects, reject_path
from segue.data.track_tables import join_tracks
from segue.errors import InputError, SegueError
from segue.files import check_replaceable
from segue.output import SCHEMA_VERSION
from segue.store.manifest import MANIFEST, Manifest, StoreSource
from segue.store.writer import TrackTable

_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Errors of a full disk, an exceeded quota, or a file that is too large."""


@dataclass(frozen=True)
class PrepareReport:
    """Result of preparing a log."""

    store: Path
    sessions: int
    rows: int
    """Events in the store."""
    tracks: int
    rows_read: int
    """Events read, rejected ones included."""
    rejected: dict[str, int] = field(default_factory=dict)
    """Rejected rows by kind."""
    rejected_file: Path | None = None
    """File of the rejected rows, if any."""
    tied_share: float | None = None
    """Share of events whose time equals a neighbour's in the session; None without times."""
    inferred_share: float = 0.0
    """Share of events whose strength was inferred."""
    tracks_joined: str | None = None
    """Tracks of the log that the track table names; None without one."""
    simulated: bool = False
    fingerprint: str = ""
    recognised: str | None = None
    """Why the source was recognised; None if it was named."""
    left_out: dict[str, int] = field(default_factory=dict)
    """Number of records that are not tracks, by kind, and of dropped duplicates."""
    warnings: tuple[str, ...] = ()
    """Implausible properties of the log, and what to do."""

    def to_json(self) -> dict[str, Any]:
        """Return the report as a JSON document."""
        paths = {"store": str(self.store), "rejected_file": self.rejected_file and str(self.rejected_file)}
        return {"schema_version": SCHEMA_VERSION, **vars(self), **paths}


@dataclass
class _Tally:
    """Counts taken while reading."""

    rows: int = 0
    tied: int | None = None
    inferred: int = 0

    def watch(self, tables: Iterable[EventTable]) -> Iterator[EventTable]:
        for table in tables:
            self.rows += len(table.track)
            self.inferred += int(np.count_nonzero(table.side["inferred"].values))
            if "tied" in table.side:
                self.tied = (self.tied or 0) + int(np.count_nonzero(table.side["tied"].values))
            yield table


@dataclass(frozen=True)
class Job:
    """One run of preparing: input, output and limits."""

    store: Path
    kind: str
    name: str
    max_rejected: float
    overwrite: bool
    simulated: dict[str, Any] = field(default_factory=dict)
    track_files: tuple[Path, ...] = ()
    own_tracks: Callable[[pl.Series], TrackTable] | None = None
    """Returns the track table of a vocabulary from the log itself."""
    joined: list[int] = field(default_factory=list)
    """Tracks that the track table names; set when it is joined."""

    def run(self, read: Callable[[Rejects, Path], Iterator[EventTable]]) -> PrepareReport:
        """Return the report of reading, checking and writing.

        Raises:
            InputError: bad input, or an existing store.
            RejectedRowsError: more than `max_rejected` of the rows were unusable.
            SegueError: the disk is full.
        """
        if not 0 <= self.max_rejected <= 1:
            raise InputError(f"max_rejected is {self.max_rejected}, expected a share between 0 and 1")
        check_replaceable(self.store, overwrite=self.overwrite, marker=MANIFEST)
        rejects, tally = Rejects(reject_path(self.store)), _Tally()
        try:
            manifest = write_store(
                self.store,
                lambda scratch: tally.watch(read(rejects, scratch)),
                rejects,
                Questions(
                    check=lambda: rejects.check(_rows_read(rejects, tally), self.max_rejected),
                    source=lambda: self._source(rejects, tally),
                    tracks=self._tracks,
                ),
                overwrite=self.overwrite,
            )
        except OSError as error:
            if error.errno not in _FULL:
                raise
            reason = error.strerror or str(error)
            raise SegueError(
                f"{self.store} cannot be written ({reason}); free some space, or name a store on another disk"
            ) from error
        finally:
            with suppress(OSError):
                rejects.close()
        return self._report(manifest, rejects, tally)

    def _tracks(self, vocabulary: pl.Series) -> TrackTable:
        if self.track_files:
            joined = join_tracks(self.track_files, vocabulary)
            self.joined.append(joined.num_named)
            return joined.table
        return self.own_tracks(vocabulary) if self.own_tracks is not None else TrackTable()

    def _source(self, rejects: Rejects, tally: _Tally) -> StoreSource:
        report: dict[str, Any] = {"rows_read": _rows_read(rejects, tally), "rejected": rejects.by_kind()}
        if tally.tied is not None:
            report["tied_share"] = tally.tied / max(tally.rows, 1)
        return StoreSource(self.kind, self.name, self.simulated, report)

    def _report(self, manifest: Manifest, rejects: Rejects, tally: _Tally) -> PrepareReport:
        return PrepareReport(
            store=self.store,
            sessions=manifest.num_sessions,
            rows=manifest.num_rows,
            tracks=manifest.num_tracks,
            rows_read=_rows_read(rejects, tally),
            rejected=rejects.by_kind(),
            rejected_file=rejects.path if rejects.total else None,
            tied_share=None if tally.tied is None else tally.tied / max(tally.rows, 1),
            inferred_share=tally.inferred / max(tally.rows, 1),
            tracks_joined=f"{self.joined[0]:,} of {manifest.num_tracks:,}" if self.joined else None,
            simulated=bool(self.simulated),
            fingerprint=manifest.fingerprint,
        )


def _rows_read(rejects: Rejects, tally: _Tally) -> int:
    """Return the rows read: those in tables, and those rejected before they reach a table."""
    return tally.rows + rejects.total - rejects.counts["duplicate-position"]


def track_files(tracks: str | Path | None) -> tuple[Path, ...]:
    """Return the files of a track table: a file, or the CSVs of a folder."""
    if tracks is None:
        return ()
    path = Path(tracks)
    files = tuple(sorted(path.glob("*.csv"))) if path.is_dir() else (path,)
    if not files or not all(file.is_file() for file in files):
        raise InputError(f"{path} is not a track table; name a CSV or Parquet file, or a folder of CSVs")
    return files
