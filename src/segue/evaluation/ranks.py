"""Ranks of held-out tracks, in both protocols, block after block of sessions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segue.axes import Bool, Float, Int
from segue.batches.data import SessionData
from segue.batches.split import Cases, Split, ranges
from segue.errors import NonFiniteError
from segue.evaluation.candidates import sampled_candidates
from segue.ranking.scorer import Scorer
from segue.session_batch import SessionBatch
from segue.store import Store

SAMPLED_BLOCK: Final = 256
"""Sessions scored at once among sampled tracks."""
FULL_SCORES: Final = 2**25
"""Scores held at once in the full protocol."""


@dataclass(frozen=True)
class Targets:
    """What is to be ranked: held-out cases of one split of one store, on one device."""

    store: Store
    data: SessionData
    cases: Cases
    candidates: Int[Tensor, " C"]
    track: NDArray[np.int64]
    """Table row of each target."""
    seen: NDArray[np.bool_]
    """Whether the target may be ranked at all; where not, it is a miss (rank infinite)."""
    max_len: int

    @classmethod
    def of(cls, store: Store, split: Split, which: str, max_len: int, device: torch.device | str) -> Targets:
        """Return the targets of `which` (validation or test) of `split`."""
        cases = split.cases[which]  # type: ignore[index]
        track = np.asarray(store.tracks)[cases.target].astype(np.int64)
        candidates = torch.as_tensor(split.candidates.astype(np.int64), device=device)
        seen = np.isin(track, split.candidates)
        return cls(store, SessionData.load(store, split, device), cases, candidates, track, seen, max_len)


def rank_among(
    target: Float[Tensor, " B"], scores: Float[Tensor, "B K"], counted: Bool[Tensor, "B K"]
) -> Float[Tensor, " B"]:
    """Return 1 + #not(score <= target's) + #equal / 2 over the counted scores, float64; the target is not counted.

    A NaN target ranks last, a NaN rival above it.

    >>> one = torch.ones(1, 3, dtype=torch.bool)
    >>> rank_among(torch.tensor([2.0]), torch.tensor([[3.0, 2.0, 1.0]]), one).item()
    2.5
    """
    above = (~(scores <= target[:, None]) & counted).sum(1)
    equal = ((scores == target[:, None]) & counted).sum(1)
    return 1.0 + above.double() + equal.double() / 2.0


@dataclass(frozen=True)
class SampledRows:
    """The sampled candidates of every case, int32 on the CPU."""

    rows: Int[Tensor, "N K"]
    valid: Bool[Tensor, "N K"]


def sample_rows(targets: Targets, *, seed: int, num: int) -> SampledRows:
    """Return `num` sampled candidates of each case, none of them a track of its whole session."""
    device = targets.candidates.device
    keys = torch.from_numpy(np.asarray(targets.store.session_key)[targets.cases.session].view(np.int64)).to(device)
    rows, valid = [], []
    for block in _blocks(len(keys), 4 * SAMPLED_BLOCK):
        excluded = torch.from_numpy(_whole_sessions(targets.store, targets.cases.session[block])).to(device)
        index = torch.as_tensor(block, device=device)
        found = sampled_candidates(keys[index], excluded, targets.candidates, seed=seed, num=num)
        rows.append(found[0].int().cpu())
        valid.append(found[1].cpu())
    return SampledRows(torch.cat(rows), torch.cat(valid))


def sampled_ranks(targets: Targets, scorer: Scorer, sampled: SampledRows, *, flip: bool = False) -> NDArray[np.float64]:
    """Return the rank of each target among its sampled candidates (`flip`: with the last feedback flipped)."""

    def block_ranks(index: NDArray[np.int64]) -> Tensor:
        batch = targets.data.context_batch(targets.cases, index, targets.max_len)
        batch = flipped(batch) if flip else batch
        device = targets.candidates.device
        target = torch.as_tensor(targets.track[index], device=device)[:, None]
        rows = sampled.rows[index].long().to(device)
        scores = scorer.score(batch, torch.cat([target, rows], 1))
        _check(scorer, scores[:, 0])
        return rank_among(scores[:, 0], scores[:, 1:], sampled.valid[index].to(device))

    return _ranks(targets, block_ranks, SAMPLED_BLOCK)


def full_ranks(
    targets: Targets, scorer: Scorer, look: Callable[[NDArray[np.int64], Tensor], None] | None = None
) -> NDArray[np.float64]:
    """Return the rank of each target among all candidates, heard tracks kept; `look` sees each block of scores."""
    candidates = targets.candidates

    def block_ranks(index: NDArray[np.int64]) -> Tensor:
        batch = targets.data.context_batch(targets.cases, index, targets.max_len)
        scores = scorer.score_all(batch)
        if look is not None:
            look(index, scores)
        target = torch.as_tensor(targets.track[index], device=scores.device)[:, None]
        counted = candidates[None, :] != target
        _check(scorer, scores.gather(1, target))
        return rank_among(scores.gather(1, target)[:, 0], scores[:, candidates], counted)

    return _ranks(targets, block_ranks, max(1, min(SAMPLED_BLOCK, FULL_SCORES // len(targets.data.input_row))))


def _check(scorer: Scorer, target: Tensor) -> None:
    if bool(torch.isnan(target).any()):
        raise NonFiniteError(f"{scorer.name} scores a target NaN; train again with a lower learning rate")


def flipped(batch: SessionBatch) -> SessionBatch:
    """Return the batch with the feedback of each session's last track flipped (0 <-> 3)."""
    last = batch.valid.long().cumsum(1).argmax(1, keepdim=True)
    code = batch.feedback.gather(1, last)
    code = torch.where((code == 0) | (code == 3), 3 - code, code)
    return replace(batch, feedback=batch.feedback.scatter(1, last, code))


def _ranks(targets: Targets, block_ranks: Callable[[NDArray[np.int64]], Tensor], size: int) -> NDArray[np.float64]:
    ranks = np.full(len(targets.cases), np.inf)
    for block in _blocks(len(ranks), size):
        ranks[block] = block_ranks(block).cpu().numpy()
    ranks[~targets.seen] = np.inf
    return ranks


def _blocks(num: int, size: int) -> list[NDArray[np.int64]]:
    return [np.arange(first, min(first + size, num)) for first in range(0, num, size)]


def _whole_sessions(store: Store, sessions: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the tracks of whole sessions, right-padded with 0."""
    begin, end = np.asarray(store.offsets)[sessions], np.asarray(store.offsets)[sessions + 1]
    lengths = end - begin
    tracks = np.zeros((len(sessions), int(lengths.max())), np.int64)
    tracks[np.arange(tracks.shape[1]) < lengths[:, None]] = np.asarray(store.tracks)[ranges(begin, end)]
    return tracks
