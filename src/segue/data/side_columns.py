"""Side columns of a log, whose dtypes are decided when the whole log has been read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from segue.columns import SIDE_DTYPES
from segue.data.distinct import by_runs
from segue.data.event_table import Side, coded_texts, known_side, shared_codes
from segue.errors import InputError

SIDE: Final = "side."
"""Prefix of side columns in typed frames."""
MOST_TEXTS: Final = 2**16 - 1
"""Most distinct texts of a side column."""
_LARGE_CODE: Final = 255
_EXACT: Final = 2**24
"""Float32 represents every integer up to this."""
Arrays = Mapping[str, NDArray[Any]]


class SideBuilder:
    """One side column and the types of its values so far.

    A column in `columns.SIDE_DTYPES` has that dtype. Another is bool if all values are flags, float32 (NaN =
    unknown) if all are numbers, int64 if these are integers too large for float32, else codes of at most 65,535 texts.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._number, self._code = f"{SIDE}{name}.number", f"{SIDE}{name}.code"
        self._is_flag = self._is_number = self._is_integer = True
        self._largest = 0.0
        self._texts = shared_codes("side")
        self._seen = np.zeros(0, np.bool_)

    def arrays(self, values: pl.Series) -> dict[str, NDArray[Any]]:
        """Return a block of the column as arrays; safe in any thread."""
        if values.dtype != pl.String and self.name in SIDE_DTYPES:
            return {self._number: values.cast(pl.Int32).to_numpy().astype(SIDE_DTYPES[self.name])}
        if values.dtype == pl.Boolean and not values.null_count():
            return {self._number: values.to_numpy()}
        result = dict[str, NDArray[Any]]()
        if self._is_number:
            number = values.cast(pl.Float64, strict=False)
            if number.null_count() == values.null_count():
                result[self._number] = number.fill_null(np.nan).to_numpy()
        if not self._is_number or self._seen.sum() <= MOST_TEXTS:  # codes of many numbers would fill memory
            texts = values.cast(pl.String).fill_null("")
            result[self._code] = by_runs(self._codes_of, texts).to_numpy().view(np.int32)
        return result

    def _codes_of(self, texts: pl.Series) -> pl.Series:
        return texts.cast(self._texts.dtype).to_physical()

    def note(self, arrays: Arrays) -> None:
        """Take note of a block that `arrays` returned.

        Raises:
            InputError: text of more than 65,535 values.
        """
        number, codes = arrays.get(self._number), arrays.get(self._code)
        self._is_number &= number is not None
        self._is_flag &= number is not None and number.dtype == np.bool_
        if number is not None and number.dtype == np.float64:
            self._is_integer &= bool((number == np.rint(number)).all())
            self._largest = max(self._largest, float(np.nanmax(np.abs(number), initial=0.0)))
        if codes is not None:
            size = int(codes.max(initial=-1)) + 1
            self._seen = np.append(self._seen, np.zeros(max(size - len(self._seen), 0), np.bool_))
            self._seen[codes] = True
        if not self._is_number and self._seen.sum() > MOST_TEXTS:
            raise InputError(f"side column {self.name!r} has text of more than {MOST_TEXTS:,} values; leave it out")

    def side(self, arrays: Arrays) -> Side:
        """Return the column of a part of the log, after all blocks have been noted."""
        if not self._is_number:
            return self._coded(arrays[self._code])
        number = arrays[self._number]
        if self.name in SIDE_DTYPES:
            return known_side(self.name, number)
        if self._is_flag:
            return Side(number, "bool")
        if self._is_integer and self._largest > _EXACT:
            return Side(number.astype(np.int64), "int64")
        return Side(number.astype(np.float32), "float32")

    def _coded(self, codes: NDArray[np.int32]) -> Side:
        used = np.flatnonzero(self._seen).astype(np.int32)
        texts = coded_texts(used, self._texts)
        order = texts.arg_sort().to_numpy()
        rank = np.zeros(len(self._seen), np.int32)
        rank[used[order]] = np.arange(len(used), dtype=np.int32)
        categories, dtype = tuple(texts.gather(order).to_list()), "uint8" if len(used) <= _LARGE_CODE else "uint16"
        if self.name in SIDE_DTYPES:
            return known_side(self.name, rank[codes], categories)
        return Side(rank[codes].astype(dtype), dtype, "event", categories)
