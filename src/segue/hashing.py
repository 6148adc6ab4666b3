"""64-bit integer hashes in NumPy, equal on every machine."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

FNV_OFFSET: Final = np.uint64(0xCBF29CE484222325)
FNV_PRIME: Final = np.uint64(0x100000001B3)
"""FNV-1a, 64 bits (Fowler, Noll, Vo; RFC 9923)."""
GOLDEN_GAMMA: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX_1: Final = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2: Final = np.uint64(0x94D049BB133111EB)


def splitmix64(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the SplitMix64 output for state `x` (Steele, Lea, Flood 2014): add gamma, then mix."""
    with np.errstate(over="ignore"):
        z = np.asarray(x, dtype=np.uint64) + GOLDEN_GAMMA
        z = (z ^ (z >> np.uint64(30))) * _MIX_1
        z = (z ^ (z >> np.uint64(27))) * _MIX_2
        return z ^ (z >> np.uint64(31))


def fnv1a64(data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return the 64-bit FNV-1a hash of each byte string `data[offsets[i]:offsets[i + 1]]`.

    Vectorised over strings: one pass per byte position.
    """
    starts, lengths = offsets[:-1], np.diff(offsets)
    order = np.argsort(-lengths, kind="stable")
    starts, lengths = starts[order], lengths[order]
    state = np.full(len(starts), FNV_OFFSET, dtype=np.uint64)
    alive = len(starts)
    with np.errstate(over="ignore"):
        for column in range(int(lengths[0]) if len(lengths) else 0):
            alive = int(np.searchsorted(-lengths[:alive], -column, side="left"))
            state[:alive] = (state[:alive] ^ data[starts[:alive] + column]) * FNV_PRIME
    result = np.empty_like(state)
    result[order] = state
    return result


def session_keys(data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return the session key of each UTF-8 id: FNV-1a, then splitmix64."""
    return splitmix64(fnv1a64(data, offsets))


def pack_text(texts: list[str]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return `(bytes, offsets)` of concatenated UTF-8 texts; offsets has one entry more than texts."""
    encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
    offsets = np.zeros(len(encoded) + 1, dtype=np.int64)
    np.cumsum([len(e) for e in encoded], out=offsets[1:])
    return np.frombuffer(b"".join(encoded), dtype=np.uint8), offsets
