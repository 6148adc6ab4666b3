"""Data of a whole log that is read before its plays: aliases, opinions, time span."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import polars as pl

from segue.data.identities import track_of_alias, with_one_id
from segue.data.log_files import LogFiles, SourceFile
from segue.data.mapping import Column, Mapping
from segue.data.opinions import Opinions, mapping_with_opinions, opinions_of, records_with_opinions
from segue.data.records.block import RecordBlock
from segue.data.rejects import Rejects
from segue.data.times import moments
from segue.data.typed import identity

_TRACK: Final = "__track__"
_COVERED: Final = "__covered__"
_MINUTE_US: Final = 60 * 10**6
_NEVER_US: Final = 2**62
_PARTS: Final = 64


@dataclass(frozen=True)
class Findings:
    """Result of a survey."""

    track_of: pl.DataFrame
    """Track of each alias; see `identities`."""
    opinions: Opinions
    first_us: int
    """Earliest minute of the main source's plays, microseconds UTC; later than `last_us` without other sources."""
    last_us: int
    """Latest minute."""


class Survey:
    """Adds aliases, opinions and the time span to the plays of a log; they are read once, before the first plays."""

    def __init__(self, files: LogFiles) -> None:
        self._files = files
        self._findings: Findings | None = None
        self._mixed = len({file.source.name for file in files.plays}) > 1
        side = [set(file.source.mapping(file.columns()).side) for file in files.plays]
        self._side = set.intersection(*side)
        """Side columns that all files have."""

    def mapping(self, file: SourceFile) -> Mapping:
        """Return the roles of the records of `blocks`."""
        mapping = file.source.mapping(file.columns())
        mapping = replace(mapping, side={name: mapping.side[name] for name in mapping.side if name in self._side})
        if self._has_aliases():
            mapping = replace(mapping, track=_one_id(mapping))
        if self._has_opinions():
            mapping = mapping_with_opinions(mapping)
        if self._is_beside(file):
            covered = pl.when(pl.col(_COVERED)).then(pl.lit(f"also-in-{self._files.source.name}"))
            kind = covered if mapping.left_out is None else pl.coalesce(mapping.left_out.value, covered)
            mapping = replace(mapping, left_out=Column(kind, "time"))
        return mapping

    def blocks(self, file: SourceFile, rejects: Rejects) -> Iterator[RecordBlock]:
        """Yield the records of a file with the added columns."""
        if self._findings is None:
            self._findings = self._read(rejects)
        columns = file.columns()
        mapping = file.source.mapping(columns)
        for block in file.blocks(rejects, mapping.read_of(columns), mapping.values_of(columns)):
            yield replace(block, frame=self._completed(block.frame, file, mapping, self._findings))

    def _completed(self, frame: pl.DataFrame, file: SourceFile, mapping: Mapping, findings: Findings) -> pl.DataFrame:
        if self._has_aliases():
            frame = frame.with_columns(with_one_id(identity(frame, mapping), findings.track_of).alias(_TRACK))
            mapping = replace(mapping, track=_one_id(mapping))
        if self._has_opinions():
            frame = records_with_opinions(frame, mapping, findings.opinions)
        if self._is_beside(file):
            covered = _times(frame, mapping).is_between(findings.first_us, findings.last_us)
            frame = frame.with_columns(covered.alias(_COVERED))
        return frame

    def _has_aliases(self) -> bool:
        return self._files.source.aliases is not None

    def _has_opinions(self) -> bool:
        return bool(self._files.opinions) or any(map(_holds_opinions, self._files.plays))

    def _is_beside(self, file: SourceFile) -> bool:
        return self._mixed and file.source.name != self._files.source.name

    def _read(self, rejects: Rejects) -> Findings:
        aliases, opinions, spans = list[pl.DataFrame](), list[pl.DataFrame](), list[pl.Series]()
        for file in self._files.opinions:
            opinions += [_opinions(block.frame, file) for block in file.blocks(rejects)]
        for file in self._files.plays:
            mapping = file.source.mapping(file.columns())
            for frame in self._plays_ahead(file):
                if self._files.source.aliases is not None:
                    aliases = _few([*aliases, self._files.source.aliases(frame, mapping)])
                if _holds_opinions(file):
                    opinions.append(_opinions(frame, file))
                if self._mixed and not self._is_beside(file):
                    spans.append(_times(frame, mapping))
        track_of = track_of_alias(aliases)
        times = pl.concat([pl.Series([], dtype=pl.Int64), *spans]).drop_nulls().to_numpy()
        first_us, last_us = int(times.min(initial=_NEVER_US)), int(times.max(initial=-_NEVER_US))
        return Findings(track_of, opinions_of(opinions, track_of), first_us, last_us)

    def _plays_ahead(self, file: SourceFile) -> Iterator[pl.DataFrame]:
        """Yield the records of a file if the survey needs them; bad records are reported when plays are read."""
        if not (self._has_aliases() or self._mixed or _holds_opinions(file)):
            return
        with tempfile.TemporaryDirectory(prefix="segue-") as folder:
            throwaway = Rejects(Path(folder, "rejected.csv"))
            try:
                wanted = file.source.mapping(file.columns()).read_of(file.columns())
                yield from (block.frame for block in file.blocks(throwaway, wanted))
            finally:
                throwaway.close()


def _one_id(mapping: Mapping) -> Column:
    """Return the column of resolved track ids, under the file's name for it."""
    return Column(pl.col(_TRACK), "track" if mapping.track is None else mapping.track.name)


def _holds_opinions(file: SourceFile) -> bool:
    opinions = file.source.opinions
    return opinions is not None and opinions.among_plays in file.sample.columns


def _few(parts: list[pl.DataFrame]) -> list[pl.DataFrame]:
    """Return `parts`, or their distinct rows in one part if there are many."""
    return parts if len(parts) < _PARTS else [pl.concat(parts).unique()]


def _opinions(frame: pl.DataFrame, file: SourceFile) -> pl.DataFrame:
    assert file.source.opinions is not None, "the file has opinions"
    return file.source.opinions.read(frame, file.member.name)


def _times(frame: pl.DataFrame, mapping: Mapping) -> pl.Series:
    """Return the times of records, microseconds UTC, cut to the minute, since some sources have no seconds."""
    assert mapping.time is not None, "companion sources have times"
    at = moments(frame.select(mapping.time.value).to_series(), mapping.time.unit).at
    return at // _MINUTE_US * _MINUTE_US
