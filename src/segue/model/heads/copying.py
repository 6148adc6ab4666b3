"""The session's own tracks, mixed into the next-track softmax: music is repeated.

Every play of the session so far has a copy score, from the state y, the row of its track, how many tracks ago it was,
and how it was heard:

    c_j = (A y) . row of j + b[tracks since j] + f[feedback of j].

The model's score is log of the sum of exp(c_j) over the plays j of a track for the tracks of the session, and s(t) for
all others: one softmax over the tracks that were not heard and the plays of those that were. Plays stand *in place* of
s(t), so that the encoder never has to learn what is already in the session, and copying needs no gate. (What
transitions add to a track comes on top.)

Source: pointer networks mixed with a softmax (Gu et al. 2016; See, Liu & Manning 2017), and the two modes of RepeatNet,
of which one repeats and one explores (Ren et al. 2019). They take a gate and two distributions; here one distribution
has both. They read the states of the plays; here rows are enough, so that a service keeps no states.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from segue import skips
from segue.axes import Bool, Float, Int
from segue.batch import Batch
from segue.batches.counts import TrainingCounts
from segue.config import Config, Finite
from segue.model.heads.head import Added, Head, Predicted
from segue.model.small_table import small_table_rows
from segue.objectives import Mixture
from segue.store import NUM_SPECIALS

NOTHING: Final = -1e30
"""Log of no mass: finite, so that its gradient is 0 and no NaN."""
AGES: Final = 64
"""Plays this long ago, or longer, share one b."""
FIRST_SHARE: Final = 0.01
"""Mass of one play at the beginning, relative to that of all tracks together."""


@dataclass(frozen=True)
class CopyConfig(Config):
    """A head that copies from the session's own tracks."""


@dataclass(frozen=True)
class CopyWeights(Config):
    """The weight of copying in a ranking, which validation targets choose.

    New listeners repeat themselves as others do, but the encoder has seen none of their tracks together: it is surer
    of what comes next in training than later.
    """

    offset: Finite = 0.0
    """Added to every copy score."""


class CopyHead(Head):
    """c_j = (A y) . row of j + b[age of j] + f[feedback of j]."""

    config_type = CopyConfig
    weights_type = CopyWeights

    def __init__(self, config: CopyConfig, width: int, counts: TrainingCounts) -> None:
        super().__init__(config, width, counts)
        self.ask = nn.Linear(width, width, bias=False)
        self.age = nn.Parameter(torch.zeros(AGES))
        self.heard = nn.Parameter(torch.zeros(skips.NUM_FEEDBACK))

    @torch.no_grad()
    def initialise(self, num_tracks: int) -> None:
        """Begin with equal copy scores, whose mass is small beside that of all tracks."""
        self.ask.weight.zero_()
        self.age.fill_(math.log(max(num_tracks, 1) * FIRST_SHARE))
        self.heard.zero_()

    def mixture(self, predicted: Predicted) -> Mixture:
        """Return the log mass of the plays before each target, and the log share of the target among them."""
        batch = predicted.batch
        source, inside = batch.cells
        tracks = batch.padded.tracks
        column = torch.arange(tracks.shape[1], device=tracks.device)
        ages = column[:, None] - column
        with torch.autocast(tracks.device.type, enabled=False):
            scores = self.ask(predicted.states)[source] @ predicted.rows[source].transpose(1, 2)
        age = small_table_rows(self.age[:, None], ages.clamp(0, AGES - 1))[..., 0]
        heard = small_table_rows(self.heard[:, None], batch.padded.feedback)[..., 0]
        scores = scores + age + heard[:, None, :]
        before = (ages >= 0) & _copied(tracks, inside)[:, None, :]
        same = before & (tracks[:, None, :] == predicted.target[source][:, :, None])
        gate, mass = (_log_sum(scores, counted).flatten()[batch.slot] for counted in (before, same))
        real = (predicted.target > 0) & (gate > NOTHING)
        log_share = torch.where(real & (mass > NOTHING), mass - gate, NOTHING)
        return Mixture(torch.where(real, gate, NOTHING), log_share, in_place=True)

    @torch.no_grad()
    def added(self, states: Float[Tensor, "B D"], batch: Batch, table: Float[Tensor, "R D"]) -> Added:
        """Return the log mass of each play of each session; a track that was played twice has two."""
        tracks = batch.padded.tracks
        column = torch.arange(tracks.shape[1], device=tracks.device)
        ages = (batch.lengths[:, None] - 1 - column).clamp(0, AGES - 1)
        queries = states.double() @ self.ask.weight.double().T  # so precisely that a service computes the same
        scores = (table[tracks].double() @ queries[:, :, None])[:, :, 0]
        scores += self.ranking_weights.offset + self.age.double()[ages] + self.heard.double()[batch.padded.feedback]
        copied = _copied(tracks, batch.cells[1])
        return Added(torch.nonzero(copied)[:, 0], tracks[copied], scores[copied], in_place=tracks.shape[1])


def _copied(tracks: Int[Tensor, "B L"], inside: Bool[Tensor, "B L"]) -> Bool[Tensor, "B L"]:
    """Return which positions hold a track, not UNKNOWN or padding."""
    return inside & (tracks >= NUM_SPECIALS)


def _log_sum(scores: Float[Tensor, "B Q L"], counted: Bool[Tensor, "B Q L"]) -> Float[Tensor, "B Q"]:
    """Return log of the sum of exp(score) over what is counted; NOTHING, without a gradient, where nothing is."""
    total = scores.masked_fill(~counted, NOTHING).logsumexp(2)
    return torch.where(counted.any(2), total, NOTHING)
