"""Lists that are more or less adventurous than the model's: what was played before moves up or down."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from segue.axes import Bool, Int
from segue.batch import Batch
from segue.discovery import repeat_shift
from segue.ranking.scorer import Scorer
from segue.ranking.standing import NOTHING, Ranking


def discovering_lists(
    scorer: Scorer,
    batch: Batch,
    played: Int[Tensor, "B P"],
    k: int,
    discoveries: Sequence[float | None],
    *,
    exclude_heard: bool = False,
) -> list[Ranking]:
    """Return the `k` best candidates after each session for each of `discoveries`, with the scores of the model.

    `played`: candidates that were played before, each once, 0 = none; their scores are moved by `repeat_shift`.
    `exclude_heard` leaves out the tracks of the session. Ties by lower row.
    """
    heard = batch.padded.tracks
    longest = k + played.shape[1] + (heard.shape[1] if exclude_heard else 0)
    standing = scorer.stand(batch, heard[:, :0], longest, played.long())
    assert standing.scored is not None
    best = standing.best
    rows = torch.cat([best.tracks, played.long()], 1)
    scores = torch.cat([best.scores, standing.scored], 1)
    was_played = torch.arange(rows.shape[1], device=rows.device) >= best.tracks.shape[1]
    left_out = (rows == 0) | (~was_played & _among(rows, played))
    if exclude_heard:
        left_out |= _among(rows, heard)
    scores = scores.masked_fill(left_out, NOTHING)
    order = rows.sort(dim=1, stable=True).indices
    lists = []
    for discovery in discoveries:
        moved = scores.double() + repeat_shift(discovery) * was_played
        best_first = moved.gather(1, order).sort(dim=1, descending=True, stable=True).indices[:, :k]
        chosen = order.gather(1, best_first)
        chosen_scores = scores.gather(1, chosen)
        lists.append(Ranking(rows.gather(1, chosen).masked_fill(torch.isneginf(chosen_scores), 0), chosen_scores))
    return lists


def _among(rows: Int[Tensor, "B N"], few: Int[Tensor, "B P"]) -> Bool[Tensor, "B N"]:
    """Return which rows are among `few` of the same session."""
    if few.shape[1] == 0:
        return torch.zeros_like(rows, dtype=torch.bool)
    ascending = few.long().sort(dim=1).values
    index = torch.searchsorted(ascending, rows.contiguous()).clamp(max=few.shape[1] - 1)
    return ascending.gather(1, index) == rows
