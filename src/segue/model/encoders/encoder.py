"""The abstract encoder: sessions in, one state a position out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Final

import torch
from torch import Tensor, nn

from segue.axes import Bool, Float, Int
from segue.batch import Batch, History
from segue.model.encoders.blocks import Attend
from segue.model.heads.head import Head
from segue.model.inputs.input import Input
from segue.store import NUM_SPECIALS, UNKNOWN

INIT_BOUND: Final = 0.02
"""Bound of the truncated normal (mean 0, sigma 1) that every parameter starts from (the paper)."""
SHORTEST: Final = 1e-8
"""Length below which a row keeps its direction and stays shorter than 1."""


@dataclass(frozen=True)
class Parts:
    """What every encoder is built of, beside its own layers."""

    num_tracks: int
    """V."""
    max_len: int
    """Most positions of a session that the encoder reads."""
    inputs: Mapping[str, Input] = field(default_factory=dict)
    """What it reads beside the tracks, by name."""
    heads: Mapping[str, Head] = field(default_factory=dict)
    """What is trained on top of its states, by name."""
    sparse: bool = True
    """Whether gradients of the track table touch only the rows used (never with the full softmax)."""
    temperature: float = 0.0
    """tau of a cosine; 0 = plain dot products: see `Encoder`."""
    reads_histories: bool = False
    """Whether it reads what the listener played before a session."""
    untrained: Bool[Tensor, " R"] | None = None
    """Tracks that may be ranked without a training row: they are read as UNKNOWN, and only heads give them mass."""


class Encoder(nn.Module, ABC):
    """A session encoder tied to the track table `table` [V + 3, D]; score of track t = y_hat . row of t.

    With a temperature tau, rows have length 1 wherever they are read or ranked, and states have length 1 / tau, so that
    a score is cosine / tau: a track does not rank high only because its row is long.
    """

    masked: ClassVar[bool]
    """True: trained on MASK positions (cloze); False: position i predicts the track at i + 1 (causal)."""
    reads_inputs: ClassVar[bool] = False
    """Whether it can read inputs of each position or session beside the tracks."""

    def __init__(self, width: int, parts: Parts) -> None:
        super().__init__()
        self.num_tracks, self.width, self.max_len = parts.num_tracks, width, parts.max_len
        self.table = nn.Embedding(parts.num_tracks + NUM_SPECIALS, width, padding_idx=0)
        self.sparse, self.temperature, self.reads_histories = parts.sparse, parts.temperature, parts.reads_histories
        self.inputs = nn.ModuleDict(parts.inputs)
        self.heads = nn.ModuleDict(parts.heads)
        self.untrained: Tensor | None
        self.register_buffer("untrained", parts.untrained)

    @abstractmethod
    def states_with(self, batch: Batch, rows: Float[Tensor, "P D"], attend: Attend | None) -> Float[Tensor, "N D"]:
        """Return y_hat at each position: the part of an encoder that a GPU step compiles.

        `rows`: the table rows of `looked_up(batch)`; `attend`: the attention of the batch.
        """

    @abstractmethod
    def padded_states(
        self, rows: Float[Tensor, "B L D"], feedback: Int[Tensor, "B L"], valid: Bool[Tensor, "B L"]
    ) -> Float[Tensor, "B L D"]:
        """Return y_hat of sessions padded on the right whose table rows are given, inputs beside feedback unknown."""

    def attention(self, batch: Batch) -> Attend | None:
        """Return what `states_with` needs of a batch beside rows; its random numbers are drawn here."""
        return None

    def forward(self, batch: Batch) -> Float[Tensor, "N D"]:
        """Return y_hat at each position; after the last session the values are finite and have no meaning."""
        return self.states_with(batch, self.rows(self.looked_up(batch)), self.attention(batch))

    def state_at(self, batch: Batch, index: Int[Tensor, " B"]) -> Float[Tensor, "B D"]:
        """Return y_hat at positions `index`."""
        states: Tensor = self(batch)
        return states[index]

    def next_state(self, batch: Batch) -> Float[Tensor, "B D"]:
        """Return the state that scores the track after each session's last position (cloze: MASK appended).

        Sessions longer than the encoder holds keep their most recent tracks. A session whose only position is PAD has
        a finite state.
        """
        recent = batch.recent(self.max_len)
        return self.state_at(recent, recent.last)

    def padded_next_state(
        self,
        rows: Float[Tensor, "B L D"],
        feedback: Int[Tensor, "B L"],
        valid: Bool[Tensor, "B L"],
        mask_row: Float[Tensor, " D"],
    ) -> Float[Tensor, "B D"]:
        """Return `next_state` of padded sessions whose rows are given: the form that is exported.

        Padding stands on the right, at most `max_len` tracks are valid, and inputs beside feedback are unknown.
        `mask_row`: the table row of MASK, for cloze.
        """
        states = self.padded_states(rows, feedback, valid)
        return states[torch.arange(states.shape[0], device=states.device), (valid.sum(dim=1) - 1).clamp(min=0)]

    def looked_up(self, batch: Batch) -> Int[Tensor, " P"]:
        """Return the tracks whose table rows the encoder reads: those of the positions, then those of histories."""
        history = self.history_of(batch)
        tracks = batch.tracks if history is None else torch.cat([batch.tracks, history.sequences.tracks])
        return tracks if self.untrained is None else tracks.masked_fill(self.untrained[tracks.long()], UNKNOWN)

    def history_of(self, batch: Batch) -> History | None:
        """Return what the encoder reads in place of the sessions; None where it reads those."""
        return batch.history if self.reads_histories else None

    @property
    def score_temperature(self) -> float:
        """T, the factor of the encoder's scores in a ranking, chosen on validation with the weights of transitions."""
        transitions = dict(self.heads.items()).get("transitions")
        return float(transitions.ranking_weights.temperature) if isinstance(transitions, Head) else 1.0

    @property
    def each_input(self) -> list[Input]:
        """The inputs in the order of their registry."""
        return [part for part in self.inputs.values() if isinstance(part, Input)]

    @property
    def reads_feedback(self) -> bool:
        """Whether the feedback of a track can change a state."""
        return any(part.reads_feedback for part in self.each_input)

    def rows(self, tracks: Int[Tensor, "*shape"]) -> Float[Tensor, "*shape D"]:
        """Return the rows of `tracks`: those of the table, with what inputs make of them."""
        table_rows: Tensor = self.table(tracks.long())
        return self.track_rows(table_rows, tracks)

    def track_rows(
        self, table_rows: Float[Tensor, "*shape D"], tracks: Int[Tensor, "*shape"], key: Tensor | None = None
    ) -> Float[Tensor, "*shape D"]:
        """Return what inputs make of the rows of the table of `tracks`. `key`: see `Input.track_rows`."""
        for part in self.each_input:
            table_rows = part.track_rows(table_rows, tracks, key)
        return unit(table_rows) if self.temperature > 0.0 else table_rows

    def scaled(self, states: Float[Tensor, "*shape D"]) -> Float[Tensor, "*shape D"]:
        """Return states of length 1 / temperature, if there is one: the last step of every encoder."""
        return unit(states.float()) / self.temperature if self.temperature > 0.0 else states

    @torch.no_grad()
    def ranked_rows(self) -> Float[Tensor, "R D"]:
        """Return the rows of all tracks as they are ranked, without gradient."""
        weight = self.table.weight.detach()
        for part in self.each_input:
            weight = part.all_rows(weight)
        if self.untrained is not None:
            weight = torch.where(self.untrained[:, None], weight[UNKNOWN], weight)
        return unit(weight) if self.temperature > 0.0 else weight

    def initialise(self, generator: torch.Generator) -> None:
        """Draw every parameter anew: truncated normal in [-0.02, 0.02], layer norms 1 and 0, PAD and UNKNOWN 0.

        Where rows have length 1, UNKNOWN is drawn as well: a row of zeros has no direction.
        """
        parts = [*self.inputs.modules(), *self.heads.modules()]
        for module in [*(module for module in self.modules() if module not in parts), *parts]:
            if isinstance(module, nn.LayerNorm):
                module.reset_parameters()
                continue
            for parameter in module.parameters(recurse=False):
                nn.init.trunc_normal_(parameter, 0.0, 1.0, -INIT_BOUND, INIT_BOUND, generator=generator)
        with torch.no_grad():
            self.table.weight[: 2 if self.temperature == 0.0 else 1].zero_()
        for head in self.heads.values():
            if isinstance(head, Head):
                head.initialise(self.num_tracks)


def unit(rows: Float[Tensor, "*shape D"]) -> Float[Tensor, "*shape D"]:
    """Return rows of length 1; those of zeros stay zeros."""
    length: Tensor = torch.linalg.vector_norm(rows, dim=-1, keepdim=True)
    return rows / length.clamp(min=SHORTEST)
