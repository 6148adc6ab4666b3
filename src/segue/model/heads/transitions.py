"""What followed the last tracks in training, mixed into the next-track softmax in one model.

An encoder forgets rare transitions; a table of counts remembers them and knows nothing else. Let s(t) be the
encoder's score of track t, p_k(t) the share of what followed the last k tracks together that t is, and h_k a gate that
the state decides on. The model's score is

    m(t) = log( exp s(t) + sum over orders k of exp(h_k) p_k(t) ),  k = 1, 2, 3,

so that softmax(m) is a mixture of all distributions: sessions that follow a playlist or an album repeat long sequences.
In training p_k is counted without the very transition that is to be predicted (leave-one-out): it would otherwise
always be there.

Mixtures of a neural distribution and one of counts are as old as cache models (Grave, Joulin & Usunier 2017); ours
takes the log of an unnormalised gate instead of a share, so that ranking needs no sum over all tracks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any, Final

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
CONTEXT_PARTS: Final = ("keys", "followed", "pairs", "times")
"""Buffers of an order above 1: see `batches.counts.Contexts`."""


@dataclass(frozen=True)
class TransitionsConfig(Config):
    """A mixture with what followed the last one, two and three tracks."""

    own_weight: NotNegative = 0.0
    """Weight of the softmax of the encoder's scores alone, which is added to the loss of the mixture."""


@dataclass(frozen=True)
class MixtureWeights(Config):
    """Weights of both distributions in a ranking:

    m(t) = log( exp(T s(t)) + sum over k of exp(h_k + offset + slope log(1 + n_k)) p_k(t) ),
    n_k = times that the last k tracks were followed.

    In training the encoder has seen the track that it predicts, and transitions have not (leave-one-out). So the gate
    trusts the encoder more than it should on later tracks, and validation targets choose these weights.
    """

    temperature: Positive = 1.0
    """T."""
    offset: Finite = 0.0
    slope: Finite = 0.0


