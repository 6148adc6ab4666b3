"""`[next_track]` of a recipe: what is predicted at each position, what it is compared with, and the loss of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from segue.axes import Float
from segue.batches.example import TargetRule
from segue.losses.scene import Scene, SessionNegatives
from segue.objectives import Negatives, full_softmax_loss, sampled_softmax_loss
from segue.objectives.log_sum import NOTHING, log_sum_of_others, scores_against_all
from segue.objectives.roles import negatives_of
from segue.objectives.softmax import avoided_losses, dot, gbce_beta, gbce_losses, mean_over, softmax_losses
from segue.store import NUM_SPECIALS


@dataclass(frozen=True, kw_only=True)
class NextTrackConfig(ABC):
    """What every kind has: which tracks are targets, and how skipped ones count."""

    weight: float = 0.5
    """beta, its share beside the terms."""
    targets: TargetRule = "next"
    """next: the track after each position, skipped or not. listened: the same, but a skipped track is no target.
    next_listened (causal): the next track that was listened to, however many were skipped before it."""
    skipped: Literal["predict", "avoid"] = "predict"
    """Targets that were skipped: predicted as any other, by -log p, or avoided, by -log(1 - p) (not to recommend;
    Wang et al., RecSys 2023)."""
    skipped_weight: float = 1.0
    """Weight of a skipped target beside that of any other, which is 1."""
    own_skips: bool = False
    """Each target is also compared with the tracks skipped in its session (and never listened to there)."""

    def __post_init__(self) -> None:
        if not self.weight > 0:
            raise ValueError("weight must be above 0")
        if self.targets not in ("next", "listened", "next_listened"):
            raise ValueError("targets must be next, listened or next_listened")
        if self.skipped not in ("predict", "avoid"):
            raise ValueError("skipped must be predict or avoid")
        if not self.skipped_weight > 0:
            raise ValueError("skipped_weight must be above 0 (targets = 'listened' leaves skipped targets out)")
        if self.targets != "next" and (self.skipped != "predict" or self.skipped_weight != 1.0):
            raise ValueError("skipped and skipped_weight are about skipped targets: targets must be 'next'")

    @property
    def is_plain(self) -> bool:
        """Whether all targets count alike and are compared with the same tracks, by softmax."""
        return self.skipped == "predict" and self.skipped_weight == 1.0 and not self.own_skips

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
    def reads_table(self) -> bool:
        """Whether every track is a negative."""
        return False

    @property
    def corrects(self) -> bool:
        """Whether scores of negatives are corrected for how often they are drawn (logQ)."""
        return False

    @abstractmethod
    def scores(self, scene: Scene) -> tuple[Float[Tensor, " N"], Float[Tensor, " N"]]:
        """Return the score of each target, and the log of the sum of exp(score) of what it is compared with."""

    def mean_loss(self, scene: Scene) -> Float[Tensor, ""]:
        """Return the mean loss over the targets of a batch, scalar; 0 without any."""
        target_scores, others = self.scores(scene)
        if self.own_skips:
            others = torch.logaddexp(others, _log_sum_of_skips(scene))
        losses = softmax_losses(target_scores, others, scene.mixture)
        if self.skipped == "avoid":
            losses = torch.where(scene.target_skipped, avoided_losses(target_scores, others), losses)
        return mean_over(losses, self._weights(scene))

    def _weights(self, scene: Scene) -> Float[Tensor, " N"]:
        weights = (scene.example.target > 0).float()
        return torch.where(scene.target_skipped, self.skipped_weight * weights, weights)


@dataclass(frozen=True)
class PerSession(NextTrackConfig):
    """For each session its own draw among the tracks not in its training part (the paper)."""

    negatives: int = 1000
    """M."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check(negatives=self.negatives)

    @property
    def num_per_session(self) -> int:
        """M."""
        return self.negatives

    def scores(self, scene: Scene) -> tuple[Float[Tensor, " N"], Float[Tensor, " N"]]:
        """Return the score of each target, and the log sum over the negatives of its session."""
        assert isinstance(scene.negatives, SessionNegatives), "each session has its own"
        with scene.exact():
            scores = scene.padded_states @ scene.negatives.rows.transpose(1, 2)
        return dot(scene.states, scene.target_rows), scene.flat(scores.logsumexp(dim=2))


class _SharedNegatives(NextTrackConfig):
    """What the kinds have whose negatives the whole batch shares."""

    def scores(self, scene: Scene) -> tuple[Float[Tensor, " N"], Float[Tensor, " N"]]:
        """Return the score of each target, and the log sum over the negatives, copies of the target left out."""
        negatives = scene.negatives
        assert isinstance(negatives, Negatives), "the batch shares them"
        target = scene.example.target
        others = log_sum_of_others(scene.states, negatives.rows, target, negatives.tracks, negatives.correction)
        return dot(scene.states, scene.target_rows), others

    def mean_loss(self, scene: Scene) -> Float[Tensor, ""]:
        """Return the mean loss over the targets of a batch, scalar; 0 without any."""
        if not self.is_plain:
            return super().mean_loss(scene)
        assert isinstance(scene.negatives, Negatives), "the batch shares them"
        target = scene.example.target
        return sampled_softmax_loss(scene.states, target, scene.target_rows, scene.negatives, scene.mixture)


