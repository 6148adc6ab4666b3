"""One pass of a scorer over held-out targets: ranks, scores, and the best of each list."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import softplus

from segue.batch import Batch
from segue.batches.data import SessionData
from segue.batches.split import Cases
from segue.evaluation.ranks import rank_of, target_rank
from segue.evaluation.session_candidates import Candidates, KeptCandidates
from segue.ranking import Baseline, Scorer

BATCH: Final = 256
"""Sessions scored at a time on a CPU."""
FULL_BATCH: Final = 512
"""Sessions ranked among all candidates at a time on a CPU: one pass over the track table each."""
GPU_BATCH: Final = 2048
"""Sessions scored at a time elsewhere, in either protocol: each batch waits for the device."""
LIST: Final = 20
"""Length of the lists that are looked at."""


class Held:
    """Contexts of held-out targets of one split on a device, in blocks."""

    def __init__(self, data: SessionData, cases: Cases, max_len: int, candidate_rows: NDArray[np.int32]) -> None:
        self.data, self.cases, self.max_len, self.candidate_rows = data, cases, max_len, candidate_rows
        self.device = data.tracks.device
        self.target = data.tracks.cpu().numpy()[cases.target].astype(np.int64)
        """Table row of each target, [N]."""

    def blocks(self, size: int) -> Iterator[tuple[NDArray[np.int64], Batch]]:
        """Yield indices and contexts, `size` targets at a time."""
        for start in range(0, len(self.cases), size):
            index = np.arange(start, min(start + size, len(self.cases)))
            yield index, self.data.context_batch(self.cases, index, self.max_len)


@dataclass(frozen=True)
class Ranked:
    """What a pass found of T targets a context."""

    ranks: NDArray[np.float64]
    """[N, T]; infinity where the target is no candidate: a miss."""
    scores: NDArray[np.float64]
    """Scores of the targets, [N, T]."""
    losses: NDArray[np.float64]
    """Cross-entropy of each target among its own candidates, natural log, [N, T]; [N, 0] among all candidates."""
    best: NDArray[np.int32]
    """The LIST best tracks of each context, [N, LIST], 0 past the last candidate; [N, 0] in the sampled protocol."""
    num_nan: int
    """Targets that are candidates and whose score is NaN: they rank behind every rival."""
    behind_all: float
    """One rank behind the last that a candidate can have: where a track that is no candidate is put in mean ranks."""


Change = Callable[[Batch], Batch]


def sampled_ranks(
    scorer: Scorer,
    held: Held,
    candidates: Candidates | KeptCandidates,
    targets: NDArray[np.int64] | None = None,
    change: Change | None = None,
) -> Ranked:
    """Return the rank of each target (`targets` [N, T] table rows, or the held-out ones) among its own candidates.

    `change` is applied to the contexts before they are scored.
    """
    wanted = held.target[:, None] if targets is None else targets
    ranks, scores, losses = np.empty(wanted.shape), np.empty(wanted.shape), np.empty(wanted.shape)

    def one(index: NDArray[np.int64], batch: Batch) -> None:
        rivals = candidates.rows(index)
        own = torch.from_numpy(wanted[index]).to(held.device)
        asked = torch.cat([own, rivals.clamp(min=0)], dim=1)
        found = scorer.score(change(batch) if change else batch, asked)
        scores[index] = found[:, : own.shape[1]].double().cpu().numpy()
        present, others = rivals >= 0, found[:, own.shape[1] :]
        mass = others.double().masked_fill(~present, -torch.inf).logsumexp(1)
        for t in range(own.shape[1]):
            ranks[index, t] = target_rank(found[:, t], others, present).cpu().numpy()
            losses[index, t] = softplus(mass - found[:, t]).cpu().numpy()

    _each_block(scorer, held, BATCH, one)
    lists = np.zeros((len(wanted), 0), np.int32)
    return _ranked(held, wanted, Ranked(ranks, scores, losses, lists, 0, candidates.num + 2.0))


def full_ranks(
    scorer: Scorer, held: Held, targets: NDArray[np.int64] | None = None, change: Change | None = None
) -> Ranked:
    """Return the rank of each target among all candidates, heard tracks kept, and the best LIST of each context."""
    wanted = held.target[:, None] if targets is None else targets
    ranks, scores = np.empty(wanted.shape), np.empty(wanted.shape)
    best = np.zeros((len(wanted), LIST), np.int32)

    def one(index: NDArray[np.int64], batch: Batch) -> None:
        own = torch.from_numpy(wanted[index]).to(held.device)
        found = scorer.stand(change(batch) if change else batch, own, LIST)
        scores[index] = found.scores.double().cpu().numpy()
        ranks[index] = rank_of(found.above, found.equal).cpu().numpy()
        best[index] = found.best.tracks.int().cpu().numpy()

    _each_block(scorer, held, FULL_BATCH, one)
    losses = np.zeros((len(wanted), 0))
    return _ranked(held, wanted, Ranked(ranks, scores, losses, best, 0, len(held.candidate_rows) + 1.0))


def _each_block(scorer: Scorer, held: Held, on_cpu: int, one: Callable[[NDArray[np.int64], Batch], None]) -> None:
    """Call `one` for the contexts of each block; of a baseline's, as many at a time as there are threads."""
    if not isinstance(scorer, Baseline):
        for index, batch in held.blocks(on_cpu if held.device.type == "cpu" else GPU_BATCH):
            one(index, batch)
        return
    with _one_torch_thread() as threads, ThreadPoolExecutor(threads) as pool:  # NumPy and SciPy use one
        futures = [pool.submit(one, *block) for block in held.blocks(on_cpu)]
        for future in futures:
            future.result()


@contextmanager
def _one_torch_thread() -> Iterator[int]:
    """Let each thread begun inside have one thread of torch; yields how many torch had."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)


def _ranked(held: Held, wanted: NDArray[np.int64], found: Ranked) -> Ranked:
    """Return `found` with misses marked and NaN scores counted."""
    reachable = np.isin(wanted, held.candidate_rows)
    num_nan = int((np.isnan(found.scores) & reachable).sum())
    return replace(found, ranks=np.where(reachable, found.ranks, np.inf), num_nan=num_nan)
