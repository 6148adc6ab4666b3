"""The files or frames of one log, read through the whole pipeline: records, roles, feedback, sessions, doubts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import polars as pl

from segue.api.preparing import Job, PrepareReport
from segue.data.event_table import event_table
from segue.data.gathered import Gathering
from segue.data.histories import GAP_MINUTES, MAX_LENGTH
from segue.data.mapping import Mapping
from segue.data.plausible import alike, check, doubts
from segue.data.records.block import Block
from segue.data.sessions import Rules, heard
from segue.data.typed import Reading, typed
from segue.errors import InputError
from segue.events.rejects import Rejects
from segue.events.table import EventTable
from segue.progress import Progress, Step, silent

_RATING: Final = "rating"


@dataclass(frozen=True)
class Cutting:
    """How a log is cut and checked."""

    gap_minutes: float = GAP_MINUTES
    max_length: int = MAX_LENGTH
    drop_duplicates: bool | None = None
    """None: where the source is known to repeat plays."""
    accept: tuple[str, ...] = ()
    """Doubts that are right as they are."""


@dataclass(frozen=True)
class Input:
    """One file or frame of a log."""

    name: str
    mapping: Mapping
    blocks: Callable[[Rejects], Iterator[Block]]
    """Yields the records; bad ones go to the rejects."""
    scale: tuple[float, float] | None = None
    """Lowest and highest rating, where the mapping has the side column 'rating'."""


class Log:
    """Reads the inputs of one log; `repeats`: it is known to hold plays twice."""

    def __init__(
        self, inputs: Sequence[Input], cutting: Cutting, *, repeats: bool = False, progress: Progress = silent
    ) -> None:
        self._inputs, self._cutting, self._repeats, self._progress = inputs, cutting, repeats, progress
        self._gathering = Gathering()
        self._left_out: dict[str, int] = {}
        self._warnings: list[str] = []
        self._rows = 0

    def prepared(self, job: Job) -> PrepareReport:
        """Return the report of the job, with what was read and noticed.

        Raises:
            InputError, RejectedRowsError: see `Job.run`.
        """
        report = replace(job, own_tracks=self._gathering.track_table).run(self._read)
        return replace(report, rows_read=self._rows, left_out=self._left_out, warnings=tuple(self._warnings))

    def _read(self, rejects: Rejects, _: Path) -> Iterator[EventTable]:
        reading = Reading(rejects)
        for place, each in enumerate(self._inputs):
            self._progress(Step("read", place, len(self._inputs), "files", each.name))
            for block in each.blocks(rejects):
                events = typed(block, each.mapping, each.name, reading)
                self._gathering.add(_on_scale(events, each))
        self._progress(Step("read", len(self._inputs), len(self._inputs), "files"))
        self._rows = reading.rows + rejects.total - reading.rejected
        mapping = self._inputs[0].mapping
        found = heard(self._gathering.plays(), self._rules(mapping))
        self._left_out = reading.left_out | ({"duplicate": found.repeats} if found.repeats else {})
        ids = (("track", self._gathering.tracks()), ("listener", self._gathering.listeners))
        alikes = [doubt for what, texts in ids if (doubt := alike(what, texts)) is not None]
        self._warnings = _spelled(reading.times) + check([*doubts(found), *alikes], self._cutting.accept)
        yield event_table(self._inputs[0].name, self._gathering, found, listeners=mapping.listener is not None)

    def _rules(self, mapping: Mapping) -> Rules:
        drop = self._cutting.drop_duplicates
        return Rules(
            gap_minutes=self._cutting.gap_minutes,
            max_length=self._cutting.max_length,
            ends=mapping.time is not None and mapping.time.ends,
            newest_first=mapping.newest_first,
            drop_repeats=self._repeats if drop is None else drop,
            guess=mapping.told is None and mapping.played is None and mapping.share is None,
        )


def _on_scale(events: pl.DataFrame, given: Input) -> pl.DataFrame:
    """Return events without their rating, which must lie on the scale that the source has."""
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
    """Return what is to be said of how times were spelled."""
    said = []
    units = [unit for unit in ("s", "ms", "us", "ns") if unit in times]
    if units not in ([], ["s"]):
        said.append(f"times are taken as {' and '.join(units)} since 1970")
    if "text without offset" in times:
        said.append("times without an offset are taken as UTC")
    return said
