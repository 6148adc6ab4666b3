"""The standing of tracks among all candidates, and the best candidates, without [B, V] scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from segue.axes import Bool, Float, Int

NOTHING: Final = float("-inf")
"""Score after the last candidate."""


@dataclass(frozen=True)
class Ranking:
    """Ranked tracks of N sessions; after the last candidate row 0 and -inf."""

    tracks: Int[Tensor, "N K"]
    scores: Float[Tensor, "N K"]


@dataclass(frozen=True)
class Standing:
    """The standing of T targets among the candidates after each of B sessions, and the K best candidates."""

    scores: Float[Tensor, "B T"]
    """Score of each target."""
    above: Int[Tensor, "B T"]
    """Other candidates whose score is not <= that of the target (NaN on either side counts above)."""
    equal: Int[Tensor, "B T"]
    """Other candidates with the target's score."""
    best: Ranking
    """The K best candidates, ties by lower row, without NaN."""


def dense_standing(
    scores: Float[Tensor, "B R"], candidates: Int[Tensor, " C"], tracks: Int[Tensor, "B T"], k: int
) -> Standing:
    """Return the standing of `tracks` from all scores; faster implementations must equal this one.

    `candidates`: candidate rows, ascending.
    """
    target_scores, rivals = scores.gather(1, tracks), scores[:, candidates]
    itself = candidates == tracks[:, :, None]
    above = ~(rivals[:, None] <= target_scores[:, :, None]) & ~itself
    equal = (rivals[:, None] == target_scores[:, :, None]) & ~itself
    ordered, order = rivals.masked_fill(rivals.isnan(), NOTHING).sort(dim=1, descending=True, stable=True)
    return Standing(target_scores, above.sum(2), equal.sum(2), listed(candidates[order], ordered, k))


def listed(tracks: Int[Tensor, "B n"], scores: Float[Tensor, "B n"], k: int) -> Ranking:
    """Return the first `k` of ordered tracks, with row 0 and -inf after the last real one."""
    missing = max(0, k - tracks.shape[1])
    top_scores = torch.nn.functional.pad(scores[:, :k], (0, missing), value=NOTHING)
    rows = torch.nn.functional.pad(tracks[:, :k], (0, missing))
    return Ranking(rows.masked_fill(torch.isneginf(top_scores), 0), top_scores)


def member(candidates: Int[Tensor, " C"], tracks: Int[Tensor, "*shape"]) -> Bool[Tensor, "*shape"]:
    """Return which `tracks` are among `candidates` (ascending)."""
    index = torch.searchsorted(candidates, tracks).clamp(max=len(candidates) - 1)
    return candidates[index] == tracks


def ranked(who: Tensor, rows: Tensor, scores: Tensor, num: int, k: int) -> Ranking:
    """Return the `k` best cells of each of `num` sessions, ties by lower row; no score is NaN."""
    order = rows.sort(stable=True).indices
    order = order[scores[order].sort(descending=True, stable=True).indices]
    order = order[who[order].sort(stable=True).indices]
    who = who[order]
    rank = torch.arange(len(who), device=who.device) - torch.searchsorted(who, who)
    short = rank < k
    at = who[short], rank[short]
    best = torch.full((num, k), NOTHING, device=who.device)
    best_rows = torch.zeros(best.shape, dtype=torch.int64, device=who.device)
    best[at], best_rows[at] = scores[order][short], rows[order][short]
    return Ranking(best_rows.masked_fill(torch.isneginf(best), 0), best)
