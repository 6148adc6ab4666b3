"""The self-attentive encoder that causal and cloze share: rows plus positions, blocks, prediction layer."""

from __future__ import annotations

from abc import ABC
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from segue.axes import Bool, Float, Int
from segue.columns import CONTEXT, EARLIER_FEEDBACK, EARLIER_TRACKS, POSITION_OFFSET
from segue.encoders.attention import PaddedAttention, visibility
from segue.encoders.blocks import Attend, Block, Picked, TransformerConfig
from segue.encoders.context import ContextInputs
from segue.encoders.dropout import dropout
from segue.encoders.earlier import EarlierInputs
from segue.encoders.encoder import HIDDEN, NUM_FEEDBACK, Encoder
from segue.encoders.positions import position_rows
from segue.session_batch import SessionBatch


class TransformerEncoder(Encoder, ABC):
    """Track row + learned position -> blocks -> Linear(D, D) + GELU = y_hat (Seshadri & Knees 2023, section 3.2).

    Where `config.feedback`, an embedding of how the track was heard is added to its row.
    """

    causal: ClassVar[bool]

    def __init__(self, config: TransformerConfig, num_tracks: int, max_len: int, *, sparse: bool) -> None:
        super().__init__(num_tracks, config.width, max_len, sparse=sparse)
        self.config = config
        self.positions = nn.Embedding(max_len, config.width)
        self.blocks = nn.ModuleList(Block(config, index) for index in range(config.blocks))
        self.final_norm = nn.LayerNorm(config.width) if config.norm == "pre" else nn.Identity()
        self.predict = nn.Linear(config.width, config.width)
        self.feedback = nn.Embedding(NUM_FEEDBACK, config.width) if config.feedback else None
        self.context: ContextInputs | None = None
        """Inputs beside the tracks; none unless somebody adds them, see `read`."""
        self.earlier: EarlierInputs | None = None
        """What it makes of earlier sessions; nothing unless somebody adds it, see `remember`."""
        self.inputs = frozenset({"feedback"} if config.feedback else ())

    def forward(self, batch: SessionBatch) -> Float[Tensor, "B L D"]:
        """Return y_hat [B, L, D]; rows at padding are finite and meaningless."""
        return self._amid_padding(batch) if self.config.padding == "visible" else self._states_of(batch)

    def state_at(self, batch: SessionBatch, place: Int[Tensor, " B"]) -> Float[Tensor, "B D"]:
        """Return y_hat of one position of each session: the last block works out no other."""

        def only(x: Tensor) -> Tensor:
            return x[torch.arange(x.shape[0], device=x.device), place]

        return only(self._amid_padding(batch)) if self.config.padding == "visible" else self._states_of(batch, only)

    def _states_of(self, batch: SessionBatch, only: Picked | None = None) -> Tensor:
        visible = visibility(batch.valid, causal=self.causal)
        attend = PaddedAttention(visible, self.config.heads, self.share)
        heard = self.heard(self.rows(batch.tracks), batch.feedback, batch.side.get(CONTEXT))
        if self.earlier is not None and EARLIER_TRACKS in batch.side:
            tracks = batch.side[EARLIER_TRACKS]
            before = self.earlier(self.rows(tracks), batch.side[EARLIER_FEEDBACK], tracks != 0)
            first = batch.valid & (batch.valid.long().cumsum(dim=1) == 1)
            heard = heard + first[:, :, None] * before[:, None, :]
        return self.states(heard, self._place(batch), attend, only)

    def read(self, context: ContextInputs) -> None:
        """Read these inputs too, from `side` of a batch."""
        self.context = context
        self.inputs |= frozenset(context.names)

    def remember(self, earlier: EarlierInputs) -> None:
        """Read earlier sessions of the listener too, from `side` of a batch, at the first position."""
        self.earlier = earlier
        self.inputs |= frozenset({EARLIER_TRACKS, EARLIER_FEEDBACK})

    def heard(
        self, rows: Float[Tensor, "*shape D"], feedback: Int[Tensor, "*shape"], context: Tensor | None = None
    ) -> Float[Tensor, "*shape D"]:
        """Return table rows with the embeddings of how their tracks were heard, and in what context.

        Only where the encoder reads either. `context` [*, C]: codes; None = nothing is known.
        """
        if self.feedback is not None:
            rows = rows + position_rows(self.feedback.weight, feedback)
        if self.context is not None:
            rows = rows + self.context(self.context.unknown(feedback) if context is None else context)
        return rows

    @property
    def share(self) -> float:
        """Share of values dropped now: none outside training."""
        return self.config.dropout if self.training else 0.0

    def states(
        self,
        rows: Float[Tensor, "*shape D"],
        place: Int[Tensor, "*shape"],
        attend: Attend,
        only: Picked | None = None,
    ) -> Float[Tensor, "*some D"]:
        """Return y_hat of inputs of any leading shape: their table rows, their position rows, who sees whom.

        With `only`, of the positions that it picks.
        """
        x = dropout(rows + position_rows(self.positions.weight, place), self.config.dropout, self.training)
        *former, last = self.blocks
        for block in former:
            x = block(x, attend)
        return functional.gelu(self.predict(self.final_norm(last(x, attend, only))))

    def _amid_padding(self, batch: SessionBatch) -> Float[Tensor, "B L D"]:
        """Return y_hat of sessions laid at the end of `max_len` places, PAD before them and seen as a track is.

        Tracks before a session's last `max_len` have no place, and states without meaning.
        """
        behind = batch.valid.flip(1).long().cumsum(dim=1).flip(1)  # 1 at the last valid track
        place = (self.max_len - behind).masked_fill(~batch.valid | (behind > self.max_len), self.max_len)
        laid = batch.tracks.new_zeros((len(place), self.max_len + 1)).scatter(1, place, batch.tracks)[:, :-1]
        nothing = torch.full_like(place[:, :1], HIDDEN).expand(-1, self.max_len + 1)
        feedback = nothing.scatter(1, place, batch.feedback)[:, :-1]
        everything = visibility(torch.ones_like(laid, dtype=torch.bool), causal=self.causal)
        column = torch.arange(self.max_len, device=laid.device).expand_as(laid)
        states = self.states(
            self.heard(self.rows(laid), feedback), column, PaddedAttention(everything, self.config.heads, self.share)
        )
        back = place.clamp(max=self.max_len - 1)[:, :, None]
        return states.gather(1, back.expand(-1, -1, states.shape[2]))

    def _place(self, batch: SessionBatch) -> Int[Tensor, "B L"]:
        """Return the position row of each track: 0 at the first valid one, plus the session's offset."""
        place = batch.valid.long().cumsum(dim=1) - 1
        offset = batch.side.get(POSITION_OFFSET)
        if offset is not None:
            place = place + offset[:, None]
        return place.clamp(0, self.max_len - 1)


def last_place(valid: Bool[Tensor, "B L"]) -> Int[Tensor, " B"]:
    """Return the index of each session's last valid position; 0 for an empty session."""
    length = valid.shape[1]
    backwards = valid.flip(1).long().argmax(dim=1)
    return (length - 1 - backwards) * valid.any(dim=1)


def most_recent(batch: SessionBatch, keep: int) -> SessionBatch:
    """Return the batch with only the last `keep` valid tracks of each session valid (columns stay)."""
    age = batch.valid.flip(1).long().cumsum(dim=1).flip(1)  # 1 at the last valid track
    return SessionBatch(batch.tracks, batch.feedback, batch.valid & (age <= keep), batch.side)
