"""What objectives over packed sessions are told: their states and rows lie anywhere, each in one place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor

from segue.objectives.roles import Heard


@dataclass(frozen=True)
class Targets:
    """What each of T states should predict."""

    ids: Tensor
    """int32 [T]; 0 = nothing, which costs nothing."""
    rows: Tensor
    """float32 [P, D], among which their rows lie."""
    place: Tensor
    """int64 [T], where; distinct but for those that predict nothing."""


@dataclass(frozen=True)
class Negatives:
    """What targets are compared with."""

    rows: Tensor
    """bfloat16 or float32 [M, D]."""
    ids: Tensor | int
    """int32 [M]; or the id of the first where they are consecutive, and then the targets' own rows are among them:
    the full softmax."""
    correction: Tensor | None = None
    """float32 [M], added to the scores (logQ)."""
    gradient: Tensor | None = None
    """float32 [M, D], where theirs is written; None = a new tensor."""


@dataclass(frozen=True)
class Known:
    """A distribution known beforehand, mixed into the softmax: exp(h) p(track), with one gate h a target.

    The loss of a target is then log(sum of exp(score) + exp(whole)) - log(exp(own score) + exp(target)).
    """

    target: Tensor
    """float32 [T], h + log p of the target; at most -1e30 where it gives none."""
    whole: Tensor
    """float32 [T], h + log of all that it gives; at most -1e30 where it gives none."""
    gradient: Tensor
    """float32 [T], where the gradient in h is written."""
    flow: float = 1.0
    """How much of that loss's gradient the scores get."""
    own: float = 0.0
    """Weight of the softmax of the scores alone, which is added to that loss."""


@dataclass(frozen=True)
class Sessions:
    """Which rows belong to which session, and how they were heard; W positions a session."""

    place: Tensor
    """int32 [B, W], where each position's row lies; -1 on padding."""
    tracks: Tensor
    """int32 [B, W], equal ids are the same track; 0 on padding."""
    strength: Tensor
    """int32 [B, W], feedback codes."""
    skip_at_least: int
    """Smallest strength that counts as a skip."""
    keys: Tensor | None = None
    """float [B], uniform in [0, 1), where a variant of the term wants them."""
    drawn: Tensor | None = None
    """int64 [B, W], where the rows of drawn tracks lie, where a variant wants them; a place of its own each."""

    @property
    def heard(self) -> Heard:
        """How the positions were heard."""
        present = (self.place >= 0) & (self.tracks != 0)
        skipped = (self.strength >= self.skip_at_least) & (self.strength <= 3) & present
        return Heard(self.tracks, skipped, (self.strength < self.skip_at_least) & present)


@dataclass(frozen=True)
class Gradients:
    """Where the gradients of a loss are added."""

    rows: Tensor
    """float32, as the rows."""
    states: Tensor
    """float32, as the states."""


@runtime_checkable
class SkipTerm(Protocol):
    """The skip-contrastive term and its gradients."""

    def __call__(
        self, rows: Tensor, states: Tensor | None, sessions: Sessions, temperature: float, into: Gradients,
        scale: float = 1.0,
    ) -> Tensor:  # fmt: skip
        """Return the loss; its gradients are added `into`."""
