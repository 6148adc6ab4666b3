"""Track ids by table row: one byte string and its offsets, in UTF-8 byte order."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from segue.errors import FormatError
from segue.hashing import pack_text

PAD: Final = 0
UNKNOWN: Final = 1
MASK: Final = 2
NUM_SPECIALS: Final = 3
"""Table rows below the first track: PAD, UNKNOWN, MASK."""
_KEYS_AT_ONCE: Final = 1 << 14
_SIDES: Final[tuple[Literal["left", "right"], ...]] = ("left", "right")


class TextColumn:
    """Concatenated texts: `data` uint8 and `offsets` int64 (one more than texts), possibly memory-mapped."""

    def __init__(self, data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> None:
        self.data = data
        self.offsets = offsets
        self._bytes, self._ends = _view(data, "B"), _view(offsets, "q")

    @classmethod
    def from_texts(cls, texts: Iterable[str]) -> TextColumn:
        """Return the column of `texts`, in their order."""
        return cls(*pack_text(list(texts)))

    @classmethod
    def read(cls, folder: Path) -> TextColumn:
        """Return the column of `folder/{bytes,offsets}.npy`, memory-mapped.

        Raises:
            FormatError: a file is missing or the two do not match.
        """
        data, offsets = read_array(folder / "bytes.npy"), read_array(folder / "offsets.npy")
        fits = data.dtype == np.uint8 and offsets.dtype == np.int64 and len(offsets) > 0
        if not fits or offsets[0] != 0 or offsets[-1] != len(data):
            raise FormatError(f"{folder}: bytes and offsets do not match; prepare the store again")
        return cls(data, offsets)

    def write(self, folder: Path) -> None:
        """Write `bytes.npy` and `offsets.npy` into `folder`, which is created if missing."""
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / "bytes.npy", self.data, allow_pickle=False)
        np.save(folder / "offsets.npy", self.offsets, allow_pickle=False)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def raw(self, index: int) -> bytes:
        """Return the UTF-8 bytes of text `index`."""
        return bytes(self._bytes[self._ends[index] : self._ends[index + 1]])

    def text(self, index: int) -> str:
        """Return text `index`; bytes that are not UTF-8 become U+FFFD."""
        return self.raw(index).decode("utf-8", "replace")

    def with_inserted(self, before: NDArray[np.int64], texts: Sequence[str]) -> TextColumn:
        """Return the column with `texts` inserted, each before its index in `before` (ascending)."""
        data: list[NDArray[np.uint8]] = []
        lengths = np.insert(np.diff(self.offsets), before, [len(text.encode()) for text in texts])
        begin = 0
        for end, text in zip(self.offsets[before].tolist(), texts, strict=True):
            data += [self.data[begin:end], np.frombuffer(text.encode(), np.uint8)]
            begin = end
        data.append(self.data[begin:])
        return type(self)(np.concatenate(data), np.concatenate(([0], np.cumsum(lengths))).astype(np.int64))

    def texts(self, indices: Sequence[int] | NDArray[np.int64]) -> list[str]:
        """Return the texts of `indices`, in that order."""
        return [self.text(int(index)) for index in indices]


class Vocabulary(TextColumn):
    """Track ids by table row: row r >= NUM_SPECIALS is id r - NUM_SPECIALS in UTF-8 byte order."""

    @property
    def num_tracks(self) -> int:
        """V, the number of tracks (without special rows)."""
        return len(self)

    def track_id(self, row: int) -> str:
        """Return the id of table row `row` (NUM_SPECIALS <= row < V + NUM_SPECIALS)."""
        if not NUM_SPECIALS <= row < len(self) + NUM_SPECIALS:
            raise IndexError(f"row {row} is not a track row of a vocabulary of {len(self)} tracks")
        return self.text(row - NUM_SPECIALS)

    def row(self, track_id: str) -> int:
        """Return the table row of `track_id`, UNKNOWN if the vocabulary lacks it."""
        return self.rows([track_id])[0]

    def rows(self, track_ids: Iterable[str]) -> list[int]:
        """Return the table row of each id, UNKNOWN if the vocabulary lacks it."""
        wanted = [track_id.encode("utf-8", "surrogatepass") for track_id in track_ids]
        skipped, end = self._shared, self._shared + 8
        keys = np.array([int.from_bytes(each[skipped:end].ljust(8, b"\0")) for each in wanted], np.uint64)
        low, high = (np.searchsorted(self._keys, keys, side) for side in _SIDES)
        return [self._row(*each) for each in zip(wanted, low.tolist(), high.tolist(), strict=True)]

    def _row(self, wanted: bytes, low: int, high: int) -> int:
        """Return the row of an id whose index is in [low, high), else UNKNOWN."""
        if high - low > 1:
            low = bisect_left(range(len(self)), wanted, low, high, key=self.raw)
        return low + NUM_SPECIALS if low < high and self.raw(low) == wanted else UNKNOWN

    def places(self, track_ids: Iterable[str]) -> NDArray[np.int64]:
        """Return the number of tracks before each id, int64."""
        wanted = (track_id.encode("utf-8", "surrogatepass") for track_id in track_ids)
        return np.array([bisect_left(range(len(self)), each, key=self.raw) for each in wanted], np.int64)

    @cached_property
    def _shared(self) -> int:
        """Length of the prefix that all ids share: the common prefix of the first and the last."""
        if len(self) == 0:
            return 0
        first, last = self.raw(0), self.raw(len(self) - 1)
        differing = (index for index, (one, other) in enumerate(zip(first, last, strict=False)) if one != other)
        return next(differing, min(len(first), len(last)))

    @cached_property
    def _keys(self) -> NDArray[np.uint64]:
        """The eight bytes after the shared prefix of each id as a number, [V], ascending; zeros after an id's end.

        They are contiguous, so that a search reads little memory; full ids are compared only for equal keys.
        """
        keys = np.zeros(len(self), np.uint64)
        for first in range(0, len(self), _KEYS_AT_ONCE):  # few at once, to keep temporary arrays small
            part = slice(first, first + _KEYS_AT_ONCE)
            begin, end = self.offsets[:-1][part] + self._shared, self.offsets[1:][part]
            for byte in range(8):
                there = begin + byte < end
                value = self.data[np.where(there, begin + byte, 0)] if len(self.data) else np.uint8(0)
                keys[part] = keys[part] << np.uint64(8) | np.where(there, value, 0).astype(np.uint64)
        return keys


def _view(array: NDArray[Any], kind: Literal["B", "q"]) -> memoryview:
    """Return the memory of a flat array; reading one element is several times faster than through NumPy."""
    flat: Any = np.ascontiguousarray(array)  # NumPy's types do not declare the buffer protocol
    return memoryview(flat).cast("B").cast(kind)


def read_array(path: Path) -> NDArray[Any]:
    """Return the array of an .npy file, memory-mapped read-only (an empty one is in memory).

    Raises:
        FormatError: missing, truncated, or not a plain array.
    """
    try:
        mapped: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        return mapped
    except FileNotFoundError as error:
        raise FormatError(f"{path} is missing; prepare the store again") from error
    except (ValueError, OSError, EOFError) as error:
        try:  # a length-0 array cannot be mapped
            array: NDArray[Any] = np.load(path, allow_pickle=False)
        except (ValueError, OSError, EOFError):
            raise FormatError(f"{path} is damaged ({error}); prepare the store again") from error
        if len(array) == 0:
            return array
        raise FormatError(f"{path} is damaged ({error}); prepare the store again") from error
