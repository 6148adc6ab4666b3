"""Scores of all table rows, and the standing of tracks by a full sort: what `Scorer.stand` must equal."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from segue.batch import Batch
from segue.ranking import Ranking, Scorer, Standing
from segue.ranking.standing import NOTHING


def all_scores(scorer: Scorer, batch: Batch, candidates: np.ndarray, num_rows: int | None = None) -> Tensor:
    """Return the scores of table rows [B, num_rows], by default up to the last candidate; -inf at other rows."""
    num_rows = int(candidates[-1]) + 1 if num_rows is None else num_rows
    rows = torch.from_numpy(candidates.astype(np.int64)).to(batch.tracks.device).expand(batch.num_sessions, -1)
    scores = scorer.score(batch, rows)
    return scores.new_full((batch.num_sessions, num_rows), NOTHING).scatter(1, rows, scores)


def dense_standing(
    scores: Tensor, candidates: Tensor, tracks: Tensor, k: int, scored: Tensor | None = None
) -> Standing:
    """Return the standing of `tracks` [B, T] by all scores [B, R]; `candidates`: candidate rows, ascending."""
    target_scores, rivals = scores.gather(1, tracks), scores[:, candidates]
    itself = candidates == tracks[:, :, None]
    above = ~(rivals[:, None] <= target_scores[:, :, None]) & ~itself
    equal = (rivals[:, None] == target_scores[:, :, None]) & ~itself
    ordered, order = rivals.masked_fill(rivals.isnan(), NOTHING).sort(dim=1, descending=True, stable=True)
    missing = (0, max(0, k - len(candidates)))
    top, rows = pad(ordered[:, :k], missing, value=NOTHING), pad(candidates[order][:, :k], missing)
    best = Ranking(rows.masked_fill(torch.isneginf(top), 0), top)
    return Standing(
        target_scores, above.sum(2), equal.sum(2), best, None if scored is None else scores.gather(1, scored)
    )
