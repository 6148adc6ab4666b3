"""`prepare_*`: a raw log into a session store."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from segue.errors import InputError
from segue.events.rejects import Rejects, reject_path
from segue.events.sources.events import event_table
from segue.events.sources.histories import GAP_MINUTES, MAX_LENGTH
from segue.events.sources.mssd import find_logs, read_mssd
from segue.events.sources.oracle import Oracle
from segue.events.sources.ratings import read_ratings
from segue.events.sources.table import TableColumns, read_frame
from segue.events.table import EventTable
from segue.files import check_replaceable
from segue.progress import Progress, Step, silent
from segue.sessions.assemble import Questions, write_store
from segue.sessions.tracks import join_tracks
from segue.store.manifest import MANIFEST, Manifest, Source
from segue.store.writer import TrackTable


@dataclass(frozen=True)
class PrepareReport:
    """What a reading did."""

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
    """Where they stand, if any."""
    tied_share: float | None = None
    """Share of events whose time equals a neighbour's in the session; None where there are no times."""
    inferred_share: float = 0.0
    """Share of events whose strength was inferred."""
    simulated: bool = False
    fingerprint: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the report as a JSON document, schema_version 1."""
        paths = {"store": str(self.store), "rejected_file": self.rejected_file and str(self.rejected_file)}
        return {"schema_version": 1, **vars(self), **paths}


@dataclass
class _Tally:
    """What the reading counts as it goes."""

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
class _Job:
    """One preparing: where to, what from, under which rules."""

    store: Path
    kind: str
    name: str
    max_rejected: float
    overwrite: bool
    simulated: dict[str, Any] = field(default_factory=dict)
    track_files: tuple[Path, ...] = ()

    def run(self, read: Callable[[Rejects, Path], Iterator[EventTable]]) -> PrepareReport:
        """Return the report of reading, checking and writing.

        Raises:
            InputError: bad input, or an existing store.
            RejectedRowsError: more than `max_rejected` of the rows were unusable.
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
        finally:
            rejects.close()
        return self._report(manifest, rejects, tally)

    def _tracks(self, vocabulary: pl.Series) -> TrackTable:
        return join_tracks(self.track_files, vocabulary) if self.track_files else TrackTable()

    def _source(self, rejects: Rejects, tally: _Tally) -> Source:
        report: dict[str, Any] = {"rows_read": _rows_read(rejects, tally), "rejected": rejects.by_kind()}
        if tally.tied is not None:
            report["tied_share"] = tally.tied / max(tally.rows, 1)
        return Source(self.kind, self.name, self.simulated, report)

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
            simulated=bool(self.simulated),
            fingerprint=manifest.fingerprint,
        )


def _rows_read(rejects: Rejects, tally: _Tally) -> int:
    """Return rows read: those in tables and those rejected before (later kinds stand in the tables already)."""
    later = rejects.counts["duplicate-position"] + rejects.counts["session-in-two-files"]
    return tally.rows + rejects.total - later


def prepare_mssd(
    path: str | Path,
    store: str | Path,
    *,
    tracks: str | Path | None = None,
    max_rejected: float = 0.001,
    overwrite: bool = False,
    progress: Progress = silent,
) -> PrepareReport:
    """Return the report of reading a log in MSSD's layout into a store.

    `path` is a folder (with `training_set/`, or the CSVs themselves), one CSV or one .csv.gz. What stands beside
    `training_set` is joined: `tracks.csv` and `track_features/` as the track table, `oracle.parquet` as event columns,
    `simulation.json` as the mark of simulated data. Sessions are in file name order, within a file in order of first
    appearance; rows may be in any order. A session belongs to one file: rows of an id that an earlier file holds are
    rejected as `session-in-two-files`. A file of more than 6 million rows is spilled beside `store` while it is read,
    some 60 bytes a row.

    Raises:
        InputError: bad input, or an existing store without `overwrite`.
        RejectedRowsError: more than `max_rejected` of the rows were unusable; they stand in STORE.rejected.csv.
    """
    path, store = Path(path), Path(store)
    logs = find_logs(path)
    root = logs[0].parent.parent if logs[0].parent.name == "training_set" else logs[0].parent
    oracle = root / "oracle.parquet"

    def read(rejects: Rejects, scratch: Path) -> Iterator[EventTable]:
        done, truth = 0, Oracle(oracle) if oracle.is_file() else None
        progress(Step("read", done, len(logs), "files", logs[0].name))
        for table in read_mssd(logs, rejects, scratch):
            yield truth.join(table) if truth is not None else table
            if table.last:
                done += 1
                progress(Step("read", done, len(logs), "files", *(log.name for log in logs[done : done + 1])))

    beside = [root / "tracks.csv", *sorted((root / "track_features").glob("*.csv"))]
    job = _Job(
        store=store,
        kind="mssd",
        name=path.name,
        max_rejected=max_rejected,
        overwrite=overwrite,
        simulated=_simulated(root / "simulation.json"),
        track_files=_track_files(tracks) + tuple(file for file in beside if file.is_file()),
    )
    return job.run(read)


