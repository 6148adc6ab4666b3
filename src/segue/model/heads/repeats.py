"""What the listener played before, mixed into the next-track softmax: music is repeated over days and years.

Two kinds of mass come from the plays before the session: tracks that followed the last one, two and three tracks
there, and all tracks by how often and how lately they were played. With o_k(t) the share of what followed the last k
tracks that t is, and r(t) the share of t among all plays, each weighted by n^-0.5 if it was n plays ago,

    mass of t = sum over k of exp(g_k) o_k(t) + exp(g_0) r(t),
    g_k = w_k . state + a_k log(1 + times that the last k tracks were followed) + b_k,
    g_0 = w_0 . state + a_0 log(1 + number of plays) + b_0.

Nothing has to be left out in training, since only earlier plays count. Where no listener is known, it adds nothing.

Sources: base-level activation (Anderson & Schooler 1991) as PISA uses it for tracks (Tran et al. 2024), and the repeat
mode of RepeatNet (Ren et al. 2019). There one gate divides a probability; here masses are unnormalised, as in
`transitions`, and what followed is looked up as well.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import reduce
from typing import Final

import torch
from torch import Tensor, nn

from segue import columns
from segue.axes import Float, Int
from segue.batch import Batch
from segue.batches.counts import TrainingCounts
from segue.batches.listener_past import DECAY, ORDERS, PastOfTargets, PastPlays
from segue.batches.split import Split
from segue.config import Config, Finite
from segue.model.heads.head import Added, Head, Predicted
from segue.objectives import Mixture
from segue.store import PAD, Store

NAME: Final = "repeats"
NOTHING: Final = -1e30
"""Log of no mass: finite, so that its gradient is 0 and no NaN."""
MOST_PLAYS: Final = 1_000
"""Most plays before a session that are read, the last ones."""


@dataclass(frozen=True)
class RepeatsConfig(Config):
    """A mixture with what the listener played before the session."""


@dataclass(frozen=True)
class RepeatsWeights(Config):
    """The weight of earlier plays in a ranking, which validation targets choose."""

    offset: Finite = 0.0
    """Added to every gate."""


class RepeatsHead(Head):
    """Gates of what followed the last 1, 2, ... tracks, and of all plays; see the module."""

    config_type = RepeatsConfig
    weights_type = RepeatsWeights

    def __init__(self, config: RepeatsConfig, width: int, counts: TrainingCounts) -> None:
        super().__init__(config, width, counts)
        self.gate = nn.Linear(width, ORDERS + 1)
        self.reliability = nn.Parameter(torch.zeros(ORDERS + 1))

    @classmethod
    def load(cls, config: RepeatsConfig, store: Store, split: Split, device: torch.device | str) -> PastPlays | None:
        """Return the plays before each session; None for a store without listeners."""
        return PastPlays(store, split, MOST_PLAYS, device) if _has_listeners(store) else None

    @classmethod
    def load_targets(
        cls, config: RepeatsConfig, store: Store, split: Split, device: torch.device | str
    ) -> PastOfTargets | None:
        """Return what they say of each target; None for a store without listeners."""
        return PastOfTargets(store, split, MOST_PLAYS, device) if _has_listeners(store) else None

    @torch.no_grad()
    def initialise(self, num_tracks: int) -> None:
        """Begin where all distributions weigh about the same: scores are near 0, so all tracks sum to their number."""
        self.gate.weight.zero_()
        self.gate.bias.fill_(math.log(max(num_tracks, 1)))
        self.reliability.zero_()

    def gate_logits(self, states: Float[Tensor, "N D"], times: Float[Tensor, "N O"]) -> Float[Tensor, "N O"]:
        """Return g of each order, then of all plays. `times`: how often it was followed; number of plays."""
        logits: Tensor = self.gate(states) + self.reliability * torch.log1p(times)
        return logits

    def mixture(self, predicted: Predicted) -> Mixture | None:
        """Return gate and log share of training targets."""
        facts = predicted.target_side.get(NAME)
        if facts is None:
            return None
        times = torch.cat([facts[:, :ORDERS], facts[:, -2:-1]], 1)
        shares = torch.cat([facts[:, ORDERS : 2 * ORDERS] / facts[:, :ORDERS].clamp(min=1), facts[:, -1:]], 1)
        real = (predicted.target > 0)[:, None] & (times > 0)
        gates = torch.where(real, self.gate_logits(predicted.states, times), NOTHING)
        log_shares = torch.where(real & (shares > 0), torch.log(shares.clamp(min=1e-30)), NOTHING)
        return reduce(Mixture.beside, (Mixture(gates[:, part], log_shares[:, part]) for part in range(ORDERS + 1)))

    @torch.no_grad()
    def added(self, states: Float[Tensor, "B D"], batch: Batch, table: Float[Tensor, "R D"]) -> Added | None:
        """Return the mass of what followed the last tracks, and of every play; a track may occur many times."""
        past = batch.session_side.get(NAME)
        if past is None or past.shape[1] == 0:
            return None
        plays, goes_on = past[:, :, 0].long(), past[:, :, 1] > 0
        matches = self._followed(batch, plays, goes_on)
        num = (plays != PAD).sum(1)
        times = torch.stack([*(match.sum(1) for match in matches), num], 1).float()
        gates = self.gate_logits(states.float(), times).double() + self.ranking_weights.offset
        parts = []
        for order, match in enumerate(matches):
            session, play_index = torch.nonzero(match, as_tuple=True)
            log_share = -torch.log(times[session, order].double())
            parts.append((session, plays[session, play_index + 1], gates[session, order] + log_share))
        session, play_index = torch.nonzero(plays != PAD, as_tuple=True)
        age = (plays.shape[1] - play_index).double()
        whole = torch.arange(1, plays.shape[1] + 1, device=plays.device).double().pow(-DECAY).cumsum(0)
        log_share = -DECAY * torch.log(age) - torch.log(whole[num[session] - 1])
        parts.append((session, plays[session, play_index], gates[session, ORDERS] + log_share))
        session, tracks, log_mass = (torch.cat(part) for part in zip(*parts, strict=True))
        return Added(session, tracks, log_mass)

    def _followed(self, batch: Batch, plays: Int[Tensor, "B H"], goes_on: Tensor) -> list[Tensor]:
        """Return at which plays the last 1, 2, ... tracks of each session end and are followed, bool [B, H] each."""
        match, matches = goes_on, list[Tensor]()
        for order in range(1, ORDERS + 1):
            index = batch.last - order + 1
            track = torch.where(batch.lengths >= order, batch.tracks[index.clamp(min=0)], -1)
            match = match & _moved(plays == track[:, None], order - 1)
            if order > 1:
                match = match & _moved(goes_on, order - 1)
            matches.append(match)
        return matches


def _moved(values: Tensor, places: int) -> Tensor:
    """Return what stands `places` before each cell, False before the first."""
    return values if places == 0 else torch.nn.functional.pad(values[:, :-places], (places, 0))


def _has_listeners(store: Store) -> bool:
    return store.side_column(columns.USER) is not None
