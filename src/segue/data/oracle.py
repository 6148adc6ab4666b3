"""The simulated truth of a log: `oracle.parquet`, joined by session and position."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from segue import columns
from segue.data.codes import runs
from segue.data.event_table import EventTable, segue_side
from segue.data.session_keys import text_keys
from segue.errors import InputError

_KEYS: Final = ("session", "position")
_NAMES: Final = {
    "session_id": ("session_id",),
    "session_position": ("session_position",),
    columns.ORACLE_P_LISTEN: ("oracle_p_listen", "p_listen"),
    columns.ORACLE_P_LISTEN_COMMON: ("oracle_p_listen_common", "p_listen_common"),
}
"""Names of each column in files of any age."""
_VALUES: Final = (columns.ORACLE_P_LISTEN, columns.ORACLE_P_LISTEN_COMMON)
_BATCH_ROWS: Final = 1 << 20


class Oracle:
    """Reads the truth of one simulated log, block by block beside the log's files.

    A simulation writes both in one order, so few rows are in memory; in another order all may be (26 bytes a row).
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._batches = self._read()
        schema = {"session": pl.UInt64, "position": pl.Int64, **dict.fromkeys((*_VALUES, "is_read"), pl.Float32)}
        self._waiting = pl.DataFrame(schema=schema)

    def join(self, table: EventTable) -> EventTable:
        """Return `table` with the event columns oracle_p_listen and oracle_p_listen_common, NaN = unknown.

        Raises:
            InputError: the file cannot be read, or lacks a column.
        """
        session = pl.Series(table.session_key).gather(table.session)
        rows = pl.DataFrame({"session": session, "position": table.position.astype(np.int64)})
        joined = self._joined(rows)
        while joined["is_read"].null_count() and (batch := next(self._batches, None)) is not None:
            self._waiting = pl.concat([self._waiting, batch])
            joined = self._joined(rows)
        sessions = pl.DataFrame({"session": table.session_key})
        self._waiting = self._waiting.join(sessions, on="session", how="anti", maintain_order="left")
        values = {name: joined[name].fill_null(float("nan")).to_numpy() for name in _VALUES}
        return replace(table, side={**table.side, **{name: segue_side(name, values[name]) for name in _VALUES}})

    def _joined(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return the truth of each row, null if it has not been read; of several the first counts."""
        truth = self._waiting.join(rows.select("session").unique(), on="session", how="semi", maintain_order="left")
        return rows.join(truth.unique(_KEYS, keep="first"), on=_KEYS, how="left", maintain_order="left")

    def _read(self) -> Iterator[pl.DataFrame]:
        """Yield the rows in file order, sessions as keys."""
        try:
            lazy = pl.scan_parquet(self._path)
            names = lazy.collect_schema().names()
            file_column = {new: next((old for old in olds if old in names), "") for new, olds in _NAMES.items()}
            if missing := [new for new, old in file_column.items() if not old]:
                listed = f"{', '.join(missing)} (it has {', '.join(names)})"
                raise InputError(f"{self._path} lacks {listed}; simulate the log again")
            chosen = lazy.select(
                pl.col("session_id").cast(pl.String),
                pl.col("session_position").cast(pl.Int64).alias("position"),
                *(pl.col(file_column[name]).cast(pl.Float32).alias(name) for name in _VALUES),
                pl.lit(1.0, pl.Float32).alias("is_read"),
            )
            height = int(lazy.select(pl.len()).collect().item())
            for first in range(0, height, _BATCH_ROWS):
                yield _keyed(chosen.slice(first, _BATCH_ROWS).collect())
        except (pl.exceptions.PolarsError, OSError) as error:
            raise InputError(f"{self._path} cannot be read as Parquet ({error}); simulate the log again") from error


def _keyed(frame: pl.DataFrame) -> pl.DataFrame:
    """Return `frame` with sessions as keys, without rows that lack a session."""
    frame = frame.drop_nulls("session_id")
    firsts, lengths = runs(frame["session_id"])
    keys = text_keys(firsts) if lengths is None else np.repeat(text_keys(firsts), lengths)
    return frame.select(pl.Series("session", keys, pl.UInt64), pl.exclude("session_id"))
