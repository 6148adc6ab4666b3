"""The earlier sessions of a listener as an input: one vector, added at the first position of a session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from segue import columns, skips
from segue.axes import Bool, Float, Int
from segue.batch import Batch
from segue.batches.data import SessionData
from segue.batches.listener_past import ListenerRanges, listener_ranges
from segue.batches.side_data import SideData
from segue.batches.split import Split
from segue.config import Config, Count
from segue.errors import InputError
from segue.model.inputs.input import Input
from segue.model.small_table import small_table_rows
from segue.store import PAD, Store

NAME: Final = "earlier"
HIDDEN_SHARE: Final = 0.1
"""Share of the sessions of a batch whose earlier sessions training hides, so that new listeners can be served."""


@dataclass(frozen=True)
class EarlierConfig(Config):
    """Read what the listener heard in earlier sessions."""

    tracks: Count = 20
    """Most tracks of the training parts of the listener's earlier sessions, the most recent ones."""


class EarlierData(SideData):
    """For each session of a store, the training rows that its listener heard in sessions that began before."""

    per_session = True
    num_draws = 1

    def __init__(self, data: SessionData, before: ListenerRanges, num_tracks: int) -> None:
        self._num_tracks, device = num_tracks, data.tracks.device
        self._begin, self._end = (torch.from_numpy(part).to(device) for part in (before.begin, before.end))
        rows = torch.from_numpy(before.rows).to(device)
        tracks, feedback = data.input_row[data.tracks[rows].long()], data.feedback[rows]
        self._values = torch.stack([tracks.int(), feedback.int()], dim=1)

    def gather(self, index: Int[Tensor, " B"]) -> Int[Tensor, "B n 2"]:
        """Return the last tracks heard before sessions `index` and their feedback; PAD and hidden on the left."""
        row_index = self._end[index][:, None] - self._num_tracks + torch.arange(self._num_tracks, device=index.device)
        real = row_index >= self._begin[index][:, None]
        values = self._values[row_index.clamp(0, len(self._values) - 1)].long()
        return torch.where(real[:, :, None], values, self._nothing)

    @property
    def _nothing(self) -> Int[Tensor, " two"]:
        return torch.tensor([PAD, skips.FEEDBACK_HIDDEN], device=self._values.device)

    def hidden(self, values: Int[Tensor, "B n 2"], uniform: Float[Tensor, "B one"]) -> Int[Tensor, "B n 2"]:
        """Return the values with nothing heard earlier in some sessions."""
        return torch.where(uniform[:, :, None] < HIDDEN_SHARE, self._nothing, values)


class EarlierInput(Input):
    """A weighted mean of the earlier tracks, projected: their feedback and their age decide how much each weighs."""

    config_type = EarlierConfig
    reads_feedback = True

    def __init__(self, config: EarlierConfig, width: int) -> None:
        super().__init__(config, width)
        self.heard = nn.Parameter(torch.zeros(skips.NUM_FEEDBACK, width))
        self.weigh = nn.Parameter(torch.zeros(skips.NUM_FEEDBACK, 1))
        self.fade = nn.Parameter(torch.zeros(()))
        """How much log(1 + number of later tracks) lowers the log weight."""
        self.project = nn.Linear(width, width, bias=False)

    @classmethod
    def check_store(cls, config: EarlierConfig, store: Store) -> None:
        """Refuse a store that does not say who listened (InputError)."""
        if store.side_column(columns.USER) is None:
            raise InputError(
                f"{store.path} does not say who listened, which [inputs.earlier] needs: prepare the log with its user "
                "column, or leave the input out"
            )

    @classmethod
    def load(cls, config: EarlierConfig, store: Store, split: Split, device: torch.device | str) -> EarlierData:
        """Return the earlier tracks of `store`; held-out rows are never among them, whenever they were heard.

        Raises:
            InputError: the store has no listeners.
        """
        cls.check_store(config, store)
        return EarlierData(SessionData.load(store, split, device), listener_ranges(store, split), config.tracks)

    def tracks(self, batch: Batch) -> Int[Tensor, " n"] | None:
        """Return the earlier tracks of all sessions."""
        values = batch.session_side.get(NAME)
        return None if values is None else values[:, :, 0].flatten()

    def forward(self, rows: Tensor, feedback: Tensor, batch: Batch | None, looked_up: Tensor | None) -> Tensor:
        """Return the rows with the vector of each session added at its first position; 0 where nothing came earlier."""
        if batch is None or looked_up is None:
            return rows
        values = batch.session_side[NAME]
        vectors = self._vectors(looked_up.view(*values.shape[:2], -1), values[:, :, 1], values[:, :, 0] != PAD)
        session = batch.session.clamp(max=batch.num_sessions - 1)
        is_first = batch.offsets[session] == torch.arange(len(rows), device=rows.device)
        return rows + is_first[:, None] * vectors[session]

    def _vectors(
        self, rows: Float[Tensor, "B n D"], feedback: Int[Tensor, "B n"], real: Bool[Tensor, "B n"]
    ) -> Float[Tensor, "B D"]:
        age = torch.arange(rows.shape[1] - 1, -1, -1, device=rows.device)
        weight = small_table_rows(self.weigh, feedback)[:, :, 0] - self.fade * torch.log1p(age.float())
        share = torch.softmax(weight.masked_fill(~real, torch.finfo(weight.dtype).min), dim=1) * real
        mean = (share[:, :, None] * (rows + small_table_rows(self.heard, feedback))).sum(1)
        projected: Tensor = self.project(mean)
        return projected
