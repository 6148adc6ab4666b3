"""Reads the files or frames of one log: records, roles, feedback, sessions, plausibility."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import polars as pl
from numpy.typing import NDArray

from segue.data.ahead import worked_ahead
from segue.data.cutting import Cutting
from segue.data.event_table import FILE, EventTable
from segue.data.gathered import Gathering
from segue.data.job import Job, PrepareReport
from segue.data.mapping import Mapping
from segue.data.oracle import Oracle
from segue.data.part_table import event_table
from segue.data.plausible import Suspicions, alike, check
from segue.data.plays import Plays
from segue.data.records.block import RecordBlock
from segue.data.rejects import Rejects
from segue.data.sessions import CutPlays, CutRules, cut_plays
from segue.data.side_columns import SIDE
from segue.data.typed import Reading, Typed, typed
from segue.errors import InputError
from segue.progress import Progress, Step, silent
from segue.store.writer import TrackTable

_RATING: Final = f"{SIDE}rating"
Coded = tuple[dict[str, NDArray[Any]], pl.DataFrame]


@dataclass(frozen=True)
class LogInput:
    """One file or frame of a log."""

    name: str
    mapping: Mapping
    blocks: Callable[[Rejects], Iterator[RecordBlock]]
    """Yields the records; bad ones go to the rejects."""
    scale: tuple[float, float] | None = None
    """Lowest and highest rating, for a mapping with the side column 'rating'."""


class Log:
    """Reads the inputs of one log; `repeats`: the source repeats plays; `oracle`: file of the simulated truth.

    Raises:
        InputError: an input lacks a listener, session, position or time that another has.
    """

    def __init__(
        self,
        inputs: Sequence[LogInput],
        cutting: Cutting,
        *,
        repeats: bool = False,
        progress: Progress = silent,
        oracle: Path | None = None,
    ) -> None:
        _check_alike(inputs)
        self._oracle = oracle
        self._inputs, self._cutting, self._repeats, self._progress = inputs, cutting, repeats, progress
        self._mapping = inputs[0].mapping
        self._gathering: Gathering | None = None
        self._left_out: dict[str, int] = {}
        self._warnings: list[str] = []
        self._rows = 0

    def prepared(self, job: Job) -> PrepareReport:
        """Return the report of the job, with counts and warnings.

        Raises:
            InputError, RejectedRowsError: see `Job.run`.
        """
        report = replace(job, own_tracks=self._track_table).run(self._read)
        return replace(report, rows_read=self._rows, left_out=self._left_out, warnings=tuple(self._warnings))

    def _track_table(self, vocabulary: pl.Series) -> TrackTable:
        assert self._gathering is not None, "the log was read"
        return self._gathering.track_table(vocabulary)

    def _read(self, rejects: Rejects, scratch: Path) -> Iterator[EventTable]:
        gathering = self._gathering = Gathering(
            scratch, [name for name in self._mapping.side if f"{SIDE}{name}" != _RATING]
        )
        reading = self._gathered(gathering, rejects)
        self._rows, self._left_out = reading.rows + rejects.total - reading.rejected, reading.left_out
        if not self._rows:
            raise InputError(f"{self._inputs[0].name} has no records; name a log with plays")
        time = self._mapping.time
        suspicions, rules, repeats = Suspicions(dated=time is None or time.dated), self._rules(), 0
        files = tuple(given.name for given in self._inputs)
        oracle = Oracle(self._oracle) if self._oracle is not None else None

        def work(plays: Plays) -> tuple[CutPlays, EventTable]:
            sessions = cut_plays(plays, rules)
            return sessions, event_table(files, gathering, sessions, self._mapping)

        for number, (sessions, table) in enumerate(worked_ahead(work, gathering.parts(), most=2), 1):
            self._progress(Step("sessions", number, gathering.num_parts, "parts"))
            suspicions.add(sessions)
            repeats += sessions.repeats
            yield oracle.join(table) if oracle is not None else table
        if repeats:
            self._left_out = {**self._left_out, "duplicate": repeats}
        ids = (("track", gathering.tracks()), ("listener", gathering.listeners))
        alikes = [doubt for what, texts in ids if (doubt := alike(what, texts)) is not None]
        doubts = [*suspicions.doubts(), *alikes]
        self._warnings = _spelled(reading.times) + check(doubts, self._cutting.accept)

    def _gathered(self, gathering: Gathering, rejects: Rejects) -> Reading:
        """Return the counts of reading all inputs into `gathering`; threads type blocks ahead."""
        reading = Reading(rejects)

        def work(task: tuple[int, RecordBlock]) -> tuple[LogInput, Typed, Coded]:
            number, block = task
            given = self._inputs[number]
            records = typed(block, given.mapping, given.name, gathering.ids)
            arrays, tracks = gathering.coded(_on_scale(records.frame, given))
            return given, records, ({**arrays, "line": arrays["line"] + number * FILE}, tracks)

        for given, records, coded in worked_ahead(work, self._blocks(rejects)):
            reading.note(records, given.name)
            gathering.add(*coded)
        self._progress(Step("read", len(self._inputs), len(self._inputs), "files"))
        return reading

    def _blocks(self, rejects: Rejects) -> Iterator[tuple[int, RecordBlock]]:
        for number, given in enumerate(self._inputs):
            self._progress(Step("read", number, len(self._inputs), "files", given.name))
            for block in given.blocks(rejects):
                yield number, block

    def _rules(self) -> CutRules:
        mapping, drop = self._mapping, self._cutting.drop_duplicates
        return CutRules(
            gap_minutes=self._cutting.gap_minutes,
            max_length=self._cutting.max_length,
            ends=mapping.time is not None and mapping.time.ends,
            newest_first=mapping.newest_first,
            drop_repeats=self._repeats if drop is None else drop,
            guess=mapping.stated is None and mapping.played is None and mapping.share is None,
        )


def _check_alike(inputs: Sequence[LogInput]) -> None:
    """Refuse files that cannot be one log."""
    for role in ("listener", "session", "position", "time"):
        having = [given.name for given in inputs if getattr(given.mapping, role) is not None]
        lacking = [given.name for given in inputs if getattr(given.mapping, role) is None]
        if having and lacking:
            raise InputError(f"{having[0]} has a {role} and {lacking[0]} has none; prepare them apart")


def _on_scale(events: pl.DataFrame, given: LogInput) -> pl.DataFrame:
    """Return events without their rating, after checking it against the source's scale."""
    if given.scale is None or _RATING not in events.columns:
        return events
    low, high = given.scale
    seen = events[_RATING].drop_nulls().to_numpy()
    if len(seen) and not (low <= seen.min() and seen.max() <= high):
        raise InputError(
            f"{given.name}: ratings go from {seen.min():g} to {seen.max():g}, not from "
            f"{low:g} to {high:g}; bring them to that scale"
        )
    return events.drop(_RATING)


def _spelled(times: set[str]) -> list[str]:
    """Return warnings about the forms of the times."""
    said = []
    units = [unit for unit in ("s", "ms", "us", "ns") if unit in times]
    if units not in ([], ["s"]):
        said.append(f"times are taken as {' and '.join(units)} since 1970")
    if "text without offset" in times:
        said.append("times without an offset are taken as UTC")
    return said
