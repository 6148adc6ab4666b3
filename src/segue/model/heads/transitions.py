"""What followed the last track in training, mixed into the next-track softmax in one model.

An encoder forgets rare transitions; a table of counts remembers them and knows nothing else. Let s(t) be the
encoder's score of track t, p(t | l) the share of the plays of the last track l that t followed, and h a gate that the
state decides on. The model's score is

    m(t) = log( exp s(t) + exp(h) p(t | l) ),

so that softmax(m) is a mixture of both distributions. In training p is counted without the very transition that is to
be predicted (leave-one-out): it would otherwise always be there.

Mixtures of a neural distribution and one of counts are as old as cache models (Grave, Joulin & Usunier 2017); ours
takes the log of an unnormalised gate instead of a share, so that ranking needs no sum over all tracks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final, Literal

import torch
from torch import Tensor, nn

from segue.axes import Float, Int
from segue.batch import Batch
from segue.batches.counts import TrainingCounts
from segue.config import Config, Finite, NotNegative, Positive
from segue.model.heads.head import Added, Head, Predicted
from segue.objectives import Mixture

NOTHING: Final = -1e30
"""Log of no mass: finite, so that its gradient is 0 and no NaN."""


@dataclass(frozen=True)
class TransitionsConfig(Config):
    """A mixture with first-order transitions."""

    gradient: Literal["stop", "flow"] = "flow"
    """Whether the loss of the mixture moves the encoder ('flow') or the gate alone."""
    own_weight: NotNegative = 0.0
    """Weight of the softmax of the encoder's scores alone, which is added to the loss of the mixture."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.gradient == "stop" and self.own_weight == 0.0:
            raise ValueError("gradient = 'stop' leaves the encoder without a loss: own_weight must be above 0")


@dataclass(frozen=True)
class MixtureWeights(Config):
    """Weights of both distributions in a ranking:

    m(t) = log( exp(T s(t)) + exp(h + offset + slope log(1 + n)) p(t | l) ), n = times that the last track was followed.

    In training the encoder has seen the track that it predicts, and transitions have not (leave-one-out). So the gate
    trusts the encoder more than it should on later tracks, and validation targets choose these weights.
    """

    temperature: Positive = 1.0
    """T."""
    offset: Finite = 0.0
    slope: Finite = 0.0


class TransitionsHead(Head):
    """h = w . state + r log(1 + times that the last track was followed) + b."""

    config_type = TransitionsConfig
    weights_type = MixtureWeights
    pairs: Tensor
    times: Tensor
    followed: Tensor

    def __init__(self, config: TransitionsConfig, width: int, counts: TrainingCounts) -> None:
        super().__init__(config, width, counts)
        self.gate = nn.Linear(width, 1)
        self.reliability = nn.Parameter(torch.zeros(()))
        self.register_buffer("pairs", counts.pairs)
        self.register_buffer("times", counts.times)
        self.register_buffer("followed", counts.followed)

    @torch.no_grad()
    def initialise(self, num_tracks: int) -> None:
        """Begin where both distributions weigh about the same: scores are near 0, so all tracks sum to their number."""
        self.gate.weight.zero_()
        self.gate.bias.fill_(math.log(max(num_tracks, 1)))
        self.reliability.zero_()

    def check_weights(self) -> bool:
        """Return whether the counts can be those of training rows: a file may hold anything."""
        rows = len(self.followed)
        if len(self.pairs) != len(self.times) or not bool((self.times > 0).all() & (self.pairs.diff() > 0).all()):
            return False
        if not bool(((self.pairs >= 0) & (self.pairs < rows * rows)).all()):
            return False
        totals = torch.zeros(rows, dtype=torch.int64).index_add_(0, self.pairs // rows, self.times.long())
        return torch.equal(totals, self.followed.long())

    def gate_logits(self, states: Float[Tensor, "N D"], followed: Int[Tensor, " N"]) -> Float[Tensor, " N"]:
        """Return h of states whose last track was followed so often."""
        logits: Tensor = self.gate(states)[:, 0] + self.reliability * torch.log1p(followed.float())
        return logits

    def mixture(self, predicted: Predicted) -> Mixture:
        """Return gate and log p(target | last) of training targets, each transition counted without itself."""
        flow = self.config.gradient == "flow"
        states = predicted.states if flow else predicted.states.detach()
        last, target = predicted.last.long(), predicted.target
        others = (self.followed[last] - 1).clamp(min=0)
        same = (self._times(last, target) - 1).clamp(min=0)
        gate, real = self.gate_logits(states, others), (target > 0) & (others > 0)
        log_share = torch.where(real & (same > 0), torch.log(same.clamp(min=1) / others.clamp(min=1)), NOTHING)
        return Mixture(torch.where(real, gate, NOTHING), log_share, flow, self.config.own_weight)

    @torch.no_grad()
    def added(self, states: Float[Tensor, "B D"], batch: Batch, table: Float[Tensor, "R D"]) -> Added:
        """Return h + log p(track | last) of every track that ever followed each session's last one."""
        rows, last = len(self.followed), batch.tracks[batch.last]
        first, end = (torch.searchsorted(self.pairs, (last.long() + more) * rows) for more in (0, 1))
        count = end - first
        session = torch.repeat_interleave(torch.arange(len(last), device=last.device), count)
        nth = torch.arange(len(session), device=last.device) - (count.cumsum(0) - count)[session]
        pair_index = first[session] + nth
        followed = self.followed[last.long()]
        log_share = torch.log(self.times[pair_index].double() / followed[session].double())
        gate = self.ranking_gate(states, followed)
        return Added(session, self.pairs[pair_index] % rows, gate[session] + log_share)

    def ranking_gate(self, states: Float[Tensor, "N D"], followed: Int[Tensor, " N"]) -> Float[Tensor, " N"]:
        """Return h with the weights of the ranking, float64."""
        weights = self.ranking_weights
        moved: Tensor = weights.offset + weights.slope * torch.log1p(followed.double())
        return self.gate_logits(states.float(), followed).double() + moved

    def share(self, last: Int[Tensor, " N"], target: Int[Tensor, " N"]) -> Float[Tensor, " N"]:
        """Return p(target | last), float64; 0 where it never followed."""
        return self._times(last, target).double() / self.followed[last.long()].clamp(min=1)

    def _times(self, last: Tensor, target: Tensor) -> Tensor:
        if len(self.pairs) == 0:
            return torch.zeros_like(target, dtype=torch.int32)
        wanted = last.long() * len(self.followed) + target.long()
        pair_index = torch.searchsorted(self.pairs, wanted).clamp(max=len(self.pairs) - 1)
        return torch.where(self.pairs[pair_index] == wanted, self.times[pair_index], 0)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *arguments: Any) -> None:
        """Make room for as many transitions as the weights have."""
        for name in ("pairs", "times"):
            saved = state_dict.get(prefix + name)
            if isinstance(saved, Tensor):
                setattr(self, name, torch.zeros_like(saved, device=self.followed.device))
        super()._load_from_state_dict(state_dict, prefix, *arguments)
