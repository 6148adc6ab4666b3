"""A block of records that a reader yields: a frame, and the line of each record."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from segue.errors import InputError


@dataclass(frozen=True)
class RecordBlock:
    """Some records of one file, in file order.

    Text formats give String columns (delimited ones also numbers or flags on request): empty and missing fields are
    null; JSON's true and false are "true" and "false", its numbers are as written. The name of a nested field is its
    path ("track.artists.0"). Parquet and frames keep their types.
    """

    frame: pl.DataFrame
    line: NDArray[np.int64]
    """Line at which each record begins, int64 [rows], from 1 (a header is line 1); in other formats the number of the
    record from 1."""
    texts: Callable[[NDArray[np.int64]], list[str]] | None = None
    """Returns the complete text of the records on the given lines; None if the frame has all of their fields."""


def check_columns(name: str, wanted: Collection[str], columns: Collection[str], where: str = "it") -> None:
    """Refuse a file without one of the columns `wanted`; `where` names what has the `columns`.

    Raises:
        InputError: see there.
    """
    if unknown := [column for column in wanted if column not in columns]:
        raise InputError(f"{name} has no column {', '.join(unknown)}; {where} has {', '.join(columns)}")
