"""The transformer that the causal and the cloze encoder share: rows plus positions, blocks, prediction layer."""

from __future__ import annotations

from abc import ABC
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from segue import skips
from segue.axes import Bool, Float, Int
from segue.batch import Batch
from segue.model.encoders.attention import AttentionConfig, PaddedAttention, attention_of, visibility
from segue.model.encoders.blocks import Attend, Block, Picked, TransformerConfig
from segue.model.encoders.dropout import dropout
from segue.model.encoders.encoder import Encoder, Parts
from segue.model.encoders.history_attention import ContinuedAttention, history_attention_of
from segue.model.small_table import small_table_rows


class TransformerEncoder(Encoder, ABC):
    """Track row + inputs + learned position -> blocks -> Linear(D, D) + GELU = y_hat.

    Source: Seshadri & Knees 2023, section 3.2. The last layer is an option: GELU has hardly any negative values, so
    that a state cannot point away from a track.
    """

    causal: ClassVar[bool]
    reads_inputs = True

    def __init__(self, config: TransformerConfig, parts: Parts) -> None:
        super().__init__(config.width, parts)
        self.config = config
        self.positions = nn.Embedding(parts.max_len, config.width)
        self.blocks = nn.ModuleList(Block(config, index) for index in range(config.blocks))
        self.final_norm = nn.LayerNorm(config.width) if config.block_type != "post_norm" else nn.Identity()
        self.predict = nn.Linear(config.width, config.width) if config.prediction_layer else None

    @property
    def sees_padding(self) -> bool:
        """Whether padding is attended to as a track is."""
        return self.config.position == "padded"

    def attention(self, batch: Batch) -> Attend | None:
        """Return the attention among the positions that `batch` reads; None where padding is seen."""
        if self.reads_histories:
            sequences = batch if batch.history is None else batch.history.sequences
            return history_attention_of(sequences, self.config.heads, self.width // self.config.heads)
        return None if self.sees_padding else attention_of(batch, self._attention_config, self.width, len(self.blocks))

    def states_with(self, batch: Batch, rows: Float[Tensor, "P D"], attend: Attend | None) -> Float[Tensor, "N D"]:
        """Return y_hat at each position with a given attention. `rows`: the table rows of `looked_up(batch)`."""
        if attend is None:
            source, inside = batch.cells
            states = self.padded_states(rows[source], batch.padded.feedback, inside)
            return states.flatten(0, 1).index_select(0, batch.slot)
        return self._states(batch, rows, attend, None)

    def _states(
        self, batch: Batch, rows: Float[Tensor, "P D"], attend: Attend, index: Int[Tensor, " B"] | None
    ) -> Float[Tensor, "n D"]:
        """Return y_hat at each position, or at positions `index`."""
        read, history = batch, self.history_of(batch)
        if history is not None:
            read, place = history.sequences, history.place
            rows, index = rows[len(batch.tracks) :], place if index is None else place[index]
        only = None if index is None else lambda x: x[index]
        return self.encode(self.with_inputs(read, rows), read.position, attend, only)

    def with_inputs(self, batch: Batch, rows: Float[Tensor, "N D"]) -> Float[Tensor, "N D"]:
        """Return the rows of the positions with what the inputs add."""
        for part in self.each_input:
            rows = part(rows, batch.feedback, batch)
        return rows

    def encode(
        self,
        x: Float[Tensor, "*shape D"],
        position: Int[Tensor, "*shape"],
        attend: Attend,
        only: Picked | None = None,
    ) -> Float[Tensor, "*some D"]:
        """Return y_hat of positions of any leading shape, or of those that `only` picks.

        `x`: their rows with inputs; `position`: their rows of the learned positions.
        """
        x = dropout(x + small_table_rows(self.positions.weight, position), self.config.dropout, self.training)
        *former, last = self.blocks
        for block in former:
            x = block(x, attend)
        state = self.final_norm(last(x, attend, only))
        return self.scaled(state if self.predict is None else functional.gelu(self.predict(state)))

    def state_at(self, batch: Batch, index: Int[Tensor, " B"]) -> Float[Tensor, "B D"]:
        """Return y_hat at positions `index`: the last block computes no other."""
        attend = self.attention(batch)
        if attend is None:
            return super().state_at(batch, index)
        return self._states(batch, self.rows(self.looked_up(batch)), attend, index)

    def padded_states(
        self, rows: Float[Tensor, "B L D"], feedback: Int[Tensor, "B L"], valid: Bool[Tensor, "B L"]
    ) -> Float[Tensor, "B L D"]:
        """Return y_hat of sessions padded on the right, inputs beside feedback unknown."""
        column = None
        if self.sees_padding:
            rows, feedback, column = _at_the_end(rows, feedback, valid, self.max_len)
            valid = torch.ones_like(feedback, dtype=torch.bool)
        for part in self.each_input:
            rows = part(rows, feedback, None)
        position = (valid.long().cumsum(dim=1) - 1).clamp(0, self.max_len - 1)
        attend = PaddedAttention(visibility(valid, causal=self.causal), self._attention_config)
        states = self.encode(rows, position, attend)
        return states if column is None else states.gather(1, column[:, :, None].expand(-1, -1, states.shape[2]))

    def continued_state(
        self, rows: Float[Tensor, "B L D"], feedback: Int[Tensor, "B L"], position: Int[Tensor, "B L"],
        past: ContinuedAttention,
    ) -> tuple[Float[Tensor, "B D"], Float[Tensor, "B K L E"]]:  # fmt: skip
        """Return y_hat at the last of L places after `past`, and the keys and values of all L: the form of an export.

        Inputs beside feedback are unknown.
        """
        for part in self.each_input:
            rows = part(rows, feedback, None)
        number = torch.arange(rows.shape[0], device=rows.device)
        last = (past.valid.sum(1) - 1).clamp(min=0)
        state = self.encode(rows, position, past, lambda x: x[number, last])
        return state, torch.stack(past.added, 1)

    @property
    def _attention_config(self) -> AttentionConfig:
        return AttentionConfig(self.config.heads, self.causal, self.config.dropout if self.training else 0.0)


def _at_the_end(rows: Tensor, feedback: Tensor, valid: Tensor, max_len: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return rows and feedback of padded sessions at the end of `max_len` columns, and the column of each position.

    Zero rows of hidden feedback stand before them. Tracks before a session's last `max_len` have no column of their
    own, and states without meaning.
    """
    age = valid.flip(1).long().cumsum(dim=1).flip(1)  # 1 at the last valid track
    column = (max_len - age).masked_fill(~valid | (age > max_len), max_len)
    wide = column[:, :, None].expand(-1, -1, rows.shape[2])
    laid = rows.new_zeros((rows.shape[0], max_len + 1, rows.shape[2])).scatter(1, wide, rows)[:, :-1]
    hidden = torch.full_like(column[:, :1], skips.FEEDBACK_HIDDEN).expand(-1, max_len + 1)
    heard = hidden.scatter(1, column, feedback.long())[:, :-1]
    return laid, heard, column.clamp(max=max_len - 1)
