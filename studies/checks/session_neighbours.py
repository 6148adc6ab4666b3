"""What do session neighbours reach with what V-SKNN as shipped leaves out? Beside a run, on the same test targets.

`python studies/checks/session_neighbours.py STORE RUN` compares the shipped `v-sknn` and the run with neighbours whose
scores decay: a neighbour counts 1/step of the most recent track it shares with the session, counted back from the
session's end (Ludewig & Jannach 2018, V-SKNN's decay). How many neighbours are used is chosen on validation, by sampled
HR@10. It prints sampled HR@10, and HR@20 among all tracks with heard tracks kept and left out.

Still not the published method: it chooses among recent sessions only, this among all. Sparse products of 32 sessions at
a time; for stores of some ten thousand sessions.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from segue.batch import Batch
from segue.batches.split import split_store
from segue.evaluation.candidates import session_candidates
from segue.evaluation.evaluation_scene import make_scene
from segue.evaluation.metrics import hit
from segue.evaluation.ranking_pass import Contexts, full_ranks, sampled_ranks
from segue.ranking import ModelScorer, Scorer
from segue.ranking.baselines import QUANTUM, TrainingRows, Vsknn
from segue.ranking.standing import NOTHING, Ranking, Standing
from segue.runs import load_run
from segue.store import NUM_SPECIALS, Store

NUMBERS = (50, 100, 200, 500, 1000)
"""Neighbours tried."""


class Decaying(Vsknn):
    """V-SKNN whose neighbours count 1/step of the most recent common track."""

    name = "v-sknn with decay"

    def __init__(self, data: TrainingRows, neighbours: int) -> None:
        super().__init__(data)
        self.neighbours = neighbours

    def _session_scores(self, batch: Batch) -> Any:
        weights, length = self._decayed(batch), (batch.padded.tracks >= NUM_SPECIALS).sum(1).numpy()
        found = [self._of_session(weights.getrow(i), length[i]) for i in range(len(length))]
        return sparse.vstack(found, format="csr")

    def _of_session(self, weights: Any, length: int) -> Any:
        """Return the scores of a session whose tracks weigh place / `length`, [1, R]."""
        near, holders = self._holders[weights.indices], self._holders
        share, sessions = np.repeat(weights.data, np.diff(near.indptr)), near.indices
        similar = np.bincount(sessions, share, holders.shape[1])
        common = np.bincount(sessions, minlength=holders.shape[1])
        latest = np.zeros(holders.shape[1])
        np.maximum.at(latest, sessions, share)
        new = np.flatnonzero((common > 0) & (common < self._sizes))
        best = new[np.argsort(-similar[new], kind="stable")[: self.neighbours]]
        step = np.round((1 - latest[best]) * length) + 1
        row = sparse.csr_matrix(similar[best] / step) @ self._contents[best]
        row.data = np.round(row.data * QUANTUM)
        return row.tocsr()


class Unheard:
    """A scorer that never ranks a track of the session.

    Args:
        scorer: any; candidates: the rows that may be ranked.
    """

    reads_feedback = False

    def __init__(self, scorer: Scorer, candidates: np.ndarray) -> None:
        self._scorer, self._candidates, self.name = scorer, torch.from_numpy(candidates.astype(np.int64)), scorer.name

    def score(self, batch: Batch, candidates: Tensor) -> Tensor:
        """Return the scorer's own scores."""
        return self._scorer.score(batch, candidates)

    def stand(self, batch: Batch, tracks: Tensor, k: int) -> Standing:
        """Return the standing of `tracks` by the scores of all candidates; -inf for tracks of the session."""
        rows, heard = self._candidates.expand(batch.num_sessions, -1), batch.padded.tracks
        scores, candidates = self._scorer.score(batch, rows), self._candidates
        scores = scores.masked_fill((rows[:, :, None] == heard[:, None, :]).any(2), NOTHING)
        own = self._scorer.score(batch, tracks)
        own = own.masked_fill((tracks[:, :, None] == heard[:, None, :]).any(2), NOTHING)
        itself = candidates == tracks[:, :, None]
        above = ~(scores[:, None] <= own[:, :, None]) & ~itself
        equal = (scores[:, None] == own[:, :, None]) & ~itself
        best, order = scores.sort(dim=1, descending=True, stable=True)
        return Standing(own, above.sum(2), equal.sum(2), Ranking(candidates[order[:, :k]], best[:, :k]))


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("store")
    parser.add_argument("run")
    given = parser.parse_args()
    store, run = Store(given.store), load_run(given.run)
    config = run.recipe
    split = split_store(store, config.data)
    data = TrainingRows.of(store, split)

    def sampled(scorer: Scorer, contexts: Contexts) -> float:
        session = contexts.cases.session
        drawn = session_candidates(
            store, session, split.candidates, config.evaluation.candidates, config.evaluation.seed
        )
        return float(hit(sampled_ranks(scorer, contexts, drawn).ranks[:, 0], 10).mean())

    validation, test = (
        make_scene(store, split, config.data, config.evaluation, which, "cpu").contexts
        for which in ("validation", "test")
    )
    tried = {number: round(sampled(Decaying(data, number), validation), 4) for number in NUMBERS}
    chosen = max(tried, key=lambda number: tried[number])
    scorers = [ModelScorer(run.encoder, split.candidates, run.listen_weight), Vsknn(data), Decaying(data, chosen)]
    rows = []
    for scorer in scorers:
        full = {
            "heard kept": full_ranks(scorer, test),
            "heard left out": full_ranks(Unheard(scorer, split.candidates), test),
        }
        rows.append(
            {"name": scorer.name, "sampled hr@10": round(sampled(scorer, test), 4)}
            | {
                f"full hr@20, {name}": round(float(hit(found.ranks[:, 0], 20).mean()), 4)
                for name, found in full.items()
            }
        )
    document = {
        "simulated": dict(store.manifest.source.simulated),
        "targets": len(test.cases),
        "validation sampled hr@10 by neighbours": tried,
        "neighbours": chosen,
        "rows": rows,
    }
    print(json.dumps(document, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
