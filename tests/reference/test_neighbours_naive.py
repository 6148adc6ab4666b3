"""V-SKNN by sorts on a device equals V-SKNN by sparse products, and the pieces equal plain loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import sparse

from segue.ranking import baselines
from segue.ranking.baselines import TrainingRows, Vsknn
from segue.ranking.neighbours import Entries, Sets, largest

CPU = torch.device("cpu")


def _rows(num_sessions: int, num_tracks: int, seed: int) -> TrainingRows:
    rng = np.random.default_rng(seed)
    length = rng.integers(2, 9, num_sessions)
    session = np.repeat(np.arange(num_sessions), length)
    tracks = 3 + np.floor(num_tracks * rng.random(len(session)) ** 2).astype(np.int64)
    counts = np.bincount(tracks, minlength=num_tracks + 3)
    return TrainingRows(
        tracks, session, np.zeros(len(session), np.uint8), 2, counts, np.flatnonzero(counts).astype(np.int32)
    )


def _weights(data: TrainingRows, num: int) -> sparse.csr_matrix:
    rng = np.random.default_rng(5)
    dense = np.zeros((num, len(data.counts)))
    for one in dense[1:]:  # the first has heard nothing that is known
        heard = rng.choice(np.unique(data.tracks), rng.integers(1, 8), replace=False)
        one[heard] = (1 + np.arange(len(heard))) / len(heard)
    return sparse.csr_matrix(dense)


@pytest.mark.parametrize("neighbours", [2, 100])
def test_scores_on_a_device(monkeypatch: pytest.MonkeyPatch, neighbours: int) -> None:
    monkeypatch.setattr(baselines, "NEIGHBOURS", neighbours)
    data = _rows(300, 40, 1)
    scorer, weights = Vsknn(data), _weights(data, 20)
    found, wanted = scorer.scores_on(CPU, weights), scorer.scores(weights)
    assert wanted.nnz > 100
    assert np.array_equal(found.toarray(), wanted.toarray())


def test_a_sum_over_sets_is_a_matrix_product() -> None:
    rng = np.random.default_rng(2)
    left = sparse.random(6, 9, 0.4, format="csr", random_state=3)
    right = sparse.csr_matrix((rng.random((9, 14)) < 0.3).astype(np.float64))
    found = Sets(right, CPU).summed(Entries.of(left, CPU)).csr((6, 14))
    assert np.allclose(found.toarray(), (left @ right).toarray(), rtol=1e-14)
    assert found.has_sorted_indices


def test_the_largest_of_each_row_equal_ones_by_column() -> None:
    row, column = torch.tensor([0, 0, 0, 0, 2, 2]), torch.tensor([1, 4, 5, 7, 0, 3])
    of = torch.tensor([3, 9, 3, 9, 0, 0])
    found = largest(Entries(row, column, of.double()), of, 3, 10)
    assert found.row.tolist() == [0, 0, 0, 2, 2]
    assert found.column.tolist() == [1, 4, 7, 0, 3]
    assert found.value.tolist() == [3, 9, 9, 0, 0]
    nothing = torch.zeros(0, dtype=torch.int64)
    assert len(largest(Entries(nothing, nothing, nothing.double()), nothing, 3, 10).row) == 0
