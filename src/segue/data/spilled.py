"""Arrays that are read back later, whole or in part: in memory, or in a scratch file."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class InMemory:
    """Arrays in memory."""

    arrays: Mapping[str, NDArray[Any]]

    @property
    def names(self) -> Collection[str]:
        """Names of the arrays."""
        return self.arrays.keys()

    def load(self, name: str, first: int = 0, last: int | None = None) -> NDArray[Any]:
        """Return values `first` up to `last` of an array (default: to its end)."""
        return self.arrays[name][first:last]

    def length(self, name: str) -> int:
        """Return how many values an array has."""
        return len(self.arrays[name])

    def in_order(self, order: NDArray[np.int64]) -> InMemory:
        """Return the arrays with their rows in another order."""
        return InMemory({name: values[order] for name, values in self.arrays.items()})


@dataclass(frozen=True)
class Spilled:
    """A scratch file and the position of each array in it."""

    file: Path
    spans: Mapping[str, tuple[np.dtype[Any], int, int]]
    """Dtype, first byte and length of each array."""

    @classmethod
    def write(cls, file: Path, arrays: Mapping[str, Sequence[NDArray[Any]]]) -> Spilled:
        """Return `arrays` (each in pieces along one axis), written to `file`."""
        spans = {}
        with file.open("wb") as handle:
            for name, pieces in arrays.items():
                dtype = np.result_type(*{values.dtype for values in pieces})
                spans[name] = (dtype, handle.tell(), sum(map(len, pieces)))
                for values in pieces:  # tofile does not report a full disk
                    handle.write(np.ascontiguousarray(values, dtype).view(np.uint8).data)
        return cls(file, spans)

    @property
    def names(self) -> Collection[str]:
        """Names of the arrays."""
        return self.spans.keys()

    def load(self, name: str, first: int = 0, last: int | None = None) -> NDArray[Any]:
        """Return values `first` up to `last` of an array (default: to its end)."""
        dtype, first_byte, length = self.spans[name]
        count = (length if last is None else last) - first
        return np.fromfile(self.file, dtype, count, offset=first_byte + first * dtype.itemsize)

    def length(self, name: str) -> int:
        """Return how many values an array has."""
        return self.spans[name][2]

    def in_order(self, order: NDArray[np.int64]) -> Spilled:
        """Return the arrays with their rows in another order, in a new file; this file is removed."""
        file = self.file.with_name(f"{self.file.name}-ordered")
        ordered = Spilled.write(file, {name: [self.load(name)[order]] for name in self.names})
        self.file.unlink()
        return ordered
