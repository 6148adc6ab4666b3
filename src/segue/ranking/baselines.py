"""Baselines of every table, fitted to training rows only; each backs off to popularity.

A score is an integer (the baseline's own score) plus popularity / (largest popularity + 1), below 1, in float64. So
the order is lexicographic, and tracks with an own score of 0 are ranked by popularity.
"""

from __future__ import annotations

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
from segue.ranking.shared_order import SharedOrder, values_at
from segue.ranking.standing import Standing
from segue.store import NUM_SPECIALS, Store

QUANTUM: Final = 2**20
"""Steps of a quantised rate or similarity."""
SIMILARITY_STEPS: Final = 2**14
"""Steps of a similarity of two sessions in V-SKNN."""
SHARED: Final = 2.0**20
"""Weight of a common track, above any sum of similarities."""
NEIGHBOURS: Final = 100
"""Neighbours of a session in V-SKNN (Ludewig & Jannach 2018 use 100 to 500)."""

MOST_SIMILAR: Final = 2**24
"""Above any similarity in steps: each track of a session adds at most SIMILARITY_STEPS."""
SESSIONS_AT_ONCE: Final = 32
"""Sessions whose neighbours are searched at a time; among 450,000, one shares a track with 27,000 others."""


@dataclass(frozen=True)
class TrainingRows:
    """The training rows of a split, flat."""

    tracks: NDArray[np.int64]
    session: NDArray[np.int64]
    """Index of the training session of each row, ascending."""
    strength: NDArray[np.uint8]
    """Unknown if the split hides it."""
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

    def occurrences(self) -> Any:
        """Return which tracks each training session has, 1 or absent, sparse CSR [sessions, R]."""
        shape = (int(self.session[-1]) + 1, len(self.counts))
        matrix = sparse.csr_matrix((np.ones(len(self.tracks)), (self.session, self.tracks)), shape=shape)
        matrix.data[:] = 1.0
        return matrix

    def listens_and_plays(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return how often each track was listened to, and its plays of known feedback, [R] each."""
        listened = skips.listened(self.strength, self.skip_at_least)
        judged = listened | skips.skipped(self.strength, self.skip_at_least)
        listens, plays = (np.bincount(self.tracks[part], minlength=len(self.counts)) for part in (listened, judged))
        return listens, plays

    def listen_rates(self) -> NDArray[np.float64]:
        """Return the smoothed listen rate of each track, (listens + 2.5) / (plays + 5), [R]."""
        listens, plays = self.listens_and_plays()
        prior_listens, prior_plays = skips.RATE_PRIOR
        rates: NDArray[np.float64] = (listens + prior_listens) / (plays + prior_plays)
        return rates


class Baseline:
    """A baseline: a score of each row shared by all sessions, plus a score that depends on the session."""

    name: ClassVar[str]
    reads_feedback: ClassVar[bool] = False

    def __init__(self, data: TrainingRows) -> None:
        self._shared = data.counts / (data.counts.max() + 1.0)
        """Popularity below 1, plus integers that are the same for all sessions, float64 [R]."""
        self._candidates = data.candidates

    def _session_scores(self, batch: Batch) -> Any:
        """Return the session-dependent scores: integers >= 0, sparse CSR [B, R]; None for all 0."""
        return None

    def score(self, batch: Batch, candidates: Int[Tensor, "B K"]) -> Float[Tensor, "B K"]:
        """Return the score of each candidate row for its session, float64."""
        rows, added = candidates.cpu().numpy(), self._session_scores(batch)
        scores = self._shared[rows] if added is None else values_at(added, rows) + self._shared[rows]
        return torch.from_numpy(scores).to(candidates.device)

    def stand(self, batch: Batch, tracks: Int[Tensor, "B T"], k: int) -> Standing:
        """Return the standing of `tracks` among all candidates, and the `k` best."""
        standing = self._order.stand(self._session_scores(batch), tracks.cpu().numpy(), k)
        return standing.to(batch.tracks.device)

    @cached_property
    def _order(self) -> SharedOrder:
        return SharedOrder(self._shared, self._candidates)


class Popularity(Baseline):
    """Training plays."""

    name = "popularity"


class RepeatLast(Baseline):
    """The last track again, then popularity."""

    name = "repeat-last"

    def _session_scores(self, batch: Batch) -> Any:
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

    def _session_scores(self, batch: Batch) -> Any:
        return self._transitions[last_track(batch)]


class Vsknn(Baseline):
    """Session k-NN, simpler than V-SKNN (Ludewig & Jannach 2018).

    We differ: a neighbour's scores do not decay by 1/step of the most recent common track, neighbours come from all
    training sessions and not from recent ones, and the number of neighbours is not tuned.

    Similarity of a session to a training session = sum over their common tracks of position in the session / its
    length (the last occurrence counts); a track's score = sum of the similarities of the 100 nearest that contain it.
    Training sessions whose tracks are all in the session (such as its own training part) are skipped.
    """

    name = "v-sknn"

    def __init__(self, data: TrainingRows) -> None:
        super().__init__(data)
        self._contents = data.occurrences()
        self._holders, self._sizes = self._contents.T.tocsr(), np.diff(self._contents.indptr)
        self._on: tuple[torch.device, Sets, Sets, Tensor] | None = None

    def _session_scores(self, batch: Batch) -> Any:
        weights = self._decayed(batch)
        if batch.tracks.device.type != "cpu":
            return self.scores_on(batch.tracks.device, weights)
        parts = [self.scores(weights[i : i + SESSIONS_AT_ONCE]) for i in range(0, weights.shape[0], SESSIONS_AT_ONCE)]
        return sparse.vstack(parts, format="csr")

    def scores_on(self, device: torch.device, weights: Any) -> Any:
        """Return what `scores` returns, computed on `device`."""
        if self._on is None or self._on[0] != device:
            sizes = torch.from_numpy(self._sizes).to(device)
            self._on = device, Sets(self._holders, device), Sets(self._contents, device), sizes
        _, holders, contents, sizes = self._on
        entries = Entries.of(weights, device)
        overlap = holders.summed(Entries(entries.row, entries.column, entries.value + SHARED))
        shared = (overlap.value / SHARED).floor()
        similar = ((overlap.value - SHARED * shared) * SIMILARITY_STEPS).round().long()
        new = shared < sizes[overlap.column]
        apart = Entries(overlap.row[new], overlap.column[new], similar[new] / SIMILARITY_STEPS)
        nearest = largest(apart, similar[new], NEIGHBOURS, MOST_SIMILAR)
        scores = contents.summed(nearest)
        return Entries(scores.row, scores.column, (scores.value * QUANTUM).round()).csr(weights.shape)

    def scores(self, weights: Any) -> Any:
        """Return the scores of sessions with track weights `weights`, both sparse CSR [B, R]."""
        weights = weights.copy()
        weights.data += SHARED  # one product gives the similarity plus SHARED * the number of common tracks
        overlap = (weights @ self._holders).tocoo()
        shared = np.floor(overlap.data / SHARED)
        similar = np.round((overlap.data - SHARED * shared) * SIMILARITY_STEPS).astype(np.int64)
        new = shared < self._sizes[overlap.col]
        num, width = overlap.shape[0], max(overlap.shape[1] - 1, 1).bit_length()
        # one integer per neighbour, [row | most similar first | column]: one sort orders all sessions' neighbours
        most = 1 << (63 - width - num.bit_length())
        key = overlap.row[new].astype(np.int64) * most + (most - 1 - similar[new])
        key = np.sort((key << width) + overlap.col[new])
        row, col = (key >> width) // most, key & ((1 << width) - 1)
        value = (most - 1 - (key >> width) % most) / SIMILARITY_STEPS
        begin = np.searchsorted(row, np.arange(num))
        near = np.arange(len(row)) - begin[row] < NEIGHBOURS
        nearest = sparse.csr_matrix((value[near], (row[near], col[near])), shape=overlap.shape)
        scores = (nearest @ self._contents).tocsr()
        scores.data = np.round(scores.data * QUANTUM)
        return scores

    def _decayed(self, batch: Batch) -> Any:
        """Return [B, R]: position of the last occurrence of each track / length of the session."""
        tracks = batch.padded.tracks.cpu().numpy()
        valid = tracks >= NUM_SPECIALS
        position, length = valid.cumsum(1), np.maximum(valid.sum(1, keepdims=True), 1)
        later = np.triu(np.ones((tracks.shape[1],) * 2, np.bool_), 1)
        again = ((tracks[:, :, None] == tracks[:, None, :]) & valid[:, None, :] & later).any(2)
        row, column = np.nonzero(valid & ~again)
        shape = (len(tracks), len(self._shared))
        return sparse.csr_matrix(((position / length)[row, column], (row, tracks[row, column])), shape=shape)


class ListenRate(Baseline):
    """Smoothed share of a track's plays that were listened to, (listened + 2.5) / (plays + 5), then popularity."""

    name = "listen-rate"

    def __init__(self, data: TrainingRows) -> None:
        super().__init__(data)
        self._shared = np.round(data.listen_rates() * QUANTUM) + self._shared


BASELINES: Final[tuple[type[Baseline], ...]] = (Popularity, RepeatLast, Markov, Vsknn, ListenRate)
BASELINE_NAMES: Final = tuple(kind.name for kind in BASELINES)
"""Names in tables."""


def fit_baselines(store: Store, split: Split) -> list[Scorer]:
    """Return every baseline, fitted to the training rows of `split`."""
    data = TrainingRows.of(store, split)
    return [kind(data) for kind in BASELINES]


def last_track(batch: Batch) -> NDArray[np.int64]:
    """Return the last track of each session (UNKNOWN or PAD rows included), [B]."""
    return batch.tracks[batch.last].cpu().numpy()
