"""The verb `log export`."""

from __future__ import annotations

import csv
import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from segue.columns import SEGUE_LOG
from segue.errors import InputError
from segue.files import check_parent, replaced_file
from segue.serving.sessions import kept_sessions
from segue.skips import UNKNOWN_STRENGTH

COLUMNS: Final = ("session", "position", "track", "strength", "time", SEGUE_LOG)
LISTENER: Final = "listener"
"""A further column of a log of sessions of which at least one names its listener."""
_VERSION: Final = 2
"""2: there may be listeners."""


@dataclass(frozen=True)
class ServedLog:
    """Result of `export_log`."""

    out: Path
    sessions: int
    events: int

    def to_json(self) -> dict[str, Any]:
        """Return the facts for `--json`."""
        return {**vars(self), "out": str(self.out)}


@dataclass(frozen=True)
class ExportLogOptions:
    """Options of `export_log`."""

    overwrite: bool = False
    """Replace an existing file."""


def export_log(sessions: str | Path, out: str | Path, options: ExportLogOptions = ExportLogOptions()) -> ServedLog:
    """Write served sessions, oldest first, to a CSV or Parquet file that segue prepare table reads.

    Columns: session, position (from 0), track, strength (empty = unknown), time (UTC), segue_log (version of this
    layout), and listener if any session names one (the session's id where it names none). `prepare` reads every event
    back unchanged. Do not open the CSV in a spreadsheet, which may run a cell that begins with = as a formula. The
    service may be running; Redis has deleted expired sessions without a listener.

    Args:
        sessions: the file or Redis URL of the sessions of segue serve.
        out: file to write, .csv or .parquet.

    Raises:
        FormatError: no such file, or not a file of sessions. InputError: `out` exists, or is neither CSV nor Parquet;
            `sessions` is not a valid URL. SegueError: Redis cannot be reached.
    """
    path = Path(out)
    if path.suffix not in (".csv", ".parquet"):
        raise InputError(f"{out} names neither CSV nor Parquet; end it in .csv or .parquet")
    if path.exists() and not options.overwrite:
        raise InputError(f"{out} exists already; name another file or add --overwrite")
    check_parent(path)
    columns: dict[str, list[Any]] = {name: [] for name in (*COLUMNS, LISTENER)}
    count, has_listeners = 0, False
    for session in kept_sessions(sessions):
        count, has_listeners = count + 1, has_listeners or session.listener is not None
        listener = session.session_id if session.listener is None else session.listener
        for position, event in enumerate(session.events):
            strength = None if event.strength == UNKNOWN_STRENGTH else event.strength
            at = datetime.datetime.fromtimestamp(event.at, datetime.UTC)
            text = at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            row = (session.session_id, position, event.track, strength, text, _VERSION, listener)
            for name, value in zip(columns, row, strict=True):
                columns[name].append(value)
    if not has_listeners:
        del columns[LISTENER]
    with replaced_file(path) as temporary:
        if path.suffix == ".csv":
            with temporary.open("w", newline="", encoding="utf-8") as handle:
                writer = csv.writer(handle)
                writer.writerow(columns)
                writer.writerows(zip(*columns.values(), strict=True))
        else:
            import polars as pl

            kinds = {"position": pl.Int64, "strength": pl.UInt8, SEGUE_LOG: pl.UInt8}
            pl.DataFrame(columns, schema={name: kinds.get(name, pl.String) for name in columns}).write_parquet(
                temporary
            )
    return ServedLog(path, count, len(columns["track"]))
