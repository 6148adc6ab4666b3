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
