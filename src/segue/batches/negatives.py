"""Negatives of the next-track softmax: which tracks a target is compared with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor

from segue.axes import Int
from segue.batches.data import Window


@dataclass(frozen=True)
class PerSession:
    """For each session its own draw among the tracks not in its training part (the paper)."""

    negatives: int = 1000
    """M, drawn afresh each step."""
    weight: float = 0.5
    """beta, its share beside the terms."""

    def __post_init__(self) -> None:
        _check(self.negatives, self.weight)


@dataclass(frozen=True)
class Shared:
    """One uniform draw for the whole batch, copies of the target masked; the fast option."""

    negatives: int = 1000
    """M, drawn afresh each step."""
    weight: float = 0.5
    """beta, its share beside the terms."""

    def __post_init__(self) -> None:
        _check(self.negatives, self.weight)


@dataclass(frozen=True)
class Full:
    """Every track is a negative: the exact softmax."""

    weight: float = 0.5
    """beta, its share beside the terms."""

    def __post_init__(self) -> None:
        _check(1, self.weight)


NEXT_TRACK: Final[Mapping[str, type[Any]]] = {"per_session": PerSession, "shared": Shared, "full": Full}
"""`[next_track] kind` to the config that its other keys make."""


def draw_shared(candidates: Int[Tensor, " C"], num: int, generator: torch.Generator) -> Int[Tensor, " M"]:
    """Return `num` rows drawn uniformly, with replacement, from `candidates`."""
    return candidates[torch.randint(len(candidates), (num,), generator=generator, device=candidates.device)]


def draw_per_session(
    window: Window, candidates: Int[Tensor, " C"], num: int, generator: torch.Generator
) -> Int[Tensor, "B M"]:
    """Return `num` rows a session, uniform (with replacement) over the candidates outside its training window.

    Exact without rejection: the k-th candidate that is not in the window is found by shifting k past the window's
    own candidates, so every row of `candidates` outside it is equally likely. A session that has heard every
    candidate gets candidates it has heard (there is nothing else to draw).
    """
    own = _own_places(window, candidates)  # [B, W] ascending, distinct; C where there is none
    free = (len(candidates) - (own < len(candidates)).sum(dim=1)).clamp(min=1)
    drawn = torch.rand((len(own), num), generator=generator, device=own.device, dtype=torch.float64)
    k = (drawn * free[:, None]).long().minimum(free[:, None] - 1)
    # own[j] - j candidates that are free stand before the j-th own one: k passes it where own[j] - j <= k
    free_before = own - torch.arange(own.shape[1], device=own.device)
    passed = torch.searchsorted(free_before, k, right=True)
    return candidates[(k + passed).clamp(max=len(candidates) - 1)]


def _own_places(window: Window, candidates: Int[Tensor, " C"]) -> Int[Tensor, "B W"]:
    """Return the distinct places among `candidates` of each window's tracks, ascending, then C repeated."""
    absent = len(candidates)
    place = torch.searchsorted(candidates, window.tracks).clamp(max=absent - 1)
    known = window.valid & (candidates[place] == window.tracks)
    ordered = place.masked_fill(~known, absent).sort(dim=1).values
    repeated = torch.nn.functional.pad(ordered[:, 1:] == ordered[:, :-1], (1, 0))
    distinct: Tensor = ordered.masked_fill(repeated, absent).sort(dim=1).values
    # keep own[j] - j non-decreasing past the last one, so that the search stays sorted
    return torch.where(distinct < absent, distinct, absent + torch.arange(distinct.shape[1], device=distinct.device))


def _check(negatives: int, weight: float) -> None:
    if negatives < 1:
        raise ValueError("negatives must be at least 1")
    if not weight > 0:
        raise ValueError("weight must be above 0")
