"""`prepare_source`: reads an export of a player or a service, or a public data set, into a store."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from segue.api.log_inputs import Cutting, Input, Log
from segue.api.preparing import Job, PrepareReport, track_files
from segue.api.source_files import AUTO, SourceFile, log_files
from segue.api.survey import Survey
from segue.data.records.member import find_members
from segue.data.sessions import check_cut
from segue.data.sources.source import Beside
from segue.errors import InputError
from segue.progress import Progress, silent


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

    `paths`: files, folders or archives, taken literally. `source`: a name in `segue.data.sources.TITLES`, or "auto",
    which recognises the source by columns. Records that are not tracks are left out and counted.

    Raises:
        InputError: no such file or source, files of no or of several sources, an implausible log, or an existing store
            without `overwrite`.
        RejectedRowsError: more than `max_rejected` of the rows were unusable; they are in STORE.rejected.csv.
    """
    cutting = cutting or Cutting()
    check_cut(cutting.gap_minutes, cutting.max_length)
    named = [Path(path) for path in ([paths] if isinstance(paths, str | Path) else paths)]
    files = log_files(find_members(named), source)
    survey, main = Survey(files), files.source
    near = main.beside(named[0]) if main.beside is not None else Beside()
    job = Job(
        store=Path(store),
        kind=main.name,
        name=named[0].name,
        max_rejected=max_rejected,
        overwrite=overwrite,
        simulated=_simulated(near.simulation),
        track_files=track_files(tracks) + near.track_files,
    )
    inputs = [_input(file, survey) for file in files.plays]
    log = Log(inputs, cutting, repeats=main.repeats, progress=progress, oracle=near.oracle)
    return replace(log.prepared(job), recognised=files.plays[0].why)


def _simulated(path: Path | None) -> dict[str, Any]:
    """Return the document beside a simulated log, {} for other logs."""
    if path is None:
        return {}
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is not JSON ({error}); simulate the log again") from error
    return document if isinstance(document, dict) and document else {"file": path.name}


def _input(file: SourceFile, survey: Survey) -> Input:
    blocks = survey.blocks
    return Input(file.member.name, survey.mapping(file), lambda rejects: blocks(file, rejects), file.source.scale)
