"""The verb `prepare`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

from cyclopts import Parameter

from segue.data.cutting import Cutting
from segue.data.sources.table_columns import TableColumns
from segue.errors import InputError
from segue.files import read_json_object
from segue.option_types import Flat, NotParsed, PathOrNone
from segue.progress import Progress, silent

if TYPE_CHECKING:
    from segue.data.job import PrepareReport

AUTO: Final = "auto"
TABLE: Final = "table"
RATINGS: Final = "ratings"


def _option(field: str) -> str:
    """Return the option of a field of `TableColumns`."""
    name = field.replace("_", "-")
    return name if field in ("side", "exact_ids") else f"{name}-column"


@dataclass(frozen=True)
class PrepareOptions:
    """Options of `prepare`."""

    source: Annotated[str, NotParsed] = AUTO
    """"auto", "table", "ratings", or a name that `segue sources` lists."""
    columns: Annotated[TableColumns, Parameter(name="*", name_transform=_option)] = TableColumns()
    """The columns of a table of plays; usual names are recognised. Only for the source "table"."""
    cutting: Annotated[Cutting, Flat] = Cutting()
    """How histories are cut into sessions, and which doubts are ignored."""
    tracks: PathOrNone = None
    """Track table (CSV or Parquet): titles, artists, durations, features."""
    max_rejected: float = 0.001
    """Largest share of unusable rows; with more, no store is written."""
    overwrite: bool = False
    """Replace an existing store."""


def prepare(
    log: Any, store: str | Path, options: PrepareOptions = PrepareOptions(), *, progress: Progress = silent
) -> PrepareReport:
    """Turn a listening log into a store; return counts, rejected rows and warnings.

    `log` is one or several paths of files, folders or archives, or a Polars or pandas frame, which is a "table".
    The source "auto" recognises exports of players and services, public data sets and tables of plays by their
    columns. "table" takes the columns that are named. "ratings" reads one to five stars (user, item, rating,
    timestamp): 1 becomes a very early skip, 2 a skip, 3 mostly heard, more heard. "mssd" also joins what lies beside
    `training_set`: `tracks.csv` and `track_features/`, `oracle.parquet`, `simulation.json`.

    Raises:
        InputError: no such file or source, files of no or of several sources, an implausible log, or an existing
            store without `overwrite`.
        RejectedRowsError: more than `max_rejected` of the rows were unusable; they are in STORE.rejected.csv.
    """
    from segue.data.job import Job, track_files
    from segue.data.log_reading import Log
    from segue.data.table_log import paths_of, rating_inputs, table_inputs

    is_frame = not isinstance(log, str | Path | list | tuple)
    if is_frame and options.source == AUTO:
        options = replace(options, source=TABLE)
    if options.source not in (TABLE, RATINGS):
        return _of_source(paths_of(log), Path(store), options, progress)
    if options.source == TABLE:
        inputs = table_inputs(log, options.columns)
    else:
        _refuse_columns(options)
        inputs = rating_inputs(log)
    name = type(log).__name__ if is_frame else paths_of(log)[0].name
    job = Job(Path(store), options.source, name, options.max_rejected, options.overwrite)
    job = replace(job, track_files=track_files(options.tracks))
    return Log(inputs, options.cutting, progress=progress).prepared(job)


def _of_source(paths: list[Path], store: Path, options: PrepareOptions, progress: Progress) -> PrepareReport:
    """Return the report of reading the files of one source."""
    from segue.data.job import Job, track_files
    from segue.data.log_files import SourceFile, log_files
    from segue.data.log_reading import Log, LogInput
    from segue.data.records.member import find_members
    from segue.data.sources.source import Beside
    from segue.data.survey import Survey

    _refuse_columns(options)
    files = log_files(find_members(paths), options.source)
    survey, source = Survey(files), files.source
    beside = source.beside(paths[0]) if source.beside is not None else Beside()
    job = Job(
        store=store,
        kind=source.name,
        name=paths[0].name,
        max_rejected=options.max_rejected,
        overwrite=options.overwrite,
        simulated=_simulated(beside.simulation),
        track_files=track_files(options.tracks) + beside.track_files,
    )

    def log_input(file: SourceFile) -> LogInput:
        mapping = survey.mapping(file)
        return LogInput(file.member.name, mapping, lambda rejects: survey.blocks(file, rejects), file.source.scale)

    inputs = [log_input(file) for file in files.plays]
    log = Log(inputs, options.cutting, repeats=source.repeats, progress=progress, oracle=beside.oracle)
    return replace(log.prepared(job), recognised=files.plays[0].why)


def _refuse_columns(options: PrepareOptions) -> None:
    if options.columns != TableColumns():
        raise InputError(f"the source {options.source!r} has its own columns; name columns with the source 'table'")


def _simulated(path: Path | None) -> dict[str, Any]:
    """Return the document beside a simulated log, {} for other logs."""
    return {} if path is None else read_json_object(path) or {"file": path.name}
