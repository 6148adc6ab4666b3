"""One pass of a scorer over held-out targets: a rank each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segue.batches.data import SessionData
from segue.batches.split import Cases
from segue.evaluation.ranks import target_rank
from segue.evaluation.session_candidates import Candidates
from segue.ranking.scorer import Scorer
from segue.session_batch import SessionBatch

BATCH: Final = 256
"""Sessions scored at a time."""
CELLS: Final = 32_000_000
"""Scores held at a time in the full protocol."""


class Held:
    """Held-out targets of one split on a device: contexts and target rows, in blocks."""

    def __init__(self, data: SessionData, cases: Cases, max_len: int, candidate_rows: NDArray[np.int32]) -> None:
        self.data, self.cases, self.max_len = data, cases, max_len
        tracks = data.tracks.cpu().numpy()
        self.target = tracks[cases.target].astype(np.int64)
        """Table row of each target, [N]."""
        self.reachable = np.isin(self.target, candidate_rows)
        """False where the target is no candidate: a miss."""

    def blocks(self, size: int) -> Iterator[tuple[NDArray[np.int64], SessionBatch]]:
        """Yield indices and contexts, `size` targets at a time."""
        for start in range(0, len(self.cases), size):
            index = np.arange(start, min(start + size, len(self.cases)))
            yield index, self.data.context_batch(self.cases, index, self.max_len)


def sampled_ranks(
    scorer: Scorer, held: Held, candidates: Candidates, report: Callable[[int], None] | None = None
) -> NDArray[np.float64]:
    """Return the rank of each target among its own candidates, float64 [N]; a target that is no candidate has infinity.

    `ranks` of a NaN target lie behind every candidate; `np.isnan` never holds.
    """
    device = held.data.tracks.device
    ranks = np.full(len(held.target), np.inf)
    for index, batch in held.blocks(BATCH):
        rows = torch.from_numpy(candidates.rows[index].astype(np.int64)).to(device)
        target = torch.from_numpy(held.target[index]).to(device)
        present = rows >= 0
        scores = scorer.score(batch, torch.cat([target[:, None], rows.clamp(min=0)], dim=1))
        ranks[index] = target_rank(scores[:, 0], scores[:, 1:], present).cpu().numpy()
        if report:
            report(int(index[-1]) + 1)
    return np.where(held.reachable, ranks, np.inf)


def full_ranks(
    scorer: Scorer, held: Held, candidate_rows: NDArray[np.int32], report: Callable[[int], None] | None = None
) -> NDArray[np.float64]:
    """Return the rank of each target among all candidates, heard tracks kept, float64 [N]."""
    device = held.data.tracks.device
    ranks = np.full(len(held.target), np.inf)
    allowed = torch.zeros(len(held.data.input_row), dtype=torch.bool, device=device)
    allowed[torch.from_numpy(candidate_rows.astype(np.int64)).to(device)] = True
    size = max(1, min(BATCH, CELLS // len(allowed)))
    for index, batch in held.blocks(size):
        scores = scorer.score_all(batch)
        target = torch.from_numpy(held.target[index]).to(device)[:, None]
        present = allowed.expand(len(index), -1).scatter(1, target, False)
        ranks[index] = target_rank(scores.gather(1, target)[:, 0], scores, present).cpu().numpy()
        if report:
            report(int(index[-1]) + 1)
    return np.where(held.reachable, ranks, np.inf)


def pair_scores(scorer: Scorer, held: Held, pairs: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the scores [N, 2] of two tracks (table rows `pairs` [N, 2]) after each context."""
    device = held.data.tracks.device
    scores = np.empty(pairs.shape)
    for index, batch in held.blocks(BATCH):
        asked: Tensor = torch.from_numpy(pairs[index]).to(device)
        scores[index] = scorer.score(batch, asked).double().cpu().numpy()
    return scores
