"""What reading yields: records as a frame, and where each stands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray


@dataclass(frozen=True)
class Block:
    """Some records of one file, in file order.

    Text formats give String columns (delimited ones also numbers or flags, where these were asked for): an empty field
    and one that is not there are null; JSON's true and false are "true" and "false", its numbers as written. A nested
    field is called by its path ("track.artists.0"). Parquet and frames keep their types.
    """

    frame: pl.DataFrame
    line: NDArray[np.int64]
    """Where each record begins, int64 [rows]: the physical line of a text file from 1 (a header is line 1), the number
    of the record from 1 elsewhere."""
    texts: Callable[[NDArray[np.int64]], list[str]] | None = None
    """Returns the whole records that begin on the given lines, as they stand in the file; None where the frame has
    all that is known of them."""
