"""What a listener listens to on the day after each training play: the targets of `targets = "next_day"`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from segue import columns, skips
from segue.axes import Float, Int
from segue.batches.listening_order import SECONDS_OF_A_DAY
from segue.batches.split import Split
from segue.errors import InputError
from segue.store import Store


@dataclass(frozen=True)
class LaterPlays:
    """Training plays that were listened to, and which of them are of the day after each row."""

    rows: Int[Tensor, " P"]
    """Their global rows, listener after listener, by time."""
    begin: Int[Tensor, " rows"]
    end: Int[Tensor, " rows"]
    """Range in `rows` of the day after each row of the store; empty after rows that do not train."""

    @classmethod
    def load(cls, store: Store, split: Split, gap_minutes: int, device: torch.device | str) -> LaterPlays:
        """Return the plays of the 24 hours that begin `gap_minutes` after each training row, of the same listener.

        Raises:
            InputError: the store has no listeners or no times.
        """
        if store.side_column(columns.AT) is None or store.side_column(columns.USER) is None:
            raise InputError(f"{store.path} does not say who listened when, which targets = 'next_day' needs")
        training, offsets = split.training_rows, np.asarray(store.offsets)
        user = np.asarray(store.side(columns.USER)).astype(np.int64)[np.searchsorted(offsets, training, "right") - 1]
        at = np.asarray(store.side(columns.AT))[training].astype(np.int64)
        at = at - at.min(initial=0)
        key = user * (int(at.max(initial=0)) + 2 * SECONDS_OF_A_DAY + 60 * gap_minutes + 1) + at
        listened = np.asarray(skips.listened(np.asarray(store.strength)[training], split.skip_at_least))
        order = np.argsort(key[listened], kind="stable")
        rows, keys = training[listened][order], key[listened][order]
        begin, end = np.zeros(store.num_rows, np.int64), np.zeros(store.num_rows, np.int64)
        first = key + 60 * gap_minutes
        begin[training] = np.searchsorted(keys, first)
        end[training] = np.searchsorted(keys, first + SECONDS_OF_A_DAY)
        return cls(*(torch.from_numpy(part).to(device) for part in (rows, begin, end)))

    def drawn(self, row: Int[Tensor, " N"], uniform: Float[Tensor, " N"]) -> Int[Tensor, " N"]:
        """Return one play of the day after each row, drawn uniformly; -1 where there is none."""
        begin, count = self.begin[row], self.end[row] - self.begin[row]
        if len(self.rows) == 0:
            return torch.full_like(row, -1)
        play_index = begin + (uniform * count).long().minimum(count - 1).clamp(min=0)
        return torch.where(count > 0, self.rows[play_index.clamp(max=len(self.rows) - 1)], -1)
