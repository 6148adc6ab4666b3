"""The interface of everything that ranks tracks, and the K best tracks of each session."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from segue.axes import Float, Int
from segue.batch import Batch
from segue.ranking.standing import NOTHING, Ranking, Standing


@runtime_checkable
class Scorer(Protocol):
    """Scores tracks as the next one after each session of a batch (contexts, right-padded, true strengths)."""

    @property
    def name(self) -> str:
        """Name in tables: 'model', 'popularity', 'markov', ..."""

    @property
    def reads_feedback(self) -> bool:
        """Whether the feedback of a context can change a score."""

    def score(self, batch: Batch, candidates: Int[Tensor, "B K"]) -> Float[Tensor, "B K"]:
        """Return the score of each candidate row (>= NUM_SPECIALS) for its session; higher is better."""

    def stand(
        self, batch: Batch, tracks: Int[Tensor, "B T"], k: int, scored: Int[Tensor, "B S"] | None = None
    ) -> Standing:
        """Return the standing of `tracks` among all candidates after each session, and the `k` best candidates.

        Equals the standing by `score` of every candidate, without all scores in memory. `scored`: tracks whose scores
        are returned as well. They are comparable with those of `tracks` to the last bit; a second call's need not be,
        since a GPU may add up in another order.
        """


def top_k(scorer: Scorer, batch: Batch, k: int, *, exclude_heard: bool = False) -> Ranking:
    """Return the `k` best candidates after each session, ties by lower row.

    `exclude_heard` leaves out the tracks of the session.
    """
    tracks = batch.padded.tracks
    if not exclude_heard:
        return scorer.stand(batch, tracks[:, :0], k).best
    # at most L of the k + L best are heard; the others keep their order
    best = scorer.stand(batch, tracks[:, :0], k + tracks.shape[1]).best
    session_tracks = tracks.sort(dim=1).values
    index = torch.searchsorted(session_tracks, best.tracks).clamp(max=session_tracks.shape[1] - 1)
    heard = session_tracks.gather(1, index) == best.tracks
    order = heard.long().sort(dim=1, stable=True).indices[:, :k]
    scores = best.scores.masked_fill(heard, NOTHING).gather(1, order)
    return Ranking(best.tracks.gather(1, order).masked_fill(torch.isneginf(scores), 0), scores)
