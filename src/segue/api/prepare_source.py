"""`prepare_source`: an export of a player or a service, or a public data set, into a store."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Final

import polars as pl

from segue.api.log_inputs import Cutting, Input, Log
from segue.api.preparing import Job, PrepareReport, track_files
from segue.config import nearest
from segue.data.histories import check_cut
from segue.data.records.block import Block
from segue.data.records.database import query_blocks
from segue.data.records.member import Member, find_members
from segue.data.records.reading import blocks_of, sample_of
from segue.data.sources import TITLES, all_sources, source_of
from segue.data.sources.source import Beside, Sample, Source
from segue.errors import InputError
from segue.events.rejects import Rejects
from segue.progress import Progress, silent

AUTO: Final = "auto"
_LINE: Final = "__line__"


@dataclass(frozen=True)
class _File:
    member: Member
    sample: Sample
    source: Source
    why: str


def prepare_source(
    paths: str | Path | Sequence[str | Path],
    store: str | Path,
    *,
    source: str = AUTO,
    cutting: Cutting | None = None,
    tracks: str | Path | None = None,
    max_rejected: float = 0.001,
    overwrite: bool = False,
    progress: Progress = silent,
) -> PrepareReport:
    """Return the report of reading the files of one source into a store.

    `paths`: files, folders or archives, taken literally. `source`: a name of `segue.data.sources.TITLES`, or "auto",
    which recognises it by the columns of the files. Records that are no tracks are left out and counted.

    Raises:
        InputError: no such file or source, files of no or of several sources, an implausible log, or an existing store
            without `overwrite`.
        RejectedRowsError: more than `max_rejected` of the rows were unusable; they stand in STORE.rejected.csv.
    """
    cutting = cutting or Cutting()
    check_cut(cutting.gap_minutes, cutting.max_length)
    named = [Path(path) for path in ([paths] if isinstance(paths, str | Path) else paths)]
    files = _recognised(find_members(named), source)
    given = files[0].source
    near = given.beside(named[0]) if given.beside is not None else Beside()
    job = Job(
        store=Path(store),
        kind=given.name,
        name=named[0].name,
        max_rejected=max_rejected,
        overwrite=overwrite,
        simulated=_simulated(near.simulation),
        track_files=track_files(tracks) + near.track_files,
    )
    log = Log([_input(file) for file in files], cutting, repeats=given.repeats, progress=progress, oracle=near.oracle)
    return replace(log.prepared(job), recognised=files[0].why)


def _simulated(path: Path | None) -> dict[str, Any]:
    """Return what the file beside a simulated log says, {} where there is none."""
    if path is None:
        return {}
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is no JSON ({error}); simulate the log again") from error
    return document if isinstance(document, dict) and document else {"file": path.name}


def _input(file: _File) -> Input:
    mapping = file.source.mapping(_columns(file))
    return Input(file.member.name, mapping, lambda rejects: _blocks(file, rejects), file.source.scale)


def _columns(file: _File) -> tuple[str, ...]:
    """Return the columns that a file's mapping is made for."""
    if file.source.prepare is None:
        return file.sample.columns
    return tuple(file.source.prepare(file.sample.first).columns)


def _blocks(file: _File, rejects: Rejects) -> Iterator[Block]:
    """Yield a file's records as its mapping wants them."""
    if file.source.query is not None:
        yield from query_blocks(file.member, file.source.query, rejects)
        return
    prepare = file.source.prepare
    if prepare is None:
        mapping, columns = file.source.mapping(file.sample.columns), file.sample.columns
        yield from blocks_of(file.member, file.sample, mapping.read_of(columns), rejects, mapping.values_of(columns))
        return
    for block in blocks_of(file.member, file.sample, (), rejects):
        frame = prepare(block.frame.with_columns(pl.Series(_LINE, block.line)))
        yield Block(frame.drop(_LINE), frame[_LINE].to_numpy())


def _recognised(members: Sequence[Member], name: str) -> list[_File]:
    """Return the files that are read, each with its source."""
    if name != AUTO and name not in TITLES:
        raise InputError(f"there is no source {name!r}{nearest(name, TITLES)}; segue sources lists them")
    sources = all_sources() if name == AUTO else [source_of(name)]
    found: list[_File] = []
    other: list[str] = []
    for member in members:
        candidates = [one for one in sources if _fits(member, one, len(members))]
        if not candidates:
            other.append(member.name)
            continue
        sample = sample_of(member)
        why = [(one, said) for one in candidates if (said := one.recognise(sample)) is not None]
        found += [_File(member, sample, one, said) for one, said in why[:1]]
        other += [member.name] if not why else []
    if not found:
        raise InputError(_lacking(members, name) or _unknown(members, name))
    names = sorted({file.source.name for file in found})
    if len(names) > 1:
        raise InputError(f"these files are of several sources ({', '.join(names)}); prepare one at a time")
    if found[0].source.refused:
        raise InputError(f"{found[0].member.name} is of {found[0].source.title}: {found[0].source.refused}")
    return found


def _fits(member: Member, source: Source, num: int) -> bool:
    """Return whether a file is looked at: the only one always, of several those that are named as the source does."""
    if num == 1 and member.inside is None:
        return True
    names = {member.name.lower(), member.name.rsplit("/", 1)[-1].lower()}
    return any(fnmatch(name, pattern.lower()) for pattern in source.files for name in names)


def _lacking(members: Sequence[Member], name: str) -> str:
    """Return which columns the only file lacks of those that the named source needs; "" where it has few of them."""
    needed = () if name == AUTO else source_of(name).needs
    columns = sample_of(members[0]).columns if needed and len(members) == 1 else ()
    missing = [column for column in needed if column not in columns]
    if 2 * len(missing) > len(needed) or not missing:
        return ""
    return f"{members[0].name} has no column {missing[0]!r}{nearest(missing[0], columns)}"


def _unknown(members: Sequence[Member], name: str) -> str:
    seen = ", ".join(member.name for member in members[:5]) + (", ..." if len(members) > 5 else "")
    if name != AUTO:
        source = source_of(name)
        return f"nothing of {source.title} was found in {seen}; looked for files like {', '.join(source.files)}"
    looked = "; ".join(f"{one.title} ({', '.join(one.files[:2])})" for one in all_sources())
    return (
        f"no source recognises {seen}. Looked for: {looked}. For a table of your own use segue prepare table, and name "
        "its columns"
    )
