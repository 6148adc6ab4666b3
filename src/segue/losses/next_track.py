"""`[next_track]` of a recipe: what is predicted at each position, what it is compared with, and the loss of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import ClassVar, Final, Literal

import torch
from torch import Tensor

from segue.axes import Float
from segue.batches.example import TargetRule
from segue.config import Config, Count, NotNegative, Positive
from segue.losses.left_out import left_out
from segue.losses.loss_inputs import LossInputs, SessionNegatives
from segue.objectives import Negatives, full_softmax_loss, sampled_softmax_loss
from segue.objectives.log_sum import NOTHING, log_sum_of_others, scores_against_all
from segue.objectives.roles import negatives_of
from segue.objectives.softmax import avoided_losses, dot, gbce_beta, gbce_losses, mean_over, softmax_losses
from segue.store import NUM_SPECIALS

EXACT_UP_TO: Final[Mapping[str, int]] = {"cpu": 50_000, "cuda": 250_000}
"""Largest catalogue that `Auto` gives the exact softmax, by type of device: chosen by the cost of a step."""
GBCE_T: Final = 0.75
"""t of gBCE (the gSASRec of Petrov & Macdonald 2023): 1 undoes the sampling wholly, 0 not at all."""


@dataclass(frozen=True, kw_only=True)
class NextTrackConfig(Config, ABC):
    """What every kind has: which tracks are targets, and how skipped ones count."""

    weight: Positive = 0.5
    """beta, its share beside the terms."""
    targets: Literal["auto", TargetRule] = "next"
    """next: the track after each position, skipped or not. listened: the same, but a skipped track is no target.
    next_listened (causal): the next track that was listened to, however many were skipped before it.
    avoid_skipped: next, but the loss of a skipped target is -log(1 - p) instead of -log p (Wang et al., RecSys
    2023). next_day (causal): one of the tracks that the listener listens to on the day after, drawn anew in each epoch.
    auto: next_day for split = "next-day", else next."""
    skipped_weight: Positive = 1.0
    """Weight of a skipped target beside that of any other, which is 1."""
    temperature: NotNegative = 0.0
    """tau: table rows have length 1 and states 1 / tau, so that a score is cosine / tau. 0 = dot products of rows and
    states of any length."""
    own_skips: bool = False
    """Each target is also compared with the tracks skipped in its session (and never listened to there)."""

    reads_table: ClassVar[bool] = False
    """Whether every track is a negative."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.targets in ("listened", "next_listened") and self.skipped_weight != 1.0:
            raise ValueError("skipped_weight is about skipped targets: targets must be 'next' or 'avoid_skipped'")

    @property
    def is_plain(self) -> bool:
        """Whether all targets count alike and are compared with the same tracks."""
        return self.targets != "avoid_skipped" and self.skipped_weight == 1.0 and not self.own_skips

    @property
    def num_uniform(self) -> int:
        """Negatives that a batch shares, drawn uniformly from the candidates."""
        return 0

    @property
    def num_from_targets(self) -> int:
        """Negatives that a batch shares, drawn from its own targets."""
        return 0

    @property
    def num_per_session(self) -> int:
        """Negatives that are drawn for each session by itself."""
        return 0

    @property
    def corrects(self) -> bool:
        """Whether scores of negatives are corrected for how often they are drawn (logQ)."""
        return False

    @abstractmethod
    def mean_loss(self, inputs: LossInputs) -> Float[Tensor, ""]:
        """Return the mean loss over the targets of a batch, scalar; 0 without any."""

    def mean_over_targets(self, losses: Float[Tensor, " N"], inputs: LossInputs) -> Float[Tensor, ""]:
        """Return the weighted mean of the losses of targets, scalar; 0 without any."""
        weights = (inputs.example.target > 0).float()
        return mean_over(losses, torch.where(inputs.target_skipped, self.skipped_weight * weights, weights))


