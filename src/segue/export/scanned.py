"""The candidates' rows in 8 bits, in the order and the layout that a scan reads."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from segue.axes import Int
from segue.exported.folder import BLOCK

LARGEST: Final = 127
"""Values lie in [-127, 127], so that their negatives exist."""
_ROWS: Final = 1 << 16
"""Rows made at a time."""


def scan_order(table: NDArray[np.float32], candidates: Int[np.ndarray, " C"]) -> NDArray[np.int32]:
    """Return the table row of each column, whole blocks of BLOCK, 0 = padding (at the end), int32 [N].

    By falling largest absolute value: rows of one block share a scale, and lose least where they are alike in it.
    """
    largest = np.concatenate(
        [np.abs(table[part]).max(1) for part in np.array_split(candidates, len(candidates) // _ROWS + 1)]
    )
    columns = -(-len(candidates) // BLOCK) * BLOCK
    order = np.zeros(columns, np.int32)
    order[: len(candidates)] = candidates[np.argsort(-largest, kind="stable")]
    return order


def in_eight_bits(table: NDArray[np.float32], order: NDArray[np.int32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return int8 columns [D, N] and the scale of each block, float32 [N / BLOCK].

    A row is about scale * column, each value within scale / 2. A block of zeros has scale 1.
    """
    columns = np.empty((table.shape[1], len(order)), np.int8)
    scales = np.ones(len(order) // BLOCK, np.float32)
    for begin in range(0, len(order), _ROWS):  # _ROWS is a number of whole blocks
        part = slice(begin, min(begin + _ROWS, len(order)))
        rows = table[order[part]]
        rows[order[part] == 0] = 0.0
        largest = np.abs(rows).reshape(-1, BLOCK * table.shape[1]).max(1)
        scale = np.where(largest > 0, largest / LARGEST, 1.0).astype(np.float32)
        scales[part.start // BLOCK : part.stop // BLOCK] = scale
        columns[:, part] = np.rint(rows / np.repeat(scale, BLOCK)[:, None]).clip(-LARGEST, LARGEST).T
    return columns, scales
