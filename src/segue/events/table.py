"""The event table: what every source returns, dictionary-encoded so that text is kept once."""

from __future__ import annotations

from collections.abc import Mapping
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
    """The events of one file, in file order; bad rows are already out of it."""

    name: str
    """File name, for messages."""
    session_ids: pl.Series
    """String [S], text of the session codes; a text may stand twice where its rows are not contiguous."""
    session: NDArray[np.int32]
    """Code of each row's session, int32 [rows]."""
    position: NDArray[np.int64]
    """Order within the session, int64 [rows]; only the order counts."""
    track_ids: pl.Series
    """String [T], text of the track codes, distinct."""
    track: NDArray[np.int32]
    """Code of each row's track, int32 [rows]."""
    strength: NDArray[np.uint8]
    line: NDArray[np.int64]
    """1-based line of the file (the header is line 1), int64 [rows]."""
    side: Mapping[str, Side]


def known_side(name: str, values: NDArray[Any], categories: tuple[str, ...] = ()) -> Side:
    """Return the side column `name` with the dtype and level that Segue gives it."""
    level: Literal["event", "session"] = "session" if name in SESSION_LEVEL else "event"
    return Side(values.astype(SIDE_DTYPES[name], copy=False), SIDE_DTYPES[name], level, categories)


def ordered_side(side: Mapping[str, Side]) -> dict[str, Side]:
    """Return `side` in the order of a store: the known columns first, then the others as given."""
    known = [name for name in SIDE_ORDER if name in side]
    return {name: side[name] for name in (*known, *(n for n in side if n not in SIDE_ORDER))}


def encode_text(texts: pl.Series) -> tuple[NDArray[np.int32], pl.Series]:
    """Return `(codes int32 [rows], distinct texts)` of a String or Categorical column without nulls.

    The codes of a String column follow first appearance; those of a Categorical have no order.
    """
    if isinstance(texts.dtype, pl.Categorical):
        unique = texts.unique()
        physical = unique.to_physical().to_numpy()
        lookup = np.zeros(int(physical.max(initial=0)) + 1, np.int32)
        lookup[physical] = np.arange(len(unique), dtype=np.int32)
        return lookup[texts.to_physical().to_numpy()], unique.cast(pl.String)
    unique = texts.unique(maintain_order=True)
    index = pl.DataFrame({"text": unique, "code": np.arange(len(unique), dtype=np.int32)})
    codes = pl.DataFrame({"text": texts}).join(index, on="text", how="left", maintain_order="left")["code"]
    return codes.to_numpy(), unique