class _Softmax(NextTrackConfig):
    """What the kinds have that are a softmax of the target among negatives."""

    @abstractmethod
    def scores(self, inputs: LossInputs) -> tuple[Float[Tensor, " N"], Float[Tensor, " N"]]:
        """Return the score of each target, and the log of the sum of exp(score) of what it is compared with."""

    def plain_loss(self, inputs: LossInputs) -> Float[Tensor, ""] | None:
        """Return the loss where `is_plain` by a faster way; None where there is none."""
        return None

    def mean_loss(self, inputs: LossInputs) -> Float[Tensor, ""]:
        """Return the mean loss over the targets of a batch, scalar; 0 without any."""
        if self.is_plain and (loss := self.plain_loss(inputs)) is not None:
            return loss
        target_scores, others = self.scores(inputs)
        if self.own_skips:
            others = torch.logaddexp(others, _log_sum_of_skips(inputs))
        losses = softmax_losses(target_scores, others, inputs.mixture, left_out(inputs))
        if self.targets == "avoid_skipped":
            losses = torch.where(inputs.target_skipped, avoided_losses(target_scores, others), losses)
        return self.mean_over_targets(losses, inputs)


@dataclass(frozen=True)
class PerSession(_Softmax):
    """For each session its own draw among the tracks not in its training part (the paper)."""

    negatives: Count = 1000
    """M."""

    @property
    def num_per_session(self) -> int:
        """M."""
        return self.negatives

    def scores(self, inputs: LossInputs) -> tuple[Float[Tensor, " N"], Float[Tensor, " N"]]:
        """Return the score of each target, and the log sum over the negatives of its session."""
        assert isinstance(inputs.negatives, SessionNegatives), "each session has its own"
        others = inputs.by_session(inputs.negatives.rows).logsumexp(dim=2)
        return dot(inputs.states, inputs.target_rows), inputs.flat(others)


class _SharedNegatives(_Softmax):
    """What the kinds have whose negatives the whole batch shares; copies of a target are none of its negatives."""

    log_q: bool

    @property
    def corrects(self) -> bool:
        """Whether `log_q` is set."""
        return self.log_q

    def scores(self, inputs: LossInputs) -> tuple[Float[Tensor, " N"], Float[Tensor, " N"]]:
        """Return the score of each target, and the log sum over the negatives, copies of the target left out."""
        target, negatives = inputs.example.target, inputs.negatives
        assert isinstance(negatives, Negatives), "the batch shares them"
        others = log_sum_of_others(inputs.states, negatives.rows, target, negatives.tracks, negatives.correction)
        return dot(inputs.states, inputs.target_rows), others

    def plain_loss(self, inputs: LossInputs) -> Float[Tensor, ""]:
        """Return the mean loss over the targets of a batch, scalar; 0 without any."""
        assert isinstance(inputs.negatives, Negatives), "the batch shares them"
        target = inputs.example.target
        given = (inputs.states, target, inputs.target_rows, inputs.negatives)
        return sampled_softmax_loss(*given, inputs.mixture, left_out(inputs))


@dataclass(frozen=True)
class Shared(_SharedNegatives):
    """One uniform draw for the whole batch, copies of the target masked; the fast option."""

    negatives: Count = 1000
    """M, drawn afresh each step."""
    log_q: bool = False
    """Add -log(M / V), V candidates, to each negative's score: the expected number of times that it is drawn."""

    @property
    def num_uniform(self) -> int:
        """M."""
        return self.negatives


@dataclass(frozen=True)
class Mixed(_SharedNegatives):
    """Uniform draws beside draws from the batch's own targets, shared by the batch, copies of the target masked.

    Tracks that are often a target are often drawn, which alone would push popular tracks down: logQ undoes it (Bengio &
    Senecal 2008; the mixture of Yang et al. 2020). We correct negatives only: to correct the target's own score too
    would starve it again.
    """

    uniform: Count = 4096
    """U, drawn from the candidates with replacement, afresh each step."""
    batch: Count = 4096
    """R, drawn from the real targets of the batch with replacement; a track that is several targets counts as many."""
    log_q: bool = True
    """Add -log(U / V + R c / sum c) to each negative's score: V candidates, c = how often its track is a target."""

    @property
    def num_uniform(self) -> int:
        """U."""
        return self.uniform

    @property
    def num_from_targets(self) -> int:
        """R."""
        return self.batch


