"""What is known beside the tracks when the next one is asked for: hour, premium, context, shuffle, the last gap.

At input row r, the row r + 1 is asked for. Of that row a service knows the hour and whether the listener pays; of how
and where it will be played it knows nothing, and the model reads the last row's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segue import columns
from segue.axes import Int
from segue.config import nearest
from segue.errors import InputError
from segue.store import Store

GAP: Final = "gap"
SIZES: Final[Mapping[str, int]] = {
    columns.HOUR: 24,
    columns.PREMIUM: 2,
    columns.CONTEXT_TYPE: 32,
    columns.SHUFFLE: 2,
    GAP: 8,
}
"""Codes 0 .. size - 1 of each input by name; `size` itself stands for what is not known."""
ASKED: Final = (columns.HOUR, columns.PREMIUM)
"""Known of the row that is asked for; the others are those of the last row."""
GAPS_S: Final = (30, 60, 120, 240, 480, 900, 1800)
"""Upper bounds of the codes of a gap, the time between the starts of the last two rows, in seconds."""
DROP: Final = 0.1
"""Share of sessions of a batch of which training does not know an input, each by itself: later it may be unknown."""


def check_context(names: Sequence[str]) -> None:
    """Refuse names that are no inputs, and repeated ones (ValueError)."""
    for name in names:
        if name not in SIZES:
            raise ValueError(f"context: there is no input {name!r}{nearest(name, SIZES)}")
    if len(set(names)) < len(names):
        raise ValueError("context names an input twice")


def context_codes(store: Store, names: Sequence[str]) -> NDArray[np.uint8]:
    """Return the code of each input at each row, as it is known when the next row is asked for, uint8 [rows, C].

    Raises:
        InputError: the store lacks a column.
    """
    check_store(store, names)
    found = np.empty((store.num_rows, len(names)), np.uint8)
    last = np.zeros(store.num_rows, np.bool_)
    last[np.asarray(store.offsets[1:]) - 1] = True
    for place, name in enumerate(names):
        codes = _gaps(store) if name == GAP else _codes(store, name)
        if name in ASKED:  # of the row after; the last row of a session asks for none
            codes = np.where(last, SIZES[name], np.roll(codes, -1))
        found[:, place] = codes
    return found


def check_store(store: Store, names: Sequence[str]) -> None:
    """Refuse a store that lacks the column of an input (InputError)."""
    for name in names:
        if name == GAP and store.side_column(columns.AT) is None:
            raise InputError(f"{store.path} has no times, which data.context 'gap' needs; leave it out there")
        if name != GAP and store.side_column(name) is None:
            raise InputError(f"{store.path} has no column {name!r}, which data.context names; leave it out there")


def _codes(store: Store, name: str) -> NDArray[Any]:
    return np.minimum(np.asarray(store.side(name)).astype(np.int64), SIZES[name])


def _gaps(store: Store) -> NDArray[Any]:
    at = np.asarray(store.side(columns.AT)).astype(np.int64)
    codes = np.searchsorted(GAPS_S, np.diff(at, prepend=at[:1]), side="right")
    codes[np.asarray(store.offsets[:-1])] = SIZES[GAP]  # before a first row there is none
    return codes


def unknown_codes(names: Sequence[str], device: torch.device) -> Int[Tensor, " C"]:
    """Return the codes that say that nothing is known."""
    return torch.tensor([SIZES[name] for name in names], dtype=torch.int64, device=device)


def forgotten(context: Int[Tensor, "B W C"], drawn: Tensor, names: Sequence[str]) -> Int[Tensor, "B W C"]:
    """Return context with some inputs of some sessions unknown, by numbers drawn uniformly from [0, 1), [B, C]."""
    unknown = unknown_codes(names, context.device)
    return torch.where((drawn < DROP)[:, None, :], unknown.to(context.dtype), context)
