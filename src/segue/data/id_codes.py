"""Ids as codes: each text is looked at once, when it first appears."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from segue.data.distinct import runs
from segue.data.event_table import coded_texts, shared_codes

_UNSEEN, _PLAIN, _ODD = range(3)
_ROOM: Final = 1 << 16
"""Codes for which there is room at first."""
Check = Callable[[pl.Series], pl.Series]
"""Returns where texts are no ids as they stand, Boolean."""


class IdCodes:
    """Gives each id a code, the same in all blocks; may be used in any thread.

    `odd`: which texts have to be changed or refused before they are ids.
    """

    def __init__(self, name: str, odd: Check) -> None:
        self.column = shared_codes(name)
        """The Categorical column whose dtype gives the codes."""
        self._odd = odd
        self._looks = np.zeros(_ROOM, np.uint8)
        self._lock = Lock()

    def codes(self, ids: pl.Series) -> NDArray[np.int32]:
        """Return the codes of ids without nulls that are ids as they stand."""
        firsts, lengths = runs(ids)
        codes = self._cast(firsts)
        return codes if lengths is None else np.repeat(codes, lengths)

    def codes_as_they_stand(self, texts: pl.Series) -> NDArray[np.int32] | None:
        """Return the codes of texts; None where any is null or odd."""
        if texts.null_count() or not len(texts):
            return None
        firsts, lengths = runs(texts)
        codes = self._cast(firsts)
        if self._any_odd(codes):
            return None
        return codes if lengths is None else np.repeat(codes, lengths)

    def _cast(self, texts: pl.Series) -> NDArray[np.int32]:
        return texts.cast(self.column.dtype).to_physical().to_numpy().view(np.int32)

    def _any_odd(self, codes: NDArray[np.int32]) -> bool:
        """Return whether any of the codes is of an odd text; new ones are looked at."""
        with self._lock:
            room = int(codes.max()) + 1
            if room > len(self._looks):
                self._looks = np.append(self._looks, np.zeros(max(room, 2 * len(self._looks)), np.uint8))
            looks = self._looks[codes]
        unseen = codes[looks == _UNSEEN]
        is_odd = bool((looks == _ODD).any())
        if len(unseen):
            fresh = np.unique(unseen)
            odd = self._odd(coded_texts(fresh, self.column)).to_numpy()
            with self._lock:
                self._looks[fresh] = np.where(odd, _ODD, _PLAIN)
            is_odd |= bool(odd.any())
        return is_odd
