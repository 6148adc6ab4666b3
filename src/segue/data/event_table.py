"""The event table that every source returns; text is dictionary-encoded."""

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
SESSION_LEVEL: Final = frozenset({columns.DATE, columns.USER})


@dataclass(frozen=True)
class Side:
    """A side column of an event table: one value per row; at session level the first row's value counts."""

    values: NDArray[Any]
    dtype: str
    level: Literal["event", "session"] = "event"
    categories: tuple[str, ...] = ()
    """Text of code i if the column is categorical."""


@dataclass(frozen=True)
class EventTable:
    """The events of a log, or of some of its sessions, without bad rows.

    Rows are in file order; those of one session need not be contiguous.
    """

    names: tuple[str, ...]
    """Names of the files, for messages."""
    session_key: NDArray[np.uint64]
    """Key of each session code [S], all different."""
    session: NDArray[np.int32]
    """Code of each row's session, int32 [rows]; the store has sessions in the order of the codes."""
    position: NDArray[np.signedinteger[Any]]
    """Order within the session, [rows]; only the order counts."""
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
    last: bool = True
    """False if the next table continues the same shard."""

    def track_texts(self, rows: NDArray[np.int64]) -> list[str]:
        """Return the track ids of the given rows."""
        return coded_texts(self.track[rows], self.track_ids).to_list()


def known_side(name: str, values: NDArray[Any], categories: tuple[str, ...] = ()) -> Side:
    """Return the side column `name` with Segue's dtype and level for it."""
    level: Literal["event", "session"] = "session" if name in SESSION_LEVEL else "event"
    return Side(values.astype(SIDE_DTYPES[name], copy=False), SIDE_DTYPES[name], level, categories)


def ordered_side(side: Mapping[str, Side]) -> dict[str, Side]:
    """Return `side` in the order of a store: the columns of `SIDE_DTYPES` first, then the others as given."""
    segue_columns = [name for name in SIDE_DTYPES if name in side]
    return {name: side[name] for name in (*segue_columns, *(n for n in side if n not in SIDE_DTYPES))}


def shared_codes(name: str) -> pl.Series:
    """Return an empty Categorical column; columns cast to its dtype share one code per text, from 0.

    Keep the column alive: Polars drops the codes of a dtype with its last column.
    """
    return pl.Series(name, [], pl.Categorical(pl.Categories.random(name, pl.UInt32)))


def coded_texts(codes: NDArray[np.int32], column: pl.Series) -> pl.Series:
    """Return the text of codes of the dtype of the Categorical `column`, String."""
    return pl.Series(codes.view(np.uint32)).cat.to(column.dtype).cast(pl.String)
