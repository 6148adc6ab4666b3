"""Ranks of validation targets for many weights of the same model: its states are computed once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segue.batch import Batch
from segue.evaluation.metrics import gain, rank_of
from segue.evaluation.ranking_pass import FULL_BATCH, GPU_BATCH, Contexts
from segue.model import Encoder
from segue.model.heads import NeighboursHead
from segue.ranking import ModelScorer
from segue.ranking.set_metrics import ndcg


@contextmanager
def keeping_neighbours(encoder: Encoder) -> Iterator[None]:
    """Inside, what session neighbours say after the same sessions is computed once."""
    with ExitStack() as stack:
        for head in encoder.heads.values():
            if isinstance(head, NeighboursHead):
                stack.enter_context(head.keeping())
        yield


class SettlingRanks:
    """Ranks the targets of `contexts` after states of `encoder`, whose heads may change their weights."""

    def __init__(self, encoder: Encoder, contexts: Contexts) -> None:
        self.encoder, self._contexts = encoder.eval(), contexts
        size = FULL_BATCH if contexts.device.type == "cpu" else GPU_BATCH
        self._blocks: list[tuple[NDArray[np.int64], Batch, Tensor]] = []
        with torch.no_grad():
            for index, batch in contexts.blocks(size):
                self._blocks.append((index, batch, encoder.next_state(batch)))

    def mean_log_mass(self, scorer: ModelScorer) -> float:
        """Return the mean over the contexts of log of the sum of exp(score of the encoder alone)."""
        return float(torch.cat([scorer.log_mass(state) for _, _, state in self._blocks]).mean())

    def gains(self, scorer: ModelScorer, cutoff: int) -> NDArray[np.float64]:
        """Return the NDCG of each context within the cutoff, by the ranks of targets, or of its set of targets."""
        positives = self._contexts.cases.positives
        if positives is None:
            return gain(self.ranks(scorer), cutoff)
        best = np.zeros((len(positives), cutoff), np.int64)
        for index, batch, state in self._blocks:
            none = torch.zeros((len(index), 0), dtype=torch.int64, device=state.device)
            best[index] = scorer.stand_after(state, batch, none, cutoff).best.tracks.cpu().numpy()
        return ndcg(positives.hits(best), positives.counts, cutoff)

    def ranks(self, scorer: ModelScorer) -> NDArray[np.float64]:
        """Return the rank of each target among all candidates of `scorer`, a scorer of the encoder; infinity = none."""
        target = self._contexts.target
        ranks = np.full(len(target), np.inf)
        for index, batch, state in self._blocks:
            wanted = torch.from_numpy(target[index, None]).to(state.device)
            standing = scorer.stand_after(state, batch, wanted, 0)
            ranks[index] = rank_of(standing.above, standing.equal)[:, 0].cpu().numpy()
        return np.where(np.isin(target, self._contexts.candidate_rows), ranks, np.inf)
