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
from segue.heads.counts import Counts

NOTHING: Final = -1e30
"""Log of no mass: finite, so that its gradient is 0 and no NaN."""


@dataclass(frozen=True)
class TransitionsConfig:
    """A mixture with first-order transitions."""

    gradient: Literal["stop", "flow"] = "flow"
    """Whether the loss of the mixture moves the encoder ('flow') or the gate alone."""
    own: float = 0.0
    """Weight of the softmax of the encoder's scores alone, which is added to the loss of the mixture."""

    settle: bool = True
    """Whether gate and temperature are fitted anew on validation targets after training: see `Settled`."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.own) and self.own >= 0.0):
            raise ValueError("own must be at least 0")
        if self.gradient == "stop" and self.own == 0.0:
            raise ValueError("gradient = 'stop' leaves the encoder without a loss: own must be above 0")


@dataclass(frozen=True)
class Settled:
    """How a ranking weighs both distributions, m(t) = log( exp(T s(t)) + exp(h + offset + slope log(1 + n)) p(t | l) ).

    n: times that the last track was followed. In training the encoder has seen what it is asked for, and transitions
    have not (leave-one-out), so that the gate trusts the encoder more than it should on tracks that are to come.
    """

    temperature: float = 1.0
    """T."""
    offset: float = 0.0
    slope: float = 0.0

    def __post_init__(self) -> None:
        if not (0.0 < self.temperature < math.inf and math.isfinite(self.offset) and math.isfinite(self.slope)):
            raise ValueError("temperature must be above 0, offset and slope numbers")


@dataclass(frozen=True)
class Mass:
    """Logs of the unnormalised masses that transitions give, NOTHING where they give none."""

    target: Float[Tensor, "*shape"]
    """To the target."""
    whole: Float[Tensor, "*shape"]
    """To all tracks together."""


class TransitionsHead(nn.Module):
    """h = w . state + r log(1 + times that the last track was followed) + b."""

    pairs: Tensor
    times: Tensor
    followed: Tensor

    def __init__(self, width: int, counts: Counts) -> None:
        super().__init__()
        self.gate = nn.Linear(width, 1)
        self.reliability = nn.Parameter(torch.zeros(()))
        self.settled = Settled()
        """What validation chose; a ranking reads it, training does not."""
        self.register_buffer("pairs", counts.pairs)
        self.register_buffer("times", counts.times)
        self.register_buffer("followed", counts.followed)

    @torch.no_grad()
    def initialise(self, num_tracks: int) -> None:
        """Begin where both distributions weigh about the same: scores are near 0, so all tracks sum to their number."""
        self.gate.weight.zero_()
        self.gate.bias.fill_(math.log(max(num_tracks, 1)))
        self.reliability.zero_()

    def is_sound(self) -> bool:
        """Return whether the counts are those of some training rows: what is read from a file may be anything."""
        rows = len(self.followed)
        if len(self.pairs) != len(self.times) or not bool((self.times > 0).all() & (self.pairs.diff() > 0).all()):
            return False
        if not bool(((self.pairs >= 0) & (self.pairs < rows * rows)).all()):
            return False
        totals = torch.zeros(rows, dtype=torch.int64).index_add_(0, self.pairs // rows, self.times.long())
        return torch.equal(totals, self.followed.long())

    def opened(self, states: Float[Tensor, "N D"], followed: Int[Tensor, " N"]) -> Float[Tensor, " N"]:
        """Return h of states whose last track was followed so often."""
        open_: Tensor = self.gate(states)[:, 0] + self.reliability * torch.log1p(followed.float())
        return open_

    def mass(self, states: Float[Tensor, "N D"], last: Int[Tensor, " N"], target: Int[Tensor, " N"]) -> Mass:
        """Return the masses for training targets that followed `last` there, each transition counted without itself.

        Table rows, 0 = no target. The states must be float32.
        """
        others = (self.followed[last.long()] - 1).clamp(min=0)
        same = (self._times(last, target) - 1).clamp(min=0)
        open_, real = self.opened(states, others), (target > 0) & (others > 0)
        share = same / others.clamp(min=1)
        of_target = torch.where(real & (same > 0), open_ + torch.log(share.clamp(min=1e-30)), NOTHING)
        return Mass(of_target, torch.where(real, open_, NOTHING))

    @torch.no_grad()
    def following(
        self, states: Float[Tensor, "B D"], last: Int[Tensor, " B"]
    ) -> tuple[Int[Tensor, " n"], Int[Tensor, " n"], Float[Tensor, " n"]]:
        """Return session, track and h + log p(track | last) of every track that ever followed each session's last one.

        Sessions ascend, and tracks within them.
        """
        rows = len(self.followed)
        first, end = (torch.searchsorted(self.pairs, (last.long() + more) * rows) for more in (0, 1))
        count = end - first
        session = torch.repeat_interleave(torch.arange(len(last), device=last.device), count)
        nth = torch.arange(len(session), device=last.device) - (count.cumsum(0) - count)[session]
        place = first[session] + nth
        followed = self.followed[last.long()]
        log_share = torch.log(self.times[place].double() / followed[session].double())
        open_ = self.settled_open(states, followed)
        return session, self.pairs[place] % rows, open_[session] + log_share

    def settled_open(self, states: Float[Tensor, "N D"], followed: Int[Tensor, " N"]) -> Float[Tensor, " N"]:
        """Return h as a ranking has it, float64."""
        settled = self.settled
        moved = settled.offset + settled.slope * torch.log1p(followed.double())
        return self.opened(states.float(), followed).double() + moved

    def share(self, last: Int[Tensor, " N"], target: Int[Tensor, " N"]) -> Float[Tensor, " N"]:
        """Return p(target | last), float64; 0 where it never followed."""
        return self._times(last, target).double() / self.followed[last.long()].clamp(min=1)

    def _times(self, last: Tensor, target: Tensor) -> Tensor:
        if len(self.pairs) == 0:
            return torch.zeros_like(target, dtype=torch.int32)
        wanted = last.long() * len(self.followed) + target.long()
        place = torch.searchsorted(self.pairs, wanted).clamp(max=len(self.pairs) - 1)
        return torch.where(self.pairs[place] == wanted, self.times[place], 0)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *rest: Any) -> None:
        """Make room for as many transitions as the weights have."""
        for name in ("pairs", "times"):
            held = state_dict.get(prefix + name)
            if isinstance(held, Tensor):
                setattr(self, name, torch.zeros_like(held, device=self.followed.device))
        super()._load_from_state_dict(state_dict, prefix, *rest)