@dataclass(frozen=True)
class Shared(_SharedNegatives):
    """One uniform draw for the whole batch, copies of the target masked; the fast option."""

    negatives: int = 1000
    """M, drawn afresh each step."""
    log_q: bool = False
    """Add -log(M / V), V candidates, to each negative's score: the expected number of times that it is drawn."""
    loss: Literal["softmax", "gbce"] = "softmax"
    """gbce: binary cross-entropy of the target and of each negative, the target's probability raised to beta so that
    what is learnt from few negatives is calibrated (gSASRec; Petrov & Macdonald 2023)."""
    gbce_t: float = 0.75
    """t of gbce: 1 undoes the sampling wholly, 0 not at all."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check(negatives=self.negatives)
        if self.loss not in ("softmax", "gbce"):
            raise ValueError("loss must be softmax or gbce")
        if not 0 <= self.gbce_t <= 1:
            raise ValueError("gbce_t must lie in [0, 1]")
        if self.loss == "gbce" and (self.log_q or self.skipped == "avoid" or self.own_skips):
            raise ValueError(
                "loss = 'gbce' corrects the sampling itself and has no softmax: leave log_q, skipped = 'avoid' and "
                "own_skips out"
            )

    @property
    def is_plain(self) -> bool:
        """Whether all targets count alike, by softmax."""
        return super().is_plain and self.loss == "softmax"

    @property
    def num_uniform(self) -> int:
        """M."""
        return self.negatives

    @property
    def corrects(self) -> bool:
        """Whether `log_q` is set."""
        return self.log_q

    def mean_loss(self, scene: Scene) -> Float[Tensor, ""]:
        """Return the mean loss over the targets of a batch, scalar; 0 without any."""
        if self.loss == "softmax":
            return super().mean_loss(scene)
        negatives = scene.negatives
        assert isinstance(negatives, Negatives), "the batch shares them"
        copies = negatives.tracks == scene.example.target[:, None]
        with scene.exact():
            scores = (scene.states @ negatives.rows.T).masked_fill(copies, NOTHING)
        beta = gbce_beta(self.negatives, scene.num_tracks, self.gbce_t)
        losses = gbce_losses(dot(scene.states, scene.target_rows), scores, beta)
        return mean_over(losses, self._weights(scene))


@dataclass(frozen=True)
class Mixed(_SharedNegatives):
    """Uniform draws beside draws from the batch's own targets, shared by the batch, copies of the target masked.

    Tracks that are often a target are often drawn, which alone would push popular tracks down: logQ undoes it (Bengio &
    Senecal 2008; the mixture of Yang et al. 2020). We correct negatives only: to correct the target's own score too
    would starve it again.
    """

    uniform: int = 4096
    """U, drawn from the candidates with replacement, afresh each step."""
    batch: int = 4096
    """R, drawn from the real targets of the batch with replacement; a track that is several targets counts as many."""
    log_q: bool = True
    """Add -log(U / V + R c / sum c) to each negative's score: V candidates, c = how often its track is a target."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check(uniform=self.uniform, batch=self.batch)

    @property
    def num_uniform(self) -> int:
        """U."""
        return self.uniform

    @property
    def num_from_targets(self) -> int:
        """R."""
        return self.batch

    @property
    def corrects(self) -> bool:
        """Whether `log_q` is set."""
        return self.log_q


@dataclass(frozen=True)
class Full(NextTrackConfig):
    """Every track is a negative: the exact softmax."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.own_skips:
            raise ValueError("own_skips adds nothing where every track is a negative: leave it out")

    @property
    def reads_table(self) -> bool:
        """True."""
        return True

    def scores(self, scene: Scene) -> tuple[Float[Tensor, " N"], Float[Tensor, " N"]]:
        """Return the score of each target, and the log sum over all other tracks."""
        assert scene.table_rows is not None, "the step gives the whole table"
        return scores_against_all(scene.states, scene.table_rows, scene.example.target, NUM_SPECIALS)

    def mean_loss(self, scene: Scene) -> Float[Tensor, ""]:
        """Return the mean loss over the targets of a batch, scalar; 0 without any."""
        if not self.is_plain:
            return super().mean_loss(scene)
        assert scene.table_rows is not None, "the step gives the whole table"
        return full_softmax_loss(scene.states, scene.example.target, scene.table_rows, scene.mixture, NUM_SPECIALS)


def _log_sum_of_skips(scene: Scene) -> Float[Tensor, " N"]:
    """Return the log of the sum of exp(score) of the session's skips that were never listened to there."""
    assert scene.window_rows is not None, "own_skips reads them"
    tracks, target, heard = scene.example.window.tracks, scene.padded_targets(), scene.heard
    is_other = tracks[:, None, :] != target[:, :, None]
    chosen = negatives_of(tracks, heard.skipped, heard.listened)[:, None, :] & is_other
    with scene.exact():
        scores = scene.padded_states @ scene.window_rows.transpose(1, 2)
    return scene.flat(scores.masked_fill(~chosen, NOTHING).logsumexp(dim=2))


def _check(**counts: int) -> None:
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"{name} must be at least 1")
