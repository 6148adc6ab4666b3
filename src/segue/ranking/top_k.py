"""The K best tracks of each session, ties by lower row."""

from __future__ import annotations

import torch

from segue.batch import Batch
from segue.ranking.scorer import Scorer
from segue.ranking.standing import NOTHING, Ranking, listed


def top_k(scorer: Scorer, batch: Batch, k: int, *, exclude_heard: bool = False) -> Ranking:
    """Return the `k` best candidates after each session; `exclude_heard` excludes the tracks of the session."""
    tracks = batch.padded.tracks
    if not exclude_heard:
        return scorer.stand(batch, tracks[:, :0], k).best
    # at most L of the k + L best are heard; the others keep their order
    best = scorer.stand(batch, tracks[:, :0], k + tracks.shape[1]).best
    session_tracks = tracks.sort(dim=1).values
    index = torch.searchsorted(session_tracks, best.tracks).clamp(max=session_tracks.shape[1] - 1)
    heard = session_tracks.gather(1, index) == best.tracks
    order = heard.long().sort(dim=1, stable=True).indices
    scores = best.scores.masked_fill(heard, NOTHING)
    return listed(best.tracks.gather(1, order), scores.gather(1, order), k)
