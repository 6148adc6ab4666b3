"""64-bit keys of session ids."""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from segue.hashing import FNV_OFFSET, FNV_PRIME, session_keys, splitmix64

_WIDEST: Final = 64
"""Ids of equal length up to this are hashed as a matrix of bytes."""


def packed(texts: pl.Series) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return `(bytes, offsets)` of a String column: its UTF-8, concatenated."""
    offsets = np.zeros(len(texts) + 1, np.int64)
    np.cumsum(texts.str.len_bytes().to_numpy(), out=offsets[1:])
    joined = texts.str.join("").item() if len(texts) else ""
    return np.frombuffer(joined.encode("utf-8"), np.uint8), offsets


def text_keys(texts: pl.Series) -> NDArray[np.uint64]:
    """Return the session key of each id of a String column without nulls; equal to `segue.hashing.session_keys`."""
    lengths = texts.str.len_bytes()
    width = lengths.max()
    if not isinstance(width, int) or width != lengths.min() or not 0 < width <= _WIDEST:
        return session_keys(*packed(texts))
    letters = texts.cast(pl.Binary).bin.reinterpret(dtype=pl.Array(pl.UInt8, width)).to_numpy()
    keys = np.full(len(letters), FNV_OFFSET, np.uint64)
    for letter in np.ascontiguousarray(letters.T):  # few long calls: threads contend for the lock in short ones
        np.bitwise_xor(keys, letter, out=keys)
        np.multiply(keys, FNV_PRIME, out=keys)
    return splitmix64(keys)


class SeenKeys:
    """The session keys so far, in sorted runs, each at least twice as long as the next.

    A look-up is a binary search in every run; a key is merged at most log2(files) times.
    """

    def __init__(self) -> None:
        self._runs: list[NDArray[np.uint64]] = []

    def contains(self, keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Return which of `keys` were added before; sorted keys are looked up several times as fast."""
        present = np.zeros(len(keys), np.bool_)
        for run in self._runs:
            present |= run[np.minimum(np.searchsorted(run, keys), len(run) - 1)] == keys
        return present

    def add(self, keys: NDArray[np.uint64]) -> None:
        """Add keys that were not added before."""
        fresh = np.sort(keys)
        while self._runs and len(self._runs[-1]) < 2 * len(fresh):
            fresh = np.sort(np.concatenate([self._runs.pop(), fresh]), kind="stable")  # merges two sorted runs
        if len(fresh):
            self._runs.append(fresh)
