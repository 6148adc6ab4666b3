"""Baselines of every table, each trained on training rows alone and backing off to popularity.

A score is an integer (what the baseline knows) plus popularity / (most popular + 1), below 1, in float64: the
order is lexicographic, so that tracks of which the baseline knows nothing do not tie at 0.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from segue import skips
from segue.axes import Float, Int
from segue.batch import Batch
from segue.batches.split import Split, visible_strength
from segue.ranking.neighbours import Entries, Sets, largest
from segue.ranking.scorer import Scorer
from segue.ranking.shared_order import SharedOrder, known_at
from segue.ranking.standing import Ranking, Standing
from segue.store import NUM_SPECIALS, Store

QUANTUM: Final = 2**20
"""Steps of a quantised rate or similarity."""
SIMILARITY_STEPS: Final = 2**14
"""Steps of a similarity of two sessions in V-SKNN."""
SHARED: Final = 2.0**20
"""Weight of a common track beside its similarity: above any sum of similarities."""
NEIGHBOURS: Final = 100
"""Sessions that V-SKNN listens to (Ludewig & Jannach 2018 use 100 to 500)."""

MOST_SIMILAR: Final = 2**24
"""Above any similarity in steps: of the tracks of a session, each adds at most SIMILARITY_STEPS."""
TOGETHER: Final = 32
"""Sessions whose neighbours are looked for at a time: in 450,000, one shares a track with 27,000 others."""


@dataclass(frozen=True)
class TrainingRows:
    """The training rows of a split, flat."""

    tracks: NDArray[np.int64]
    session: NDArray[np.int64]
    """Index of the training session of each row, ascending."""
    strength: NDArray[np.uint8]
    """Unknown where the split hides it."""
    skip_at_least: int
    counts: NDArray[np.int64]
    """Training plays of each table row, [V + 3]."""
    candidates: NDArray[np.int32]

    @classmethod
    def of(cls, store: Store, split: Split) -> TrainingRows:
        """Return the training rows of `split`."""
        rows = split.training_rows
        session = np.repeat(np.arange(len(split.train_begin)), split.train_end - split.train_begin)
        tracks, strength = np.asarray(store.tracks)[rows].astype(np.int64), visible_strength(store, split)[rows]
        return cls(tracks, session, strength, split.skip_at_least, split.training_counts, split.candidates)


class Baseline(ABC):
    """What baselines share: a score of each row that all sessions see, and what a session's own tracks add to it."""

    name: ClassVar[str]
    reads_feedback: ClassVar[bool] = False

    def __init__(self, data: TrainingRows) -> None:
        self._shared = data.counts / (data.counts.max() + 1.0)
        """Popularity below 1, and above it integers that hold for all sessions, float64 [R]."""
        self._candidates = data.candidates

    @abstractmethod
    def _known(self, batch: Batch) -> Any:
        """Return what the baseline knows of each session: integers >= 0, sparse CSR [B, R]; None for nothing."""

    def score(self, batch: Batch, candidates: Int[Tensor, "B K"]) -> Float[Tensor, "B K"]:
        """Return the score of each candidate row for its session, float64."""
        rows, known = candidates.cpu().numpy(), self._known(batch)
        scores = self._shared[rows] if known is None else known_at(known, rows) + self._shared[rows]
        return torch.from_numpy(scores).to(candidates.device)

    def score_all(self, batch: Batch) -> Float[Tensor, "B R"]:
        """Return scores of all table rows, float64, -inf at rows that are no candidates."""
        known = self._known(batch)
        own = np.zeros((batch.num_sessions, 1)) if known is None else known.toarray()
        scores = np.full((batch.num_sessions, len(self._shared)), -np.inf)
        scores[:, self._candidates] = (own + self._shared)[:, self._candidates]
        return torch.from_numpy(scores).to(batch.tracks.device)

    def stand(self, batch: Batch, tracks: Int[Tensor, "B T"], k: int) -> Standing:
        """Return where `tracks` stand among all candidates, and the `k` best."""
        found = self._order.stand(self._known(batch), tracks.cpu().numpy(), k)
        device = batch.tracks.device
        best = Ranking(found.best.tracks.to(device), found.best.scores.to(device))
        return Standing(found.scores.to(device), found.above.to(device), found.equal.to(device), best)

    @cached_property
    def _order(self) -> SharedOrder:
        return SharedOrder(self._shared, self._candidates)


class Popularity(Baseline):
    """Training plays."""

    name = "popularity"

    def _known(self, batch: Batch) -> Any:
        return None


class RepeatLast(Baseline):
    """The last track again, then popularity."""

    name = "repeat-last"

    def _known(self, batch: Batch) -> Any:
        last = last_track(batch)
        shape = (len(last), len(self._shared))
        return sparse.csr_matrix((np.ones(len(last)), (np.arange(len(last)), last)), shape=shape)


class Markov(Baseline):
    """First-order transitions counted in training parts, then popularity."""

    name = "markov"

    def __init__(self, data: TrainingRows) -> None:
        super().__init__(data)
        within = data.session[1:] == data.session[:-1]
        before, after = data.tracks[:-1][within], data.tracks[1:][within]
        size = (len(data.counts), len(data.counts))
        self._transitions = sparse.csr_matrix((np.ones(len(before)), (before, after)), shape=size)

    def _known(self, batch: Batch) -> Any:
        return self._transitions[last_track(batch)]


