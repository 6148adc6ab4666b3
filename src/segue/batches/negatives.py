"""Draws of the negatives that a target is compared with."""

from __future__ import annotations

import torch
from torch import Tensor

from segue.axes import Int
from segue.batches.example import Window


def draw_shared(candidates: Int[Tensor, " C"], num: int, generator: torch.Generator) -> Int[Tensor, " M"]:
    """Return `num` rows drawn uniformly, with replacement, from `candidates`."""
    return candidates[torch.randint(len(candidates), (num,), generator=generator, device=candidates.device)]


def draw_per_session(
    window: Window, candidates: Int[Tensor, " C"], num: int, generator: torch.Generator
) -> Int[Tensor, "B M"]:
    """Return `num` rows a session, uniform (with replacement) over the candidates outside its training window.

    No draw is rejected: the k-th candidate outside the window is found by shifting k past the candidates in the window,
    so that every candidate outside it is equally likely. A session whose window holds every candidate gets candidates
    of its window.
    """
    shape = (len(window.tracks), num)
    uniform = torch.rand(shape, generator=generator, device=window.tracks.device, dtype=torch.float64)
    window_places = _window_places(window, candidates)  # [B, W] ascending, distinct; C where there is none
    free = (len(candidates) - (window_places < len(candidates)).sum(dim=1)).clamp(min=1)
    k = (uniform * free[:, None]).long().minimum(free[:, None] - 1)
    # window_places[j] - j candidates outside the window stand before its j-th one, which the k-th of them follows where
    # k is at least that number
    free_before = window_places - torch.arange(window_places.shape[1], device=window_places.device)
    passed = torch.searchsorted(free_before, k, right=True)
    return candidates[(k + passed).clamp(max=len(candidates) - 1)]


def draw_targets(target: Int[Tensor, " T"], num: int, generator: torch.Generator) -> Int[Tensor, " M"]:
    """Return `num` rows drawn uniformly, with replacement, from the real targets of a batch, repeated ones repeated.

    Args:
        target: table rows, session after session, in listening order; 0 = no target. Where between them the zeros
            stand changes nothing, so that packed and padded batches draw the same.
        num: R.
        generator: gives R numbers.

    Shapes do not depend on values and the host waits for nothing, so that a CUDA graph can hold it. Without a real
    target: zeros.
    """
    nth = (target > 0).cumsum(0)  # at the k-th real target it reaches k + 1
    uniform = torch.rand((num,), generator=generator, device=target.device, dtype=torch.float64)
    k = (uniform * nth[-1]).long().minimum(nth[-1] - 1)
    return target[torch.searchsorted(nth, k, right=True)]


def _window_places(window: Window, candidates: Int[Tensor, " C"]) -> Int[Tensor, "B W"]:
    """Return the distinct places among `candidates` of each window's tracks, ascending, then C repeated."""
    absent = len(candidates)
    candidate_index = torch.searchsorted(candidates, window.tracks).clamp(max=absent - 1)
    in_window = window.valid & (candidates[candidate_index] == window.tracks)
    ordered = candidate_index.masked_fill(~in_window, absent).sort(dim=1).values
    repeated = torch.nn.functional.pad(ordered[:, 1:] == ordered[:, :-1], (1, 0))
    distinct: Tensor = ordered.masked_fill(repeated, absent).sort(dim=1).values
    # distinct[j] - j must not decrease after the last one, since the search wants it sorted
    return torch.where(distinct < absent, distinct, absent + torch.arange(distinct.shape[1], device=distinct.device))
