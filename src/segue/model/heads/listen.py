"""P(listen | session, track): the probability that the listener listens to the track if it is played next."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from segue import skips
from segue.axes import Float, Int
from segue.batch import Batch
from segue.batches.counts import TrainingCounts
from segue.config import Config, Finite, Positive
from segue.model.heads import repeats
from segue.model.heads.head import Head, Predicted
from segue.model.heads.own_listens import OwnListens, own_listens

HIDDEN: Final = 128
"""Units of the hidden layer."""


@dataclass(frozen=True)
class ListenConfig(Config):
    """A head for P(listen), trained beside the next-track loss."""

    weight: Positive = 0.2
    """Its share beside next_track's weight."""
    gradient: Literal["stop", "flow"] = "stop"
    """flow: the loss of the head moves states and rows. stop: it does not, so that it cannot change the ranking by next
    tracks."""


@dataclass(frozen=True)
class ListenWeights(Config):
    """Weights of the parts of the logit: rate * a logit(rate) + along * u . row + level * c + bias + own part.

    own part = own_listens * log(1 + l) + own_skips * log(1 + s), see `ListenHead`.

    In training, states and rows have seen the feedback that the head predicts, and rates have not (each is counted
    without the play itself). So the head trusts states more than it should on later plays, and validation targets
    choose these weights.
    """

    rate: Finite = 1.0
    along: Finite = 1.0
    level: Finite = 1.0
    bias: Finite = 0.0
    own_listens: Finite = 0.0
    own_skips: Finite = 0.0


@dataclass(frozen=True)
class ListenQuery:
    """What a session's state makes of a track: logit = u . row + a * (the logit of the track's rate) + c."""

    direction: Float[Tensor, "*shape D"]
    """u."""
    level: Float[Tensor, "*shape"]
    """c."""


class ListenHead(Head):
    """logit P(listen) = a logit(rate of the track) + u(state) . row of the track + c(state).

    The rate of a track is smoothed: (listens + 2.5) / (plays + 5). In training it is counted without the play that is
    predicted. u and c come from one hidden layer.

    A ranking also reads how often this listener listened to the track and skipped it, l and s, in the plays before the
    session that `repeats` reads and in the session. Validation alone chooses what they weigh: in training the rate of a
    track has the same plays, and those to come.
    """

    config_type = ListenConfig
    weights_type = ListenWeights
    has_loss = True
    plays: Tensor
    listens: Tensor

    def __init__(self, config: ListenConfig, width: int, counts: TrainingCounts) -> None:
        super().__init__(config, width, counts)
        self.hidden, self.ask = nn.Linear(width, HIDDEN), nn.Linear(HIDDEN, width + 1)
        self.trust = nn.Parameter(torch.ones(()))
        """a."""
        self.skip_at_least = counts.skip_at_least
        self.register_buffer("plays", counts.plays)
        self.register_buffer("listens", counts.listens)

    @torch.no_grad()
    def initialise(self, num_tracks: int) -> None:
        """Begin at the rates of the tracks."""
        self.ask.weight.zero_()
        self.ask.bias.zero_()
        self.trust.fill_(1.0)

    def query(self, states: Float[Tensor, "*shape D"]) -> ListenQuery:
        """Return what states make of tracks, with the weights of the ranking."""
        query, weights = self._trained_query(states), self.ranking_weights
        return ListenQuery(query.direction * weights.along, query.level * weights.level + weights.bias)

    def offset(self, tracks: Int[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Return a * the logit of each track's rate, with the weights of the ranking."""
        return self.trust * float(self.ranking_weights.rate) * self._rate_logits(tracks)

    def own_listens(self, batch: Batch) -> OwnListens:
        """Return log(1 + l) and log(1 + s) of the tracks that were played before the end of each session, [n, 2]."""
        return own_listens(batch, batch.session_side.get(repeats.NAME), len(self.plays), self.skip_at_least)

    def own_part(self, batch: Batch) -> OwnListens | None:
        """Return their part of the logit after each session, [n]; None = it is 0."""
        weights = self.ranking_weights.own_listens, self.ranking_weights.own_skips
        if weights == (0.0, 0.0):
            return None
        own = self.own_listens(batch)
        return replace(own, values=own.values @ own.values.new_tensor(weights))

    def parts(
        self, states: Float[Tensor, "B D"], rows: Float[Tensor, "B D"], tracks: Int[Tensor, " B"]
    ) -> tuple[Float[Tensor, " B"], Float[Tensor, " B"], Float[Tensor, " B"]]:
        """Return a logit(rate), u . row and c of one track a session, as trained."""
        query = self._trained_query(states)
        return self.trust * self._rate_logits(tracks), (query.direction * rows).sum(1), query.level

    def _rate_logits(self, tracks: Int[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return _logit(self.listens[tracks.long()], self.plays[tracks.long()])

    def _trained_query(self, states: Float[Tensor, "*shape D"]) -> ListenQuery:
        answer = self.ask(functional.gelu(self.hidden(states)))
        return ListenQuery(answer[..., :-1], answer[..., -1])

    def logits(
        self, states: Float[Tensor, "B D"], rows: Float[Tensor, "B K D"], tracks: Int[Tensor, "B K"]
    ) -> Float[Tensor, "B K"]:
        """Return the logit of P(listen) of each of `tracks`, whose table rows are `rows`, without their own part."""
        query = self.query(states)
        along = torch.bmm(rows, query.direction[:, :, None])[:, :, 0]
        return along + query.level[:, None] + self.offset(tracks)

    def loss(self, predicted: Predicted, target_rows: Float[Tensor, "N D"]) -> Float[Tensor, ""]:
        """Return the mean log-loss of targets whose feedback is known, scalar.

        Denominator: the number of such targets; none gives exactly 0 with zero gradients.
        """
        states, rows = predicted.states, target_rows
        if self.config.gradient == "stop":
            states, rows = states.detach(), rows.detach()
        tracks, listened = predicted.target.long(), predicted.listened
        counted = (tracks > 0) & (listened | predicted.skipped)
        query = self._trained_query(states)
        plays, listens = self.plays[tracks] - 1, self.listens[tracks] - listened.int()
        of_rate = self.trust * _logit(listens.clamp(min=0), plays.clamp(min=0))
        logits = (query.direction * rows).sum(1) + query.level + of_rate
        losses = functional.binary_cross_entropy_with_logits(logits, listened.float(), reduction="none")
        return losses.masked_fill(~counted, 0.0).sum() / counted.sum().clamp(min=1)


def _logit(listens: Tensor, plays: Tensor) -> Tensor:
    """Return the logit of the smoothed rate."""
    prior_listens, prior_plays = skips.RATE_PRIOR
    return torch.log(listens.float() + prior_listens) - torch.log(
        plays.float() - listens.float() + (prior_plays - prior_listens)
    )