class Vsknn(Baseline):
    """Session k-NN, simpler than V-SKNN (Ludewig & Jannach 2018).

    We differ: a neighbour's scores do not decay by 1/step of the most recent common track, all training sessions are
    neighbours and not a choice of recent ones, and the number of neighbours is not tuned.

    Similarity of a session to a training session = sum over their common tracks of the place in the session / its
    length (its last mention counts); a track's score = sum of the similarities of the 100 nearest that hold it.
    Training sessions that hold nothing but tracks of the session (its own training part, for one) are passed over.
    """

    name = "v-sknn"

    def __init__(self, data: TrainingRows) -> None:
        super().__init__(data)
        shape = (int(data.session[-1]) + 1, len(data.counts))
        held = sparse.csr_matrix((np.ones(len(data.tracks)), (data.session, data.tracks)), shape=shape)
        held.data[:] = 1.0
        self._held, self._holders, self._sizes = held, held.T.tocsr(), np.diff(held.indptr)
        self._on: tuple[torch.device, Sets, Sets, Tensor] | None = None

    def _known(self, batch: Batch) -> Any:
        weights = self._decayed(batch)
        if batch.tracks.device.type != "cpu":
            return self.scores_on(batch.tracks.device, weights)
        parts = [self.scores(weights[i : i + TOGETHER]) for i in range(0, weights.shape[0], TOGETHER)]
        return sparse.vstack(parts, format="csr")

    def scores_on(self, device: torch.device, weights: Any) -> Any:
        """Return what `scores` returns, worked out on `device`."""
        if self._on is None or self._on[0] != device:
            sizes = torch.from_numpy(self._sizes).to(device)
            self._on = device, Sets(self._holders, device), Sets(self._held, device), sizes
        _, holders, held, sizes = self._on
        asked = Entries.of(weights, device)
        found = holders.summed(Entries(asked.row, asked.column, asked.value + SHARED))
        shared = (found.value / SHARED).floor()
        similar = ((found.value - SHARED * shared) * SIMILARITY_STEPS).round().long()
        new = shared < sizes[found.column]
        apart = Entries(found.row[new], found.column[new], similar[new] / SIMILARITY_STEPS)
        nearest = largest(apart, similar[new], NEIGHBOURS, MOST_SIMILAR)
        scores = held.summed(nearest)
        return Entries(scores.row, scores.column, (scores.value * QUANTUM).round()).csr(weights.shape)

    def scores(self, weights: Any) -> Any:
        """Return the scores of sessions whose tracks weigh `weights`, sparse CSR [B, R] both."""
        weights = weights.copy()
        weights.data += SHARED  # one product gives the similarity and, above it, the number of common tracks
        found = (weights @ self._holders).tocoo()
        shared = np.floor(found.data / SHARED)
        similar = np.round((found.data - SHARED * shared) * SIMILARITY_STEPS).astype(np.int64)
        new = shared < self._sizes[found.col]
        num, width = found.shape[0], max(found.shape[1] - 1, 1).bit_length()
        # one integer a neighbour, [row | most similar first | column]: one sort orders all sessions' neighbours
        most = 1 << (63 - width - num.bit_length())
        key = found.row[new].astype(np.int64) * most + (most - 1 - similar[new])
        key = np.sort((key << width) + found.col[new])
        row, col = (key >> width) // most, key & ((1 << width) - 1)
        value = (most - 1 - (key >> width) % most) / SIMILARITY_STEPS
        begin = np.searchsorted(row, np.arange(num))
        near = np.arange(len(row)) - begin[row] < NEIGHBOURS
        nearest = sparse.csr_matrix((value[near], (row[near], col[near])), shape=found.shape)
        scores = (nearest @ self._held).tocsr()
        scores.data = np.round(scores.data * QUANTUM)
        return scores

    def _decayed(self, batch: Batch) -> Any:
        """Return [B, R]: place / length of the last mention of each track of the session."""
        tracks = batch.padded.tracks.cpu().numpy()
        valid = tracks >= NUM_SPECIALS
        place, length = valid.cumsum(1), np.maximum(valid.sum(1, keepdims=True), 1)
        later = np.triu(np.ones((tracks.shape[1],) * 2, np.bool_), 1)
        again = ((tracks[:, :, None] == tracks[:, None, :]) & valid[:, None, :] & later).any(2)
        row, column = np.nonzero(valid & ~again)
        shape = (len(tracks), len(self._shared))
        return sparse.csr_matrix(((place / length)[row, column], (row, tracks[row, column])), shape=shape)


class ListenRate(Baseline):
    """Smoothed share of a track's plays that were listened to, (listened + 2.5) / (plays + 5), then popularity."""

    name = "listen-rate"

    def __init__(self, data: TrainingRows) -> None:
        super().__init__(data)
        skipped = skips.skipped(data.strength, data.skip_at_least)
        judged = skipped | skips.listened(data.strength, data.skip_at_least)
        size = len(data.counts)
        plays = np.bincount(data.tracks[judged], minlength=size)
        self.rate = (plays - np.bincount(data.tracks[skipped], minlength=size) + 2.5) / (plays + 5.0)
        self._shared = np.round(self.rate * QUANTUM) + self._shared

    def _known(self, batch: Batch) -> Any:
        return None


BASELINES: Final[tuple[type[Baseline], ...]] = (Popularity, RepeatLast, Markov, Vsknn, ListenRate)
BASELINE_NAMES: Final = tuple(kind.name for kind in BASELINES)
"""As tables have them."""


def fit_baselines(store: Store, split: Split) -> list[Scorer]:
    """Return every baseline, fitted to the training rows of `split`."""
    data = TrainingRows.of(store, split)
    return [kind(data) for kind in BASELINES]


def last_track(batch: Batch) -> NDArray[np.int64]:
    """Return the last track of each session (UNKNOWN or PAD rows included), [B]."""
    return batch.tracks[batch.last].cpu().numpy()
