"""The number of each session in its store, for what looks up more of a session than a batch holds."""

from __future__ import annotations

from typing import Final

from torch import Tensor

from segue.axes import Float, Int
from segue.batches.side_data import SideData

SESSION_NUMBER: Final = "session_number"
"""Name in `Batch.session_side`."""


class SessionNumbers(SideData):
    """The number of each session; no model reads it."""

    per_session = True
    num_draws = 0

    def gather(self, index: Int[Tensor, " n"]) -> Int[Tensor, " n"]:
        """Return `index`."""
        return index

    def hidden(self, values: Int[Tensor, " n"], uniform: Float[Tensor, "n K"]) -> Int[Tensor, " n"]:
        """Return `values`: nothing is hidden."""
        return values
