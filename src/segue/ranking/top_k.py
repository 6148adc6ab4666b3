"""The K best tracks of each session, equal scores by lower row."""

from __future__ import annotations

import torch

from segue.batch import Batch
from segue.ranking.scorer import Scorer
from segue.ranking.standing import NOTHING, Ranking, listed


def top_k(scorer: Scorer, batch: Batch, k: int, *, exclude_heard: bool = False) -> Ranking:
    """Return the `k` best candidates after each session; `exclude_heard` leaves out the tracks of the session."""
    tracks = batch.padded.tracks
    if not exclude_heard:
        return scorer.stand(batch, tracks[:, :0], k).best
    # at most L of the k + L best are heard; the rest keep their order
    best = scorer.stand(batch, tracks[:, :0], k + tracks.shape[1]).best
    held = tracks.sort(dim=1).values
    place = torch.searchsorted(held, best.tracks).clamp(max=held.shape[1] - 1)
    heard = held.gather(1, place) == best.tracks
    order = heard.long().sort(dim=1, stable=True).indices
    scores = best.scores.masked_fill(heard, NOTHING)
    return listed(best.tracks.gather(1, order), scores.gather(1, order), k)
