"""One pass of a scorer over held-out targets: ranks, scores, and the best tracks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import softplus

from segue import skips
from segue.axes import Int
from segue.batch import Batch
from segue.batches.data import SessionData
from segue.batches.held_out import Cases
from segue.batches.positives import Positives
from segue.evaluation.candidates import NONE, Candidates
from segue.evaluation.heard_tracks import HeardTracks
from segue.evaluation.metrics import rank_of, target_rank
from segue.ranking import Baseline, Scorer, Standing

BATCH: Final = 256
"""Sessions scored at a time on a CPU."""
FULL_BATCH: Final = 512
"""Sessions ranked among all candidates at a time on a CPU: one pass over the track table each."""
GPU_BATCH: Final = 2048
"""Sessions scored at a time on a GPU, under any protocol; each batch waits for the device."""
LIST: Final = 20
"""Length of the lists."""


@dataclass(frozen=True)
class Contexts:
    """Contexts of held-out targets of one split on a device, in blocks."""

    data: SessionData
    cases: Cases
    max_len: int
    candidate_rows: NDArray[np.int32]
    flip_from: int | None = None
    """Whether the feedback of the last tracks is flipped: None, or the smallest strength that counts as a skip."""

    @property
    def device(self) -> torch.device:
        """Return the device of the contexts."""
        return self.data.tracks.device

    @cached_property
    def target(self) -> NDArray[np.int64]:
        """Table row of each target, [N]; of a set of targets its first track."""
        if self.cases.positives is not None:
            return self.cases.positives.tracks[self.cases.positives.offsets[:-1]]
        return self.data.tracks.cpu().numpy()[self.cases.target].astype(np.int64)

    def blocks(self, size: int) -> Iterator[tuple[NDArray[np.int64], Batch]]:
        """Yield indices and contexts, `size` targets at a time."""
        for start in range(0, len(self.cases), size):
            index = np.arange(start, min(start + size, len(self.cases)))
            batch = self.data.context_batch(self.cases, index, self.max_len)
            yield index, batch if self.flip_from is None else flipped(batch, self.flip_from)


def flipped(batch: Batch, skip_at_least: int = skips.SKIP_AT_LEAST) -> Batch:
    """Return the batch with the feedback of each session's last track flipped: listened -> 3, skipped -> 0.

    Skipped means strength >= `skip_at_least`. Unknown feedback does not change.
    """
    feedback = batch.feedback[batch.last]
    opposite = torch.where(skips.listened(feedback, skip_at_least), skips.VERY_BRIEFLY, skips.TO_ITS_END)
    turned = torch.where(feedback <= skips.VERY_BRIEFLY, opposite, feedback)
    return _with_feedback(batch, batch.last, turned)


def _with_feedback(batch: Batch, index: Int[Tensor, " n"], feedback: Int[Tensor, " n"]) -> Batch:
    """Return the batch with other feedback at positions `index`, also where a history has them."""
    history = batch.history
    if history is not None:
        sequences = _scattered(history.sequences, history.place[index], feedback)
        history = replace(history, sequences=sequences)
    return replace(_scattered(batch, index, feedback), history=history)


def _scattered(batch: Batch, index: Tensor, feedback: Tensor) -> Batch:
    return replace(batch, feedback=batch.feedback.scatter(0, index, feedback.to(batch.feedback.dtype)))


@dataclass(frozen=True)
class Ranked:
    """Results of a pass for T targets per context."""

    ranks: NDArray[np.float64]
    """[N, T]; infinity for a target that is not a candidate: a miss."""
    scores: NDArray[np.float64]
    """Scores of the targets, [N, T]."""
    losses: NDArray[np.float64]
    """Cross-entropy of each target among its sampled candidates, natural log, [N, T]; [N, 0] among all tracks."""
    best: NDArray[np.int32]
    """The LIST best tracks of each context, [N, LIST], 0 after the last candidate; [N, 0] among sampled ones."""
    num_nan: int
    """Candidate targets whose score is NaN; they rank after every rival."""
    behind_all: float
    """Rank of a track that is not a candidate in mean ranks: one behind the last candidate."""


def sampled_ranks(
    scorer: Scorer, contexts: Contexts, candidates: Candidates, targets: NDArray[np.int64] | None = None
) -> Ranked:
    """Return the rank of each target among its candidates.

    `targets`: table rows [N, T], by default the held-out ones.
    """
    wanted = contexts.target[:, None] if targets is None else targets
    ranks, scores, losses = np.empty(wanted.shape), np.empty(wanted.shape), np.empty(wanted.shape)

    def one(index: NDArray[np.int64], batch: Batch) -> None:
        rivals = candidates.rows(index)
        target = torch.from_numpy(wanted[index]).to(contexts.device)
        scored = scorer.score(batch, torch.cat([target, rivals.clamp(min=0)], dim=1))
        scores[index] = scored[:, : target.shape[1]].double().cpu().numpy()
        present, others = rivals >= 0, scored[:, target.shape[1] :]
        mass = others.double().masked_fill(~present, -torch.inf).logsumexp(1)
        for t in range(target.shape[1]):
            ranks[index, t] = target_rank(scored[:, t], others, present).cpu().numpy()
            losses[index, t] = softplus(mass - scored[:, t]).cpu().numpy()

    _each_block(scorer, contexts, BATCH, one)
    lists = np.zeros((len(wanted), 0), np.int32)
    return _ranked(contexts, wanted, Ranked(ranks, scores, losses, lists, 0, candidates.num + 2.0))


def full_ranks(scorer: Scorer, contexts: Contexts, targets: NDArray[np.int64] | None = None) -> Ranked:
    """Return the rank of each target among all candidates, heard tracks included, and the best LIST of each context."""
    form = _FullForm(contexts, targets)

    def one(index: NDArray[np.int64], batch: Batch) -> None:
        form.note(index, scorer.stand(batch, form.targets(index), LIST))

    _each_block(scorer, contexts, FULL_BATCH, one)
    return form.ranked()


def both_forms(scorer: Scorer, contexts: Contexts, targets: NDArray[np.int64] | None = None) -> tuple[Ranked, Ranked]:
    """Return the results of `full_ranks`, and those with the heard tracks left out, from one pass.

    In the second form the tracks of the context, as far as a model reads, are no candidates: they are no rivals and in
    no list, and a target among them is a miss.
    """
    with_heard, without_heard = _FullForm(contexts, targets), _FullForm(contexts, targets)
    candidates = torch.from_numpy(contexts.candidate_rows.astype(np.int64)).to(contexts.device)

    def one(index: NDArray[np.int64], batch: Batch) -> None:
        wanted, heard = with_heard.targets(index), HeardTracks.of(batch, candidates)
        standing = scorer.stand(batch, wanted, LIST + heard.tracks.shape[1], heard.scored)
        with_heard.note(index, standing)
        without_heard.note(index, heard.left_out(standing, LIST), heard.holds(wanted))

    _each_block(scorer, contexts, FULL_BATCH, one)
    return with_heard.ranked(), without_heard.ranked()


class _FullForm:
    """Results among all candidates, written block by block."""

    def __init__(self, contexts: Contexts, targets: NDArray[np.int64] | None) -> None:
        """`targets`: table rows [N, T], by default the held-out ones."""
        self._contexts = contexts
        self._wanted = contexts.target[:, None] if targets is None else targets
        self._ranks, self._scores = np.empty(self._wanted.shape), np.empty(self._wanted.shape)
        self._heard = np.zeros(self._wanted.shape, np.bool_)
        self._best = np.zeros((len(self._wanted), LIST), np.int32)

    def targets(self, index: NDArray[np.int64]) -> Tensor:
        """Return the targets of the contexts `index`, [B, T]."""
        return torch.from_numpy(self._wanted[index]).to(self._contexts.device)

    def note(self, index: NDArray[np.int64], standing: Standing, heard: Tensor | None = None) -> None:
        """Write the standing of the targets of the contexts `index`; those in `heard` [B, T] are no candidates."""
        self._scores[index] = standing.scores.double().cpu().numpy()
        self._ranks[index] = rank_of(standing.above, standing.equal).cpu().numpy()
        self._best[index] = standing.best.tracks[:, :LIST].int().cpu().numpy()
        if heard is not None:
            self._heard[index] = heard.cpu().numpy()

    def ranked(self) -> Ranked:
        """Return the results of all contexts."""
        losses, behind_all = np.zeros((len(self._wanted), 0)), len(self._contexts.candidate_rows) + 1.0
        ranked = Ranked(self._ranks, self._scores, losses, self._best, 0, behind_all)
        return _ranked(self._contexts, np.where(self._heard, NONE, self._wanted), ranked)


def ranks_among_all(scorer: Scorer, contexts: Contexts) -> NDArray[np.float64]:
    """Return the rank of each target among all candidates, without lists, [N]; infinity for one that is none."""
    ranks = np.full(len(contexts.target), np.inf)
    for index, batch in contexts.blocks(FULL_BATCH if contexts.device.type == "cpu" else GPU_BATCH):
        standing = scorer.stand(batch, torch.from_numpy(contexts.target[index, None]).to(contexts.device), 0)
        ranks[index] = rank_of(standing.above, standing.equal)[:, 0].cpu().numpy()
    return np.where(np.isin(contexts.target, contexts.candidate_rows), ranks, np.inf)


def best_lists(scorer: Scorer, contexts: Contexts, k: int) -> NDArray[np.int32]:
    """Return the `k` best tracks after each context, heard ones included, [N, k]; 0 after the last candidate."""
    best = np.zeros((len(contexts.cases), k), np.int32)

    def one(index: NDArray[np.int64], batch: Batch) -> None:
        none = torch.zeros((len(index), 0), dtype=torch.int64, device=contexts.device)
        best[index] = scorer.stand(batch, none, k).best.tracks.int().cpu().numpy()

    _each_block(scorer, contexts, FULL_BATCH, one)
    return best


def lists_without(scorer: Scorer, contexts: Contexts, left_out: Positives, k: int) -> NDArray[np.int32]:
    """Return the `k` best tracks after each context that are not in its set `left_out`, [N, k]; 0 after the last.

    Longer and longer lists are asked for, of the contexts whose lists are too short without these tracks.
    """
    result, width = np.zeros((len(contexts.cases), k), np.int32), 4 * k
    short = np.arange(len(contexts.cases))
    while len(short):
        some = replace(contexts, cases=contexts.cases.of(short))
        best = best_lists(scorer, some, width)
        allowed = (best > 0) & ~left_out.of(short).hits(best)
        order = np.argsort(~allowed, axis=1, kind="stable")[:, :k]
        taken = np.where(np.take_along_axis(allowed, order, 1), np.take_along_axis(best, order, 1), 0)
        done = (taken > 0).all(axis=1) | (width >= len(contexts.candidate_rows))
        result[short[done], : taken.shape[1]] = taken[done]
        short, width = short[~done], 4 * width
    return result


def _each_block(
    scorer: Scorer, contexts: Contexts, on_cpu: int, one: Callable[[NDArray[np.int64], Batch], None]
) -> None:
    """Call `one` for the contexts of each block; for a baseline in as many threads as torch has."""
    if not isinstance(scorer, Baseline):
        for index, batch in contexts.blocks(on_cpu if contexts.device.type == "cpu" else GPU_BATCH):
            one(index, batch)
        return
    with _one_torch_thread() as threads, ThreadPoolExecutor(threads) as pool:  # NumPy and SciPy use one thread
        futures = [pool.submit(one, *block) for block in contexts.blocks(on_cpu)]
        for future in futures:
            future.result()


@contextmanager
def _one_torch_thread() -> Iterator[int]:
    """Limit torch to one thread inside; yields how many it had."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)


def _ranked(contexts: Contexts, wanted: NDArray[np.int64], ranked: Ranked) -> Ranked:
    """Return `ranked` with misses as infinity and NaN scores counted."""
    reachable = np.isin(wanted, contexts.candidate_rows)
    num_nan = int((np.isnan(ranked.scores) & reachable).sum())
    return replace(ranked, ranks=np.where(reachable, ranked.ranks, np.inf), num_nan=num_nan)
