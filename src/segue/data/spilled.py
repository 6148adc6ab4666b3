"""Arrays laid end to end in a scratch file, read back whole or in part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Spilled:
    """One scratch file and where its arrays lie."""

    file: Path
    places: Mapping[str, tuple[str, int, int]]
    """Dtype, first byte and length of each array."""

    @classmethod
    def write(cls, file: Path, arrays: Mapping[str, Sequence[NDArray[Any]]]) -> Spilled:
        """Return `arrays` (each in pieces of one axis), written to `file`."""
        places: dict[str, tuple[str, int, int]] = {}
        with file.open("wb") as handle:
            for name, pieces in arrays.items():
                dtype = np.result_type(*{values.dtype for values in pieces})
                places[name] = (dtype.str, handle.tell(), sum(map(len, pieces)))
                for values in pieces:
                    whole = np.ascontiguousarray(values, dtype)
                    handle.write(whole.view(np.uint8).data)  # tofile says nothing of a full disk
        return cls(file, places)

    def load(self, name: str, first: int = 0, last: int | None = None) -> NDArray[Any]:
        """Return values `first` up to `last` of an array (to its end where not told)."""
        dtype, place, length = self.places[name]
        count = (length if last is None else last) - first
        return np.fromfile(self.file, dtype, count, offset=place + first * np.dtype(dtype).itemsize)

    def length(self, name: str) -> int:
        """Return how many values an array has."""
        return self.places[name][2]
