"""The abstract encoder: sessions in, one state a position out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from segue.axes import Float, Int
from segue.encoders.features import NUM_SPECIALS, TrackFeatures
from segue.session_batch import SessionBatch

HIDDEN = 5
"""Feedback code of what is masked, padded, or to be predicted."""
NUM_FEEDBACK = 6
"""Feedback codes: strength 0..3, 4 unknown, 5 hidden."""
INIT_BOUND = 0.02
"""Bound of the truncated normal (mean 0, sigma 1) that every parameter starts from (the paper)."""


@dataclass(frozen=True)
class BatchRows:
    """The rows of the track table that one training step touches, each once."""

    ids: Int[Tensor, " U"]
    """Table rows, ascending; PAD (0) first."""
    values: Float[Tensor, "U D"]
    """Their values: a leaf that collects gradients."""


class Encoder(nn.Module, ABC):
    """A session encoder tied to the track table `table` [V + 3, D]; score of track t = y_hat . table[t]."""

    masked: bool
    """True: trained on MASK positions (cloze); False: position i predicts the track at i + 1 (causal)."""
    inputs: frozenset[str]
    """What it reads of a batch beside tracks and valid: 'feedback' or names of `side`."""

    def __init__(self, num_tracks: int, width: int, max_len: int, *, sparse: bool) -> None:
        super().__init__()
        self.num_tracks, self.width, self.max_len = num_tracks, width, max_len
        self.table = nn.Embedding(num_tracks + NUM_SPECIALS, width, padding_idx=0, sparse=sparse)
        self.heads = nn.ModuleDict()
        """What is trained on top of the states, by name: none unless somebody adds it."""
        self.features: TrackFeatures | None = None
        """What the features of tracks add to their rows; none unless somebody adds it."""
        self._batch_rows: BatchRows | None = None
        self._given: Tensor | None = None

    @abstractmethod
    def forward(self, batch: SessionBatch) -> Float[Tensor, "B L D"]:
        """Return y_hat [B, L, D]; rows at padding are finite and meaningless."""

    @abstractmethod
    def next_state(self, batch: SessionBatch) -> Float[Tensor, "B D"]:
        """Return the state that scores the track after each session's last valid one (cloze: MASK appended).

        Sessions longer than the encoder holds keep their most recent tracks. An empty session gives a finite
        state (that of no context).
        """

    def rows(self, tracks: Int[Tensor, "*shape"]) -> Float[Tensor, "*shape D"]:
        """Return the table rows of `tracks`; inside `touching`, gathered from the rows of the step."""
        if self._given is not None:
            return functional.embedding(tracks, self._given)
        touched = self._batch_rows
        if touched is None:
            own: Tensor = self.table(tracks)
        else:
            place = torch.searchsorted(touched.ids, tracks.contiguous())
            own = functional.embedding(place, touched.values, padding_idx=0)
        if self.features is None:
            return own
        return own * self.features.kept(tracks) + self.features.projected(tracks)

    def ranked_rows(self) -> Float[Tensor, "R D"]:
        """Return the rows of all tracks as they are ranked, without gradient."""
        weight = self.table.weight.detach()
        return weight if self.features is None else self.features.whole(weight)

    def touched_ids(self, tracks: Int[Tensor, " N"]) -> Int[Tensor, " U"]:
        """Return the table rows of `tracks` and of the specials, ascending, each once."""
        specials = torch.arange(NUM_SPECIALS, device=tracks.device)
        ids: Tensor = torch.unique(torch.cat([specials, tracks]))
        return ids

    @contextmanager
    def touching(self, ids: Int[Tensor, " U"], values: Float[Tensor, "U D"]) -> Iterator[None]:
        """Let `rows` answer from `values`, the rows `ids` (as `touched_ids` gives them), and only from them.

        A step that reads a track in its input, as a target and as a negative then has one gradient for its row,
        dense over the rows touched, instead of three sparse ones over the table that must be merged.
        """
        self._batch_rows = BatchRows(ids, values)
        try:
            yield
        finally:
            self._batch_rows = None

    @contextmanager
    def given(self, values: Float[Tensor, "U D"]) -> Iterator[None]:
        """Let `rows` answer from `values` alone: `tracks` of a batch then name places in it, PAD, UNKNOWN, MASK first.

        `values` are rows as they are ranked. An encoder so states what it makes of rows without holding a table.
        """
        self._given = values
        try:
            yield
        finally:
            self._given = None

    def initialise(self, generator: torch.Generator) -> None:
        """Draw every parameter anew: truncated normal in [-0.02, 0.02], layer norms 1 and 0, PAD and UNKNOWN 0."""
        for module in self.modules():
            if isinstance(module, nn.LayerNorm):
                nn.init.ones_(module.weight)
                nn.init.zeros_(module.bias)
                continue
            for parameter in module.parameters(recurse=False):
                nn.init.trunc_normal_(parameter, 0.0, 1.0, -INIT_BOUND, INIT_BOUND, generator=generator)
        with torch.no_grad():
            self.table.weight[:2].zero_()