def _track_files(tracks: str | Path | None) -> tuple[Path, ...]:
    """Return the files of a track table: itself, or what a folder of CSVs holds."""
    if tracks is None:
        return ()
    path = Path(tracks)
    files = tuple(sorted(path.glob("*.csv"))) if path.is_dir() else (path,)
    if not files or not all(file.is_file() for file in files):
        raise InputError(f"{path} is no track table; name a CSV or Parquet file, or a folder of CSVs")
    return files


def _simulated(path: Path) -> dict[str, Any]:
    """Return what `simulation.json` says, {} where there is none."""
    if not path.is_file():
        return {}
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is no JSON ({error}); simulate the log again") from error
    return document if isinstance(document, dict) and document else {"file": path.name}


def prepare_table(
    source: str | Path | Any,
    store: str | Path,
    *,
    columns: TableColumns | None = None,
    tracks: str | Path | None = None,
    max_rejected: float = 0.001,
    overwrite: bool = False,
    progress: Progress = silent,
) -> PrepareReport:
    """Return the report of reading any table of events into a store.

    `source` is a CSV or Parquet file, or a Polars or pandas frame; `columns` says what is what (see `TableColumns`;
    usual names are found unasked). Sessions without a session column are histories of users cut by gap and length.
    The whole table is held in memory meanwhile: some 450 bytes a row (2.1 to 2.5 GB for 5 million rows).

    Raises:
        InputError: bad input, or an existing store without `overwrite`.
        RejectedRowsError: more than `max_rejected` of the rows were unusable; they stand in STORE.rejected.csv.
    """

    def read(rejects: Rejects, _: Path) -> Iterator[EventTable]:
        progress(Step("read", 0, 1, "files"))
        yield event_table(*read_frame(source, columns or TableColumns(), rejects), rejects)
        progress(Step("read", 1, 1, "files"))

    name = Path(source).name if isinstance(source, str | Path) else type(source).__name__
    job = _Job(Path(store), "table", name, max_rejected, overwrite, track_files=_track_files(tracks))
    return job.run(read)


def prepare_ratings(
    path: str | Path,
    store: str | Path,
    *,
    gap_minutes: float = GAP_MINUTES,
    max_length: int = MAX_LENGTH,
    tracks: str | Path | None = None,
    max_rejected: float = 0.001,
    overwrite: bool = False,
    progress: Progress = silent,
) -> PrepareReport:
    """Return the report of reading a ratings file (user, item, rating, timestamp) into a store.

    Rating 1 -> strength 3, 2 -> 2, 3 -> 1, 4-5 -> 0; per user by time and file row, cut by gap and length. Many such
    files hold tied times: `tied_share` of the report says how many, and column `tied` says which. The whole file is
    held in memory meanwhile: some 380 bytes a row.

    Raises:
        InputError: bad input, or an existing store without `overwrite`.
        RejectedRowsError: more than `max_rejected` of the rows were unusable; they stand in STORE.rejected.csv.
    """
    path = Path(path)

    def read(rejects: Rejects, _: Path) -> Iterator[EventTable]:
        progress(Step("read", 0, 1, "files"))
        yield read_ratings(path, rejects, gap_minutes, max_length)
        progress(Step("read", 1, 1, "files"))

    job = _Job(Path(store), "ratings", path.name, max_rejected, overwrite, track_files=_track_files(tracks))
    return job.run(read)