@dataclass(frozen=True)
class Gbce(NextTrackConfig):
    """Binary cross-entropy of the target and of negatives that the batch shares, copies of the target masked.

    The target's probability is raised to beta, so that what is learnt from few negatives is calibrated (gSASRec; Petrov
    & Macdonald 2023).
    """

    negatives: Count = 1000
    """M, drawn uniformly, afresh each step."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.targets == "avoid_skipped" or self.own_skips:
            raise ValueError(
                "kind = 'gbce' corrects the sampling itself and has no softmax: leave targets = 'avoid_skipped' and "
                "own_skips out"
            )

    @property
    def num_uniform(self) -> int:
        """M."""
        return self.negatives

    def mean_loss(self, inputs: LossInputs) -> Float[Tensor, ""]:
        """Return the mean loss over the targets of a batch, scalar; 0 without any."""
        negatives = inputs.negatives
        assert isinstance(negatives, Negatives), "the batch shares them"
        copies = negatives.tracks == inputs.example.target[:, None]
        with inputs.exact():
            scores = (inputs.states @ negatives.rows.T).masked_fill(copies, NOTHING)
        beta = gbce_beta(self.negatives, inputs.num_tracks, GBCE_T)
        return self.mean_over_targets(gbce_losses(dot(inputs.states, inputs.target_rows), scores, beta), inputs)


@dataclass(frozen=True)
class Full(_Softmax):
    """Every track is a negative: the exact softmax."""

    reads_table: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.own_skips:
            raise ValueError("own_skips adds nothing where every track is a negative: leave it out")

    def scores(self, inputs: LossInputs) -> tuple[Float[Tensor, " N"], Float[Tensor, " N"]]:
        """Return the score of each target, and the log sum over all other tracks."""
        assert inputs.table_rows is not None, "the step gives the whole table"
        return scores_against_all(inputs.states, inputs.table_rows, inputs.example.target, NUM_SPECIALS)

    def plain_loss(self, inputs: LossInputs) -> Float[Tensor, ""]:
        """Return the mean loss over the targets of a batch, scalar; 0 without any."""
        assert inputs.table_rows is not None, "the step gives the whole table"
        given = (inputs.states, inputs.example.target, inputs.table_rows)
        return full_softmax_loss(*given, inputs.mixture, NUM_SPECIALS, left_out(inputs))


@dataclass(frozen=True)
class Auto(NextTrackConfig):
    """The exact softmax where the catalogue is small enough for it, else mixed negatives: `chosen` says which.

    The exact softmax learns most from a step, and its cost grows with the catalogue.
    """

    uniform: Count = 4096
    """U of `Mixed`."""
    batch: Count = 4096
    """R of `Mixed`."""

    def chosen(self, num_tracks: int, device: str) -> Full | Mixed:
        """Return the kind for a catalogue of `num_tracks` on a device of type `device`."""
        both = {part.name: getattr(self, part.name) for part in fields(NextTrackConfig)}
        if num_tracks <= EXACT_UP_TO.get(device, EXACT_UP_TO["cpu"]):
            return Full(**both)
        return Mixed(**both, uniform=self.uniform, batch=self.batch)

    def mean_loss(self, inputs: LossInputs) -> Float[Tensor, ""]:
        """Raise: a training begins with `chosen`."""
        raise AssertionError("a training begins with the kind that is chosen")


def _log_sum_of_skips(inputs: LossInputs) -> Float[Tensor, " N"]:
    """Return the log of the sum of exp(score) of the session's skips that were never listened to there."""
    assert inputs.window_rows is not None, "own_skips reads them"
    heard, (source, inside) = inputs.heard, inputs.example.batch.cells
    target = torch.where(inside, inputs.example.target[source], 0)
    is_other = heard.tracks[:, None, :] != target[:, :, None]
    chosen = negatives_of(heard.tracks, heard.skipped, heard.listened)[:, None, :] & is_other
    scores = inputs.by_session(inputs.window_rows).masked_fill(~chosen, NOTHING)
    return inputs.flat(scores.logsumexp(dim=2))
