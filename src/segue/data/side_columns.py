"""Side columns of a log, whose dtypes are decided when the whole log has been read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from segue.columns import SIDE_DTYPES
from segue.data.codes import codes_of, marked, ranked, shared_codes
from segue.data.event_table import Side, segue_side
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
            result[self._code] = codes_of(texts, self._texts)
        return result

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
            self._seen = marked(self._seen, codes)
        if not self._is_number and self._seen.sum() > MOST_TEXTS:
            raise InputError(f"side column {self.name!r} has text of more than {MOST_TEXTS:,} values; leave it out")

    def side(self, arrays: Arrays) -> Side:
        """Return the column of a part of the log, after all blocks have been noted."""
        if not self._is_number:
            return self._coded(arrays[self._code])
        number = arrays[self._number]
        if self.name in SIDE_DTYPES:
            return segue_side(self.name, number)
        if self._is_flag:
            return Side(number, "bool")
        if self._is_integer and self._largest > _EXACT:
            return Side(number.astype(np.int64), "int64")
        return Side(number.astype(np.float32), "float32")

    def _coded(self, codes: NDArray[np.int32]) -> Side:
        texts, rank = ranked(self._seen, self._texts)
        dtype = "uint8" if len(texts) <= _LARGE_CODE else "uint16"
        return Side(rank[codes].astype(dtype), dtype, "event", tuple(texts.to_list()))
