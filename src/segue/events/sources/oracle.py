"""The simulator's truth beside a log: `oracle.parquet`, joined by session and position."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from segue import columns
from segue.errors import InputError
from segue.events.table import EventTable, known_side

_KEYS: Final = ("session_id", "session_position")
_VALUES: Final = {
    columns.ORACLE_P_LISTEN: ("oracle_p_listen", "p_listen"),
    columns.ORACLE_P_LISTEN_COMMON: ("oracle_p_listen_common", "p_listen_common"),
}


def join_oracle(table: EventTable, path: Path) -> EventTable:
    """Return `table` with the event columns oracle_p_listen and oracle_p_listen_common, NaN where unknown.

    Raises:
        InputError: the file cannot be read, or lacks a column.
    """
    try:
        truth = _truth(path, table)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InputError(f"{path} cannot be read as Parquet ({error}); simulate the log again") from error
    rows = pl.DataFrame(
        {"session_id": table.session_ids.gather(table.session), "session_position": table.position.astype(np.int64)}
    )
    joined = rows.join(truth, on=_KEYS, how="left", maintain_order="left")
    side = dict(table.side)
    for name in _VALUES:
        side[name] = known_side(name, joined[name].fill_null(float("nan")).to_numpy().astype(np.float32))
    return replace(table, side=side)


def _truth(path: Path, table: EventTable) -> pl.DataFrame:
    """Return the rows of `path` on the table's sessions."""
    lazy = pl.scan_parquet(path)
    names = lazy.collect_schema().names()
    found = {new: next((old for old in olds if old in names), None) for new, olds in _VALUES.items()}
    missing = [name for name in _KEYS if name not in names] + [new for new, old in found.items() if old is None]
    if missing:
        raise InputError(f"{path} lacks {', '.join(missing)} (it has {', '.join(names)}); simulate the log again")
    ids = pl.LazyFrame({"session_id": table.session_ids.unique()})
    return (
        lazy.select(
            pl.col("session_id").cast(pl.String),
            pl.col("session_position").cast(pl.Int64),
            *(pl.col(str(old)).cast(pl.Float32).alias(new) for new, old in found.items()),
        )
        .join(ids, on="session_id", how="semi")
        .unique(_KEYS, keep="first")
        .collect()
    )
