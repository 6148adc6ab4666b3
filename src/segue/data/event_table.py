"""The event table: what every source returns, dictionary-encoded so that text is kept once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from segue import columns

SIDE_ORDER: Final = (
    columns.INFERRED,
    columns.AT,
    columns.TIED,
    columns.CONTEXT_TYPE,
    columns.SHUFFLE,
    columns.HOUR,
    columns.PREMIUM,
    columns.DATE,
    columns.USER,
    columns.ORACLE_P_LISTEN,
    columns.ORACLE_P_LISTEN_COMMON,
)
"""Order of the side columns in a store; the reader's own columns (`--side`) come last, as named."""
SIDE_DTYPES: Final = {
    columns.INFERRED: "bool",
    columns.AT: "int64",
    columns.TIED: "bool",
    columns.CONTEXT_TYPE: "uint8",
    columns.SHUFFLE: "bool",
    columns.HOUR: "uint8",
    columns.PREMIUM: "bool",
    columns.DATE: "int32",
    columns.USER: "int32",
    columns.ORACLE_P_LISTEN: "float32",
    columns.ORACLE_P_LISTEN_COMMON: "float32",
}
FILE: Final = 2**40
"""What a file number counts in `EventTable.line`: no file has so many lines."""
SESSION_LEVEL: Final = frozenset({columns.DATE, columns.USER})


@dataclass(frozen=True)
class Side:
    """A side column of an event table: one value a row, whatever its level (a session takes its first row's)."""

    values: NDArray[Any]
    dtype: str
    level: Literal["event", "session"] = "event"
    categories: tuple[str, ...] = ()
    """Text of code i where the column is categorical."""


@dataclass(frozen=True)
class EventTable:
    """The events of a log, or of some of its sessions, in file order; bad rows are already out of it.

    Rows of one session may stand apart, but are in file order.
    """

    names: tuple[str, ...]
    """Names of the files that rows come from, for messages."""
    session_key: NDArray[np.uint64]
    """Key of each session code [S], distinct."""
    session: NDArray[np.int32]
    """Code of each row's session, int32 [rows], in the order that the store shall have."""
    position: NDArray[np.signedinteger[Any]]
    """Order within the session, [rows]; only the order counts."""
    track_ids: pl.Series
    """A Categorical column whose dtype has given the codes of tracks."""
    track: NDArray[np.int32]
    """Code of each row's track, int32 [rows]."""
    strength: NDArray[np.uint8]
    line: NDArray[np.int64]
    """Where each row stands: 1-based line of its file (the header is line 1) + FILE * number of the file, [rows]."""
    side: Mapping[str, Side]
    session_ids: Callable[[NDArray[np.int64]], list[str]]
    """Returns the text of the sessions of the given rows; for messages, so it may be slow."""
    last: bool = True
    """False where the next table goes on with the same shard."""

    def track_texts(self, rows: NDArray[np.int64]) -> list[str]:
        """Return the text of the tracks of the given rows."""
        return coded_texts(self.track[rows], self.track_ids).to_list()


def known_side(name: str, values: NDArray[Any], categories: tuple[str, ...] = ()) -> Side:
    """Return the side column `name` with the dtype and level that Segue gives it."""
    level: Literal["event", "session"] = "session" if name in SESSION_LEVEL else "event"
    return Side(values.astype(SIDE_DTYPES[name], copy=False), SIDE_DTYPES[name], level, categories)


def ordered_side(side: Mapping[str, Side]) -> dict[str, Side]:
    """Return `side` in the order of a store: the known columns first, then the others as given."""
    known = [name for name in SIDE_ORDER if name in side]
    return {name: side[name] for name in (*known, *(n for n in side if n not in SIDE_ORDER))}


def shared_codes(name: str) -> pl.Series:
    """Return an empty Categorical column: what is cast to its dtype while it lives gets one code a text, from 0 on.

    (Polars forgets the codes of a dtype when its last column goes.)
    """
    return pl.Series(name, [], pl.Categorical(pl.Categories.random(name, pl.UInt32)))


def coded_texts(codes: NDArray[np.int32], column: pl.Series) -> pl.Series:
    """Return the text of codes that the dtype of the Categorical `column` has given, String."""
    return pl.Series(codes.view(np.uint32)).cat.to(column.dtype).cast(pl.String)
