"""The event table: some sessions of a log, text as codes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from segue import columns
from segue.columns import SIDE_DTYPES

FILE: Final = 2**40
"""Factor of the file number in `EventTable.line`; files have fewer lines than this."""
_SESSION_LEVEL: Final = frozenset({columns.DATE, columns.USER})


@dataclass(frozen=True)
class Side:
    """A side column of an event table: one value per row; at session level the first row's value counts."""

    values: NDArray[Any]
    dtype: str
    level: Literal["event", "session"] = "event"
    categories: tuple[str, ...] = ()
    """Text of code i if the column is categorical; equal in all tables of a log."""


@dataclass(frozen=True)
class EventTable:
    """The events of some sessions of a log, without bad rows: session after session, positions ascending."""

    names: tuple[str, ...]
    """Names of the files, for messages."""
    session_key: NDArray[np.uint64]
    """Key of each session code [S]."""
    session: NDArray[np.int32]
    """Code of each row's session, int32 [rows], ascending from 0."""
    position: NDArray[np.signedinteger[Any]]
    """Position within the session, [rows]; of rows with the same one the first counts."""
    track_ids: pl.Series
    """A Categorical column whose dtype maps track codes to ids."""
    track: NDArray[np.int32]
    """Code of each row's track, int32 [rows]."""
    strength: NDArray[np.uint8]
    line: NDArray[np.int64]
    """1-based line of each row in its file (the header is line 1) + FILE * number of the file, [rows]."""
    side: Mapping[str, Side]
    session_ids: Callable[[NDArray[np.int64]], list[str]]
    """Returns the session ids of the given rows; used in messages only, so it may be slow."""


def segue_side(name: str, values: NDArray[Any], categories: tuple[str, ...] = ()) -> Side:
    """Return the side column `name` with Segue's dtype and level for it."""
    level: Literal["event", "session"] = "session" if name in _SESSION_LEVEL else "event"
    return Side(values.astype(SIDE_DTYPES[name], copy=False), SIDE_DTYPES[name], level, categories)