class TransitionsHead(Head):
    """h_k = w_k . state + r_k log(1 + times that the last k tracks were followed) + b_k, for orders k = 1, 2, ..."""

    config_type = TransitionsConfig
    weights_type = MixtureWeights
    pairs: Tensor
    times: Tensor
    followed: Tensor

    def __init__(self, config: TransitionsConfig, width: int, counts: TrainingCounts) -> None:
        super().__init__(config, width, counts)
        self._make_gates(width, len(counts.contexts) + 1)
        for name in ("pairs", "times", "followed"):
            self.register_buffer(name, getattr(counts, name))
        for order, contexts in enumerate(counts.contexts, 2):
            for name in CONTEXT_PARTS:
                self.register_buffer(f"{name}_{order}", getattr(contexts, name))

    def _make_gates(self, width: int, orders: int) -> None:
        self.gate = nn.Linear(width, orders)
        self.reliability = nn.Parameter(torch.zeros(orders))

    @property
    def orders(self) -> int:
        """The longest sequence of last tracks whose followers are counted."""
        return len(self.reliability)

    @torch.no_grad()
    def initialise(self, num_tracks: int) -> None:
        """Begin where all distributions weigh about the same: scores are near 0, so all tracks sum to their number."""
        self.gate.weight.zero_()
        self.gate.bias.fill_(math.log(max(num_tracks, 1)))
        self.reliability.zero_()

    def check_weights(self) -> bool:
        """Return whether the counts can be those of training rows: a file may hold anything."""
        rows = len(self.followed)
        parents = rows
        for order in range(1, self.orders + 1):
            pairs, times, followed = self.counts(order)
            if order > 1:
                keys = self.keys(order)
                if len(keys) != len(followed) or not _ascending(keys, parents * rows):
                    return False
            if len(pairs) != len(times) or not bool((times > 0).all()) or not _ascending(pairs, len(followed) * rows):
                return False
            totals = torch.zeros(len(followed), dtype=torch.int64).index_add_(0, pairs // rows, times.long())
            if not torch.equal(totals, followed.long()):
                return False
            parents = len(followed)
        return True

    def gate_logits(self, states: Float[Tensor, "N D"], followed: Int[Tensor, "N O"]) -> Float[Tensor, "N O"]:
        """Return h of each order, of states whose last tracks were followed so often."""
        logits: Tensor = self.gate(states) + self.reliability * torch.log1p(followed.float())
        return logits

    def mixture(self, predicted: Predicted) -> Mixture:
        """Return gate and log share of training targets, each transition counted without itself."""
        states = predicted.states
        index = torch.arange(len(states), device=states.device)
        begin = predicted.batch.offsets[predicted.batch.session.clamp(max=predicted.batch.num_sessions - 1)]
        numbers = self._contexts(predicted.last, index, index - begin)
        followed, same = self._found(numbers, predicted.target)
        itself = 1 if predicted.following is None else (predicted.target == predicted.following).long()[:, None]
        others, same = (followed - 1).clamp(min=0), (same - itself).clamp(min=0)
        real = (predicted.target > 0)[:, None] & (others > 0)
        gates = torch.where(real, self.gate_logits(states, others), NOTHING)
        log_shares = torch.where(real & (same > 0), torch.log(same.clamp(min=1) / others.clamp(min=1)), NOTHING)
        parts = [Mixture(gates[:, order], log_shares[:, order]) for order in range(self.orders)]
        return replace(reduce(Mixture.beside, parts), own_weight=self.config.own_weight)

    @torch.no_grad()
    def added(self, states: Float[Tensor, "B D"], batch: Batch, table: Float[Tensor, "R D"]) -> Added:
        """Return h_k + log p_k of every track that ever followed each session's last k tracks, for every order k."""
        rows, parts = len(self.followed), list[Added]()
        numbers = self._contexts(batch.tracks, batch.last, batch.lengths - 1)
        gates = self.ranking_gate(states, self._followed(numbers))
        for order, number in enumerate(numbers.unbind(1), 1):
            pairs, times, followed = self.counts(order)
            with_context = torch.nonzero(number >= 0)[:, 0]
            first, end = (torch.searchsorted(pairs, (number[with_context] + more) * rows) for more in (0, 1))
            count = end - first
            owner = torch.repeat_interleave(torch.arange(len(with_context), device=with_context.device), count)
            nth = torch.arange(len(owner), device=with_context.device) - (count.cumsum(0) - count)[owner]
            pair_index, session = first[owner] + nth, with_context[owner]
            log_share = torch.log(times[pair_index].double() / followed[number[session]].double())
            parts.append(Added(session, pairs[pair_index] % rows, gates[session, order - 1] + log_share))
        names = ("session", "tracks", "log_mass")
        session, tracks, log_mass = (torch.cat([getattr(part, name) for part in parts]) for name in names)
        return Added(session, tracks, log_mass)

    def ranking_gate(self, states: Float[Tensor, "N D"], followed: Int[Tensor, "N O"]) -> Float[Tensor, "N O"]:
        """Return h of each order with the weights of the ranking, float64."""
        weights = self.ranking_weights
        moved: Tensor = weights.offset + weights.slope * torch.log1p(followed.double())
        return self.gate_logits(states.float(), followed).double() + moved

    def counts(self, order: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return pairs, times and followed of an order."""
        end = "" if order == 1 else f"_{order}"
        pairs, times, followed = (getattr(self, f"{name}{end}") for name in ("pairs", "times", "followed"))
        return pairs, times, followed

    def keys(self, order: int) -> Int[Tensor, " C"]:
        """Return the keys of the sequences of an order above 1."""
        keys: Tensor = getattr(self, f"keys_{order}")
        return keys

    def _contexts(self, tracks: Int[Tensor, " P"], index: Int[Tensor, " N"], past: Int[Tensor, " N"]) -> Tensor:
        """Return the number of the context of each order that ends at `tracks[index]`, [N, O]; -1 = none was counted.

        `past`: how many tracks of the session stand before each.
        """
        number = torch.where(past >= 0, tracks[index].long(), -1)
        numbers = [number]
        for order in range(2, self.orders + 1):
            keys = self.keys(order)
            key = number * len(self.followed) + tracks[(index - order + 1).clamp(min=0)].long()
            may = (number >= 0) & (past >= order - 1)
            number = _index_of(keys, key, may)
            numbers.append(number)
        return torch.stack(numbers, 1)

    def _followed(self, numbers: Int[Tensor, "N O"]) -> Int[Tensor, "N O"]:
        """Return how often each context was followed; 0 for -1."""
        columns = [
            torch.where(number >= 0, self.counts(order)[2][number.clamp(min=0)], 0)
            if len(self.counts(order)[2])
            else torch.zeros_like(number)
            for order, number in enumerate(numbers.unbind(1), 1)
        ]
        return torch.stack([column.long() for column in columns], 1)

    def _found(
        self, numbers: Int[Tensor, "N O"], target: Int[Tensor, " N"]
    ) -> tuple[Int[Tensor, "N O"], Int[Tensor, "N O"]]:
        """Return how often each context was followed, and how often by the target."""
        same = []
        for order, number in enumerate(numbers.unbind(1), 1):
            pairs, times, _ = self.counts(order)
            pair_index = _index_of(pairs, number * len(self.followed) + target.long(), number >= 0)
            same.append(
                torch.where(pair_index >= 0, times[pair_index.clamp(min=0)], 0)
                if len(times)
                else torch.zeros_like(pair_index)
            )
        return self._followed(numbers), torch.stack([one.long() for one in same], 1)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *arguments: Any) -> None:
        """Make room for as many transitions and orders as the weights have; earlier runs have one order."""
        device = self.followed.device
        weight, name = state_dict.get(f"{prefix}gate.weight"), f"{prefix}reliability"
        if isinstance(weight, Tensor) and weight.dim() == 2:
            if len(weight) != self.orders:
                self._make_gates(weight.shape[1], len(weight))
                self.to(device)
            if isinstance(state_dict.get(name), Tensor):
                state_dict[name] = state_dict[name].reshape(-1)
            for order in range(2, len(weight) + 1):
                for part in CONTEXT_PARTS:  # of the sizes that follow
                    self.register_buffer(f"{part}_{order}", torch.zeros(0, dtype=torch.int64, device=device))
        for key, saved in state_dict.items():
            part = key.removeprefix(prefix)
            if key.startswith(prefix) and part in self._buffers and isinstance(saved, Tensor):
                setattr(self, part, torch.zeros_like(saved, device=device))
        super()._load_from_state_dict(state_dict, prefix, *arguments)


def _index_of(keys: Int[Tensor, " C"], wanted: Int[Tensor, " N"], may: Tensor) -> Int[Tensor, " N"]:
    """Return the index of each wanted key among `keys` (ascending); -1 where it is not, or may not be looked for."""
    if len(keys) == 0:
        return torch.full_like(wanted, -1)
    index = torch.searchsorted(keys, wanted).clamp(max=len(keys) - 1)
    return torch.where(may & (keys[index] == wanted), index, -1)


def _ascending(keys: Tensor, end: int) -> bool:
    """Return whether keys ascend from 0 to below `end`."""
    return bool((keys.diff() > 0).all() and (keys >= 0).all() and (keys < end).all())
