"""The standing of tracks among all candidates, and the best candidates, without [B, V] scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

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
    scored: Float[Tensor, "B S"] | None = None
    """Scores of further tracks, from the same pass; None if none were asked for."""

    def to(self, device: Any) -> Standing:
        """Return the same standing on `device`."""
        best = Ranking(self.best.tracks.to(device), self.best.scores.to(device))
        scored = None if self.scored is None else self.scored.to(device)
        return Standing(self.scores.to(device), self.above.to(device), self.equal.to(device), best, scored)


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
