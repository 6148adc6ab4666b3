"""Any table with a track column: CSV, Parquet, or a Polars or pandas frame."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final

import polars as pl

from segue.config import nearest
from segue.errors import InputError
from segue.events.rejects import Rejects
from segue.events.sources.histories import GAP_MINUTES, MAX_LENGTH, check_cut
from segue.events.sources.text import read_blocks, read_layout

ROW: Final = "__line__"
"""Name of the column that carries the line while a table is read."""
_USUAL: Final = {
    "session": ("session", "session_id"),
    "user": ("user", "user_id", "userid", "listener"),
    "track": ("track", "track_id", "track_id_clean", "song", "song_id", "item", "item_id"),
    "position": ("position", "session_position"),
    "time": ("time", "timestamp", "at", "played_at", "ts"),
    "skipped": ("skipped", "skip"),
    "listened": ("listened", "liked"),
    "strength": ("strength",),
    "played": ("played", "ms_played", "played_ms"),
    "duration": ("duration", "duration_ms"),
}
_RESERVED: Final = frozenset({"tracks", "strength", "offsets", "session_key", "inferred", "at", "tied", "user", "date"})


@dataclass(frozen=True)
class TableColumns:
    """Which column of a table is what; what is not named is taken where a usual name stands.

    Order within a session is `position`, else `time`, else the file's. Feedback is `strength`, else `skipped`,
    else `listened`, else `played` over `duration`; with none, every strength is unknown. With no `session`, the
    histories of `user` are cut (their `time` is needed).
    """

    session: str | None = None
    user: str | None = None
    track: str | None = None
    position: str | None = None
    """Any whole numbers; only their order counts."""
    time: str | None = None
    """UTC seconds (numbers) or text such as 2019-08-23 14:40:33 (read as UTC)."""
    skipped: str | None = None
    """true/false, 1/0, yes/no: skipped -> strength 3, not -> 0, empty -> unknown."""
    listened: str | None = None
    """The opposite of `skipped` (listened, liked): true -> 0, false -> 3, empty -> unknown."""
    strength: str | None = None
    """0..3; 255 or empty -> unknown."""
    played: str | None = None
    """Time played, in the unit of `duration`."""
    duration: str | None = None
    """Length of the track. played/duration < .15 -> 3, < .5 -> 2, < .9 -> 1, else 0, marked inferred; empty, NaN or
    negative -> unknown; text that is no number makes a bad row."""
    side: tuple[str, ...] = ()
    """Columns kept beside the events: numbers, flags, or text of at most 65,535 values."""
    gap_minutes: float = GAP_MINUTES
    max_length: int = MAX_LENGTH

    def resolved(self, known: tuple[str, ...], where: str) -> TableColumns:
        """Return the columns with the usual names filled in from `known`.

        Raises:
            InputError: a named column is missing, or there is no track, or neither session nor user with a time, or
                a gap or length is not positive.
        """
        check_cut(self.gap_minutes, self.max_length)
        named = {role: getattr(self, role) for role in _USUAL if getattr(self, role) is not None}
        for role, name in [*named.items(), *(("side", name) for name in self.side)]:
            if name not in known:
                columns = ", ".join(known)
                raise InputError(f"{where} has no {role} column {name!r}{nearest(name, known)} (columns: {columns})")
        for name in self.side:
            if name in _RESERVED:
                raise InputError(f"{where}: a side column cannot be called {name!r}; rename it")
        lower = {name.lower(): name for name in known}
        for role in self._wanted(named):
            named.setdefault(role, next((lower[n] for n in _USUAL[role] if n in lower), None))
        result = replace(self, **named)
        _check(result, known, where)
        return result

    def _wanted(self, named: dict[str, Any]) -> list[str]:
        """Return the roles to guess: an explicit choice among rivals keeps the others unguessed."""
        feedback = {"skipped", "listened", "strength", "played", "duration"}
        order = {"position", "time"}
        wanted = []
        for role in _USUAL:
            rivals = feedback if role in feedback else order if role in order else {role}
            pair = role in ("played", "duration") and ("played" in named or "duration" in named)
            if "user" in named and "session" not in named and role == "session":
                continue
            if role == "user" and "session" in named:
                continue
            cut_by_time = role == "time" and "user" in named and "session" not in named
            if cut_by_time or pair or not rivals & named.keys():
                wanted.append(role)
        return wanted

    def used(self) -> tuple[str, ...]:
        """Return the distinct columns that will be read."""
        names = [getattr(self, f.name) for f in fields(self) if f.name in _USUAL]
        return tuple(dict.fromkeys([*(n for n in names if n is not None), *self.side]))


def _check(columns: TableColumns, known: tuple[str, ...], where: str) -> None:
    listed = f"its columns: {', '.join(known)}"
    if columns.track is None:
        raise InputError(f"{where} has no column that looks like a track; name it with --track-column ({listed})")
    if columns.session is None and columns.user is None:
        raise InputError(f"{where} has neither session nor user; name --session-column or --user-column ({listed})")
    if columns.session is None and columns.time is None:
        raise InputError(f"{where}: histories of users need times; name --time-column ({listed})")


def read_frame(
    source: str | Path | Any, columns: TableColumns, rejects: Rejects
) -> tuple[str, pl.DataFrame, TableColumns]:
    """Return `(name, frame, resolved columns)`: the columns in use and `ROW`, the 1-based line of each row.

    CSV (comma, semicolon or tab; quotes understood) gives text; Parquet and frames keep their types, and their rows
    are numbered from 1.

    Raises:
        InputError: no such file, no table, or columns that are not there.
    """
    if isinstance(source, str | Path):
        path = Path(source)
        if path.suffix != ".parquet":
            return _read_text(path, columns, rejects)
        try:
            lazy = pl.scan_parquet(path)
            names = tuple(lazy.collect_schema().names())
            resolved = columns.resolved(names, str(path))
            frame = lazy.select(resolved.used()).collect()
        except (pl.exceptions.PolarsError, OSError) as error:
            raise InputError(f"{path} cannot be read as Parquet ({error})") from error
        return path.name, _numbered(frame), resolved
    frame = source if isinstance(source, pl.DataFrame) else _from_pandas(source)
    resolved = columns.resolved(tuple(frame.columns), "the frame")
    return "frame", _numbered(frame.select(resolved.used())), resolved


def _from_pandas(frame: Any) -> pl.DataFrame:
    if not hasattr(frame, "columns") or not hasattr(frame, "to_dict"):
        raise InputError(f"{type(frame).__name__} is no table; give a path, a Polars or a pandas frame")
    return pl.DataFrame([_pandas_column(str(name), frame[name]) for name in frame.columns])


def _pandas_column(name: str, column: Any) -> pl.Series:
    """Return a pandas column; missing values of any kind are null (pyarrow is not needed)."""
    values = column.to_numpy()
    if values.dtype.kind in "biufM":
        return pl.Series(name, values, nan_to_null=True)
    missing = column.isna().to_numpy()
    texts = [None if gone else value for gone, value in zip(missing, values.tolist(), strict=True)]
    return pl.Series(name, texts, strict=False)


def _numbered(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_row_index(ROW, offset=1).with_columns(pl.col(ROW).cast(pl.Int64))


def _read_text(path: Path, columns: TableColumns, rejects: Rejects) -> tuple[str, pl.DataFrame, TableColumns]:
    if path.suffix in (".parquet", ".xlsx", ".json"):
        raise InputError(f"{path} is no CSV; save it as CSV or Parquet")
    layout = read_layout(path, quoted=True)
    resolved = columns.resolved(layout.header, str(path))
    blocks = read_blocks(path, layout, resolved.used(), rejects)
    frames = [block.frame.with_columns(pl.Series(ROW, block.line)) for block in blocks]
    if not frames:
        raise InputError(f"{path} holds no rows below its header; name a log with events")
    return path.name, pl.concat(frames), resolved
