"""P(listen | session, track): will they listen to it?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from segue.axes import Float, Int
from segue.heads.counts import Counts

PRIOR: Final = (2.5, 5.0)
"""Listens and plays added to a track's counts (method, section 5)."""


@dataclass(frozen=True)
class ListenConfig:
    """A head for P(listen), trained beside the next-track loss."""

    weight: float = 0.2
    """Its share beside next_track's weight."""
    hidden: int = 128
    """Units between a state and what it makes of tracks."""
    gradient: Literal["stop", "flow"] = "stop"
    """stop: states and rows are read as they are, so that the head cannot hurt the ranking by next tracks; flow: it
    moves them as well."""
    settle: bool = True
    """Whether its parts are weighed anew on validation targets after training: see `SettledListen`."""

    def __post_init__(self) -> None:
        if not self.weight > 0:
            raise ValueError("weight must be above 0 (leave the head out instead)")
        if self.hidden < 1:
            raise ValueError("hidden must be at least 1")
        if self.gradient not in ("stop", "flow"):
            raise ValueError("gradient must be stop or flow")


@dataclass(frozen=True)
class SettledListen:
    """How the parts of the logit are weighed, rate a logit(rate) + along u . row + level c + bias.

    In training the head has seen the feedback that it foretells in states and rows, and rates have not (each is counted
    without the play itself): it trusts itself more than it should on plays that are to come.
    """

    rate: float = 1.0
    along: float = 1.0
    level: float = 1.0
    bias: float = 0.0

    def __post_init__(self) -> None:
        if not all(math.isfinite(value) for value in (self.rate, self.along, self.level, self.bias)):
            raise ValueError("rate, along, level and bias must be numbers")


@dataclass(frozen=True)
class Asked:
    """What a session's state asks of a track: logit = u . row + a * (the track's own logit) + c."""

    direction: Float[Tensor, "*shape D"]
    """u."""
    level: Float[Tensor, "*shape"]
    """c."""


class ListenHead(nn.Module):
    """logit P(listen) = a logit(rate of the track) + u(state) . row of the track + c(state).

    The rate is the track's own, smoothed: (listens + 2.5) / (plays + 5). In training it is counted without the play
    that is to be foretold. u and c come of one hidden layer.
    """

    plays: Tensor
    listens: Tensor

    def __init__(self, config: ListenConfig, width: int, counts: Counts) -> None:
        super().__init__()
        self.config = config
        self.hidden, self.ask = nn.Linear(width, config.hidden), nn.Linear(config.hidden, width + 1)
        self.trust = nn.Parameter(torch.ones(()))
        """a."""
        self.settled = SettledListen()
        """What validation chose; rankings and foretelling read it, training does not."""
        self.register_buffer("plays", counts.plays)
        self.register_buffer("listens", counts.listens)

    @torch.no_grad()
    def initialise(self) -> None:
        """Begin at the tracks' own rates."""
        self.ask.weight.zero_()
        self.ask.bias.zero_()
        self.trust.fill_(1.0)

    def asked(self, states: Float[Tensor, "*shape D"]) -> Asked:
        """Return what states ask of tracks, as settled."""
        made, settled = self._made(states), self.settled
        return Asked(made.direction * settled.along, made.level * settled.level + settled.bias)

    def offset(self, tracks: Int[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Return a * the logit of each track's rate, as settled."""
        tracks = tracks.long()
        return self.trust * self.settled.rate * _logit(self.listens[tracks], self.plays[tracks])

    def parts(
        self, states: Float[Tensor, "B D"], rows: Float[Tensor, "B D"], tracks: Int[Tensor, " B"]
    ) -> tuple[Float[Tensor, " B"], Float[Tensor, " B"], Float[Tensor, " B"]]:
        """Return a logit(rate), u . row and c of one track a session, as trained."""
        made = self._made(states)
        rate = _logit(self.listens[tracks.long()], self.plays[tracks.long()])
        return self.trust * rate, (made.direction * rows).sum(1), made.level

    def _made(self, states: Float[Tensor, "*shape D"]) -> Asked:
        made = self.ask(functional.gelu(self.hidden(states)))
        return Asked(made[..., :-1], made[..., -1])

    def logits(
        self, states: Float[Tensor, "B D"], rows: Float[Tensor, "B K D"], tracks: Int[Tensor, "B K"]
    ) -> Float[Tensor, "B K"]:
        """Return the logit of P(listen) of each of `tracks`, whose table rows are `rows`, after its session."""
        asked = self.asked(states)
        along = torch.bmm(rows, asked.direction[:, :, None])[:, :, 0]
        return along + asked.level[:, None] + self.offset(tracks)

    def loss(
        self, states: Float[Tensor, "N D"], rows: Float[Tensor, "N D"], tracks: Int[Tensor, " N"], heard: Heard
    ) -> Float[Tensor, ""]:
        """Return the mean log-loss of targets whose feedback is known, scalar.

        Args:
            states: of the positions before them.
            rows: their table rows.
            tracks: which they are; 0 = no target.
            heard: how they were heard.

        Denominator: the number of such targets; none gives exactly 0 with zero gradients.
        """
        if self.config.gradient == "stop":
            states, rows = states.detach(), rows.detach()
        counted = (tracks > 0) & (heard.listened | heard.skipped)
        asked = self._made(states)
        plays, listens = self.plays[tracks.long()] - 1, self.listens[tracks.long()] - heard.listened.int()
        own = self.trust * _logit(listens.clamp(min=0), plays.clamp(min=0))
        logits = (asked.direction * rows).sum(1) + asked.level + own
        losses = functional.binary_cross_entropy_with_logits(logits, heard.listened.float(), reduction="none")
        return losses.masked_fill(~counted, 0.0).sum() / counted.sum().clamp(min=1)


@dataclass(frozen=True)
class Heard:
    """How targets were heard; neither where it is unknown."""

    listened: Tensor
    """bool [N]."""
    skipped: Tensor
    """bool [N]."""


def _logit(listens: Tensor, plays: Tensor) -> Tensor:
    """Return the logit of the smoothed rate."""
    return torch.log(listens.float() + PRIOR[0]) - torch.log(plays.float() - listens.float() + (PRIOR[1] - PRIOR[0]))
