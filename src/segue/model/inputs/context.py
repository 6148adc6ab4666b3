"""Columns of the log as an input: hour, premium, context type, shuffle, and what the last track came after.

The position of row r predicts the track of row r + 1. A service knows the hour of row r + 1 and whether the listener
pays; it does not know how that track will be played, so of these columns the model reads row r.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from segue import columns
from segue.axes import Float, Int, UInt8
from segue.batch import Batch
from segue.batches.earlier_plays import seconds_since_play, times_played
from segue.batches.side_data import SideData
from segue.batches.split import Split
from segue.errors import InputError
from segue.model.inputs.input import Input
from segue.model.small_table import small_table_rows
from segue.store import Store

NAME: Final = "context"
GAP: Final = "gap"
LISTENER_GAP: Final = "listener_gap"
TIMES_PLAYED: Final = "times_played"
SIZES: Final[Mapping[str, int]] = {
    columns.HOUR: 24,
    columns.PREMIUM: 2,
    columns.CONTEXT_TYPE: 32,
    columns.SHUFFLE: 2,
    GAP: 8,
    LISTENER_GAP: 26,
    TIMES_PLAYED: 16,
}
"""Codes 0 .. size - 1 of each column; the code `size` stands for unknown."""
OF_NEXT_ROW: Final = (columns.HOUR, columns.PREMIUM)
"""Columns that are known of the row to be predicted; the others are read from the last row."""
GAPS_S: Final = (30, 60, 120, 240, 480, 900, 1800)
"""Upper bounds of the codes of a gap, the time between the starts of the last two rows, in seconds."""
NEEDS: Final[Mapping[str, tuple[str, ...]]] = {
    GAP: (columns.AT,),
    LISTENER_GAP: (columns.AT, columns.USER),
    TIMES_PLAYED: (columns.USER,),
}
"""Columns of a store from which others are made."""
_SAID: Final = {columns.AT: "times", columns.USER: "listeners"}
HIDDEN_SHARE: Final = 0.1
"""Share of the sessions and histories of a batch in which training hides a column, each by itself: serving may."""


@dataclass(frozen=True)
class ContextConfig:
    """Read columns of the log beside each track."""

    columns: tuple[
        Literal["hour", "premium", "context_type", "shuffle", "gap", "listener_gap", "times_played"], ...
    ] = ()
    """Names of the columns: hour, premium, context_type, shuffle, gap (seconds between the starts of the last two
    tracks of the session), listener_gap (the same across the sessions of a listener), times_played (how often the
    listener had played the last track before)."""

    def __post_init__(self) -> None:
        if not self.columns or len(set(self.columns)) < len(self.columns):
            raise ValueError(f"columns must name at least one of {', '.join(SIZES)}, and none twice")


class ContextData(SideData):
    """Codes of each column at each row of a store."""

    per_session = False

    def __init__(self, codes: UInt8[Tensor, "rows C"], names: Sequence[str]) -> None:
        self.num_draws = len(names)
        self._codes = codes
        self._unknown = torch.tensor([SIZES[name] for name in names], device=codes.device)

    def gather(self, index: Int[Tensor, " n"]) -> Int[Tensor, "n C"]:
        """Return the codes of rows `index`."""
        return self._codes[index].long()

    def hidden(self, values: Int[Tensor, "n C"], uniform: Float[Tensor, "n C"]) -> Int[Tensor, "n C"]:
        """Return codes with some columns of some sessions unknown."""
        return torch.where(uniform < HIDDEN_SHARE, self._unknown, values)


class ContextInput(Input):
    """row of the track + the sum of the embeddings of C codes."""

    config_type = ContextConfig

    def __init__(self, config: ContextConfig, width: int) -> None:
        super().__init__(config, width)
        self.tables = nn.ParameterList(torch.zeros(SIZES[name] + 1, width) for name in config.columns)

    @classmethod
    def check_store(cls, config: ContextConfig, store: Store) -> None:
        """Refuse a store that lacks a column (InputError)."""
        for name in config.columns:
            for needed in NEEDS.get(name, (name,)):
                if store.side_column(needed) is None:
                    lacking = (
                        f"{_SAID[needed]}, which the column {name!r} needs" if name in NEEDS else f"column {name!r}"
                    )
                    raise InputError(f"{store.path} has no {lacking}: leave {name!r} out of inputs.context.columns")

    @classmethod
    def load(cls, config: ContextConfig, store: Store, split: Split, device: torch.device | str) -> ContextData:
        """Return the codes of `store`.

        Raises:
            InputError: the store lacks a column.
        """
        return ContextData(torch.from_numpy(context_codes(store, split, config)).to(device), config.columns)

    def forward(self, rows: Tensor, feedback: Tensor, batch: Batch | None) -> Tensor:
        """Return the rows with the embeddings of their context, which is unknown where the batch has none."""
        codes = None if batch is None else batch.side.get(NAME)
        if codes is None:
            unknown = torch.tensor([len(table) - 1 for table in self.tables], device=rows.device)
            codes = unknown.expand(*feedback.shape, -1)
        parts = [small_table_rows(table, codes[..., column]) for column, table in enumerate(self.tables)]
        return rows + torch.stack(parts).sum(0)


def context_codes(store: Store, split: Split, config: ContextConfig) -> NDArray[np.uint8]:
    """Return the code of each column at each row, as it is known when the next row is to be predicted, [rows, C].

    Raises:
        InputError: the store lacks a column.
    """
    ContextInput.check_store(config, store)
    result = np.empty((store.num_rows, len(config.columns)), np.uint8)
    is_last = np.zeros(store.num_rows, np.bool_)
    is_last[np.asarray(store.offsets[1:]) - 1] = True
    for column, name in enumerate(config.columns):
        codes = _codes(store, split, name)
        if name in OF_NEXT_ROW:  # the last row of a session predicts nothing
            codes = np.where(is_last, SIZES[name], np.roll(codes, -1))
        result[:, column] = codes
    return result


def _codes(store: Store, split: Split, name: str) -> NDArray[Any]:
    if name == GAP:
        return _gaps(store)
    if name == LISTENER_GAP:
        seconds = seconds_since_play(store, split)
        return np.where(seconds < 0, SIZES[name], _power_of_two(seconds, SIZES[name]))
    if name == TIMES_PLAYED:
        return _power_of_two(times_played(store, split), SIZES[name])
    return np.minimum(np.asarray(store.side(name)).astype(np.int64), SIZES[name])


def _power_of_two(values: NDArray[Any], size: int) -> NDArray[np.uint8]:
    """Return 0 for 0, and code k for 2**(k - 1) to 2**k - 1; the last code, `size` - 1, has no upper bound."""
    return np.searchsorted(2 ** np.arange(size - 1), values, side="right").astype(np.uint8)


def _gaps(store: Store) -> NDArray[Any]:
    at = np.asarray(store.side(columns.AT)).astype(np.int64)
    codes = np.searchsorted(GAPS_S, np.diff(at, prepend=at[:1]), side="right")
    codes[np.asarray(store.offsets[:-1])] = SIZES[GAP]  # no gap before the first row of a session
    return codes
