"""Chooses the options of baselines on validation targets."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from typing import Any, Final

import numpy as np
import torch

from segue.batch import Batch
from segue.batches.data import SessionData
from segue.batches.held_out import Cases
from segue.batches.session_numbers import SESSION_NUMBER, SessionNumbers
from segue.batches.split import Split
from segue.hashing import splitmix64
from segue.ranking.baselines.baseline import Baseline, Grid
from segue.ranking.baselines.training_rows import TrainingRows
from segue.ranking.baselines.tuning_record import Tuning
from segue.ranking.set_metrics import ndcg
from segue.store import Store

TARGETS: Final = 2000
"""Most validation targets, those of the sessions with the smallest hashes."""
CUT: Final = 20
BATCH: Final = 256
ROUNDS: Final = 2
"""Times that each option is tried in turn."""


class ValidationTargets:
    """A sample of the validation targets of a split, the same for all baselines.

    Args:
        store: the store; split: its split.
        max_len: most tracks of a context.
    """

    def __init__(self, store: Store, split: Split, max_len: int) -> None:
        cases = split.cases["validation"]
        keys = splitmix64(np.asarray(store.session_key[cases.session]))
        index = np.sort(np.argsort(keys, kind="stable")[:TARGETS])
        data = SessionData.load(store, split, "cpu", {SESSION_NUMBER: SessionNumbers()})
        self.num = len(index)
        self._candidates, self._tracks = split.candidates, np.asarray(store.tracks)
        parts = [index[begin : begin + BATCH] for begin in range(0, len(index), BATCH)]
        self._batches = [(data.context_batch(cases, part, max_len), cases.of(part)) for part in parts]

    def criterion(self, baseline: Baseline) -> float:
        """Return NDCG@20 of the targets, or sets of targets, among all tracks; one that is no candidate is a miss."""

        def gains(batch: Batch, cases: Cases) -> float:
            if cases.positives is not None:
                none = torch.zeros((len(cases), 0), dtype=torch.int64)
                hits = cases.positives.hits(baseline.stand(batch, none, CUT).best.tracks.numpy())
                return float(ndcg(hits, cases.positives.counts, CUT).sum())
            target = self._tracks[cases.target].astype(np.int64)
            standing = baseline.stand(batch, torch.from_numpy(target)[:, None], 0)
            rank = 1 + standing.above.numpy()[:, 0] + standing.equal.numpy()[:, 0] / 2
            is_candidate = np.isin(target, self._candidates)
            return float((1 / np.log2(1 + rank[is_candidate & (rank <= CUT)])).sum())

        with ThreadPoolExecutor(max(torch.get_num_threads(), 1)) as pool:
            futures = [pool.submit(gains, *one) for one in self._batches]
            return sum(future.result() for future in futures) / max(self.num, 1)


def tuned(kind: type[Baseline], data: TrainingRows, targets: ValidationTargets) -> Baseline:
    """Return the baseline with the best options of its grid that a search by coordinates finds, fitted to `data`.

    From each of `kind.starts` on, each option in turn takes its best value while the others stay; ROUNDS times, or
    until nothing changes. Of equal values the one tried first stays.
    """
    if not kind.grid or targets.num == 0:
        return kind(data)
    tried: dict[Any, float] = {}

    def value(config: Any) -> float:
        if config not in tried:
            tried[config] = targets.criterion(kind(data, config))
        return tried[config]

    best = max((_climbed(kind.config_type(**start), kind.grid, value) for start in kind.starts), key=value)
    baseline = kind(data, best)
    data.forget_tables()
    baseline.tuning = Tuning(targets.num, kind.grid, [(asdict(one), tried[one]) for one in tried], asdict(best))
    return baseline


def _climbed(start: Any, grid: Grid, value: Callable[[Any], float]) -> Any:
    """Return the best options that a search by coordinates finds from `start` on."""
    best = start
    for _ in range(ROUNDS):
        before = best
        for name, values in grid.items():
            best = max([best, *(replace(best, **{name: one}) for one in values)], key=value)
        if best == before:
            break
    return best
