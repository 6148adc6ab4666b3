"""What the training sessions nearest to a session hold (V-SKNN), mixed into the next-track softmax of a ranking.

An encoder that never saw a listener's tracks together knows little of what goes with them; the sessions that hold them
know. The model's score becomes

    log( mass of the encoder and of other heads + m p(t) ),

p(t) = share of t among the scores of V-SKNN (`vsknn_scores`) over tracks that the session has not heard, of which the
MOST best count. The mass m is the same for all sessions. Training ignores this head; m is chosen on validation targets,
and 0 if neighbours bring nothing there.

A session's own training part may be a neighbour, so that an evaluation ranks as a service does that replays the
session. As far as the encoder reads, that part holds heard tracks alone.

Source: Jannach & Ludewig 2017 mix neighbours with a recurrent network by a constant weight, too.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from segue.axes import Float
from segue.batch import Batch
from segue.batches.counts import TrainingCounts
from segue.config import Config, NotNegative
from segue.model.heads.head import Added, Head
from segue.neighbours.session_index import SessionIndex
from segue.neighbours.session_neighbours import MIXED, Shares, neighbour_shares
from segue.neighbours.sparse_scores import FlatSessions
from segue.store import NUM_SPECIALS

MOST_KEPT: Final = 2**25
"""Most shares kept in one `keeping`, 24 bytes each: those of 335,000 sessions."""


@dataclass(frozen=True)
class NeighboursConfig(Config):
    """A mixture with what the nearest training sessions hold."""


@dataclass(frozen=True)
class NeighboursWeights(Config):
    """The weight of neighbours in a ranking, which validation targets choose."""

    mass: NotNegative = 0.0
    """m, beside the sum of exp(score) over all tracks; 0 = neighbours are not looked for."""


class NeighboursHead(Head):
    """m p(t) of the tracks of the nearest training sessions; nothing of it is trained."""

    config_type = NeighboursConfig
    weights_type = NeighboursWeights
    tracks: Tensor
    offsets: Tensor

    def __init__(self, config: NeighboursConfig, width: int, counts: TrainingCounts) -> None:
        super().__init__(config, width, counts)
        self._num_rows = len(counts.plays)
        self._kept: dict[bytes, Shares] | None = None
        self._room = 0
        for name in ("tracks", "offsets"):
            self.register_buffer(name, getattr(counts, name))

    def check_weights(self) -> bool:
        """Return whether the sessions can be those of training rows: a file may hold anything."""
        tracks, offsets = self.tracks, self.offsets
        if len(offsets) == 0 or not bool(((tracks >= NUM_SPECIALS) & (tracks < self._num_rows)).all()):
            return False
        return bool(offsets[0] == 0 and offsets[-1] == len(tracks) and (offsets.diff() >= 0).all())

    @torch.no_grad()
    def added(self, states: Float[Tensor, "B D"], batch: Batch, table: Float[Tensor, "R D"]) -> Added | None:
        """Return log(m p(t)) of the best tracks of each session's neighbours; None where m is 0."""
        if self.ranking_weights.mass == 0.0:
            return None
        shares, log_mass = self._shares(batch), math.log(self.ranking_weights.mass)
        parts = shares.session, shares.track, shares.log_share + log_mass
        session, track, mass = (torch.from_numpy(part).to(states.device) for part in parts)
        return Added(session, track, mass)

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """Inside, keep the shares after the tracks of each batch: for several rankings of the same sessions."""
        self._kept, self._room = {}, MOST_KEPT
        try:
            yield
        finally:
            self._kept = None

    @cached_property
    def index(self) -> SessionIndex:
        """The training sessions by their tracks."""
        tracks, offsets = self.tracks.cpu().numpy().astype(np.int64), self.offsets.cpu().numpy()
        return SessionIndex.of(FlatSessions(tracks, offsets), self._num_rows, recent=MIXED.recent)

    def _shares(self, batch: Batch) -> Shares:
        offsets = batch.offsets.cpu().numpy().astype(np.int64)
        sessions = FlatSessions(batch.tracks.cpu().numpy()[: offsets[-1]].astype(np.int64), offsets)
        if self._kept is None:
            return neighbour_shares(self.index, sessions)
        key = blake2b(sessions.tracks.tobytes() + offsets.tobytes()).digest()
        if key in self._kept:
            return self._kept[key]
        shares = neighbour_shares(self.index, sessions)
        if len(shares.track) <= self._room:
            self._kept[key] = shares
            self._room -= len(shares.track)
        return shares

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *arguments: Any) -> None:
        """Make room for as many sessions as the weights have."""
        self.__dict__.pop("index", None)
        for name in ("tracks", "offsets"):
            saved = state_dict.get(f"{prefix}{name}")
            if isinstance(saved, Tensor) and saved.dim() == 1:
                setattr(self, name, torch.zeros_like(saved, device=self.tracks.device))
        super()._load_from_state_dict(state_dict, prefix, *arguments)
