"""The files of one log, each with the source that reads it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Final

import polars as pl

from segue.config import nearest
from segue.data.records.block import RecordBlock
from segue.data.records.database import query_blocks
from segue.data.records.member import Member
from segue.data.records.reading import blocks_of, sample_of
from segue.data.rejects import Rejects
from segue.data.sources import TITLES, all_sources, source_of
from segue.data.sources.source import Sample, Source
from segue.errors import InputError

AUTO: Final = "auto"
_LINE: Final = "__line__"


@dataclass(frozen=True)
class SourceFile:
    """One file of a source."""

    member: Member
    sample: Sample
    source: Source
    why: str
    """Why it belongs to the source."""

    def columns(self) -> tuple[str, ...]:
        """Return the columns for the source's mapping."""
        frame = self.sample.first
        for change in (self.source.prepare, self.source.whole):
            frame = frame if change is None else change(frame)
        return self.sample.columns if frame is self.sample.first else tuple(frame.columns)

    def blocks(self, rejects: Rejects, wanted: Sequence[str] = (), values: Sequence[str] = ()) -> Iterator[RecordBlock]:
        """Yield the records for the mapping; `wanted` and `values` as in `blocks_of`."""
        if self.source.query is not None:
            yield from query_blocks(self.member, self.source.query, rejects)
            return
        prepare, whole = self.source.prepare, self.source.whole
        if prepare is None and whole is None:
            yield from blocks_of(self.member, self.sample, wanted, rejects, values)
            return
        blocks = blocks_of(self.member, self.sample, (), rejects)
        frames = (block.frame.with_columns(pl.Series(_LINE, block.line)) for block in blocks)
        prepared: Iterable[pl.DataFrame] = frames if prepare is None else map(prepare, frames)
        if whole is not None:
            prepared = [whole(pl.concat(prepared, how="diagonal_relaxed"))]
        for frame in prepared:
            yield RecordBlock(frame.drop(_LINE), frame[_LINE].to_numpy())


@dataclass(frozen=True)
class LogFiles:
    """The files of one log."""

    plays: list[SourceFile]
    """Files of plays, those of the main source first."""
    opinions: list[SourceFile]
    """Files of opinions."""

    @property
    def source(self) -> Source:
        """The main source."""
        return self.plays[0].source


def log_files(members: Sequence[Member], name: str) -> LogFiles:
    """Return the files of one log of the source `name`, or of the source that recognises them.

    Raises:
        InputError: no such source; files of no source, of several, or of one that is refused.
    """
    if name != AUTO and name not in TITLES:
        raise InputError(f"unknown source {name!r}{nearest(name, TITLES)}; segue sources lists them")
    sources = all_sources() if name == AUTO else [source_of(one) for one in (name, *source_of(name).companions)]
    plays = [file for member in members if (file := _recognised(member, sources, len(members))) is not None]
    if not any(name in (AUTO, file.source.name) for file in plays):
        raise InputError(_lacking(members, name) or _unknown(members, name))
    main = _main_source(plays)
    if main.refused:
        raise InputError(f"{plays[0].member.name} belongs to {main.title}: {main.refused}")
    plays.sort(key=lambda file: file.source.name != main.name)
    return LogFiles(plays, _opinion_files(members, main))


def _recognised(member: Member, sources: Sequence[Source], num_members: int) -> SourceFile | None:
    """Return a file with the first source that recognises it, None if none does."""
    candidates = [one for one in sources if _fits(member, one, num_members)]
    if not candidates:
        return None
    sample = sample_of(member)
    reasons = ((one, one.recognise(sample)) for one in candidates)
    return next((SourceFile(member, sample, one, why) for one, why in reasons if why is not None), None)


def _main_source(plays: Sequence[SourceFile]) -> Source:
    """Return the source of which the others are companions."""
    sources = {file.source.name: file.source for file in plays}
    for source in sources.values():
        if set(sources) <= {source.name, *source.companions}:
            return source
    raise InputError(f"these files are of several sources ({', '.join(sorted(sources))}); prepare one at a time")


def _opinion_files(members: Sequence[Member], source: Source) -> list[SourceFile]:
    if source.opinions is None:
        return []
    opinion_members = [member for member in members if _is_named(member, source.opinions.files)]
    files = [SourceFile(member, sample_of(member), source, "opinions") for member in opinion_members]
    required = set(source.opinions.columns)
    return [file for file in files if not file.sample.first.is_empty() and required <= set(file.sample.columns)]


def _fits(member: Member, source: Source, num_members: int) -> bool:
    """Return whether to check a file: always if it is the only one, else by the source's file patterns."""
    return (num_members == 1 and member.inside is None) or _is_named(member, source.files)


def _is_named(member: Member, patterns: Iterable[str]) -> bool:
    names = {member.name.lower(), member.name.rsplit("/", 1)[-1].lower()}
    return any(fnmatch(name, pattern.lower()) for pattern in patterns for name in names)


def _lacking(members: Sequence[Member], name: str) -> str:
    """Return the message for a single file that lacks few of the named source's required columns, else ""."""
    needed = () if name == AUTO else source_of(name).needs
    columns = sample_of(members[0]).columns if needed and len(members) == 1 else ()
    missing = [column for column in needed if column not in columns]
    if 2 * len(missing) > len(needed) or not missing:
        return ""
    return f"{members[0].name} has no column {missing[0]!r}{nearest(missing[0], columns)}"


def _unknown(members: Sequence[Member], name: str) -> str:
    file_names = ", ".join(member.name for member in members[:5]) + (", ..." if len(members) > 5 else "")
    if name != AUTO:
        source = source_of(name)
        return f"nothing of {source.title} was found in {file_names}; looked for files like {', '.join(source.files)}"
    file_patterns = "; ".join(f"{one.title} ({', '.join(one.files[:2])})" for one in all_sources())
    return (
        f"no source recognises {file_names}. Looked for: {file_patterns}. For a table of your own use segue "
        "prepare table, and name its columns"
    )
