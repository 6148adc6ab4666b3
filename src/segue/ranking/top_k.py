"""The K best tracks of each session, equal scores by lower row."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from segue.axes import Float, Int
from segue.ranking.scorer import Scorer
from segue.session_batch import SessionBatch


@dataclass(frozen=True)
class Ranking:
    """Ranked tracks of N sessions; places past the last candidate hold row 0 and -inf."""

    tracks: Int[Tensor, "N K"]
    scores: Float[Tensor, "N K"]


def top_k(scorer: Scorer, batch: SessionBatch, k: int, *, exclude_heard: bool = False) -> Ranking:
    """Return the `k` best candidates after each session; `exclude_heard` leaves out the tracks of the session."""
    scores = scorer.score_all(batch)
    if exclude_heard:
        scores = scores.scatter(1, batch.tracks, float("-inf"))
    ordered, tracks = scores.sort(dim=1, descending=True, stable=True)
    ordered, tracks = ordered[:, :k], tracks[:, :k]
    return Ranking(tracks.masked_fill(torch.isneginf(ordered), 0), ordered)
