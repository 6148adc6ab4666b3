"""What objectives over packed sessions are told: their states and rows lie anywhere, each in one place."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


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


@dataclass(frozen=True)
class Gradients:
    """Where the gradients of a loss are added."""

    rows: Tensor
    """float32, as the rows."""
    states: Tensor
    """float32, as the states."""
