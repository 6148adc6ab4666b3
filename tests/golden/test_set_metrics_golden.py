"""Metrics of sets of targets: a worked example in both published forms, and loops."""

from __future__ import annotations

import math

import numpy as np
import pytest

from segue.batches.positives import Positives
from segue.evaluation.next_day import METRICS
from segue.ranking.set_metrics import dcg, hit_rate, ideal_dcg, ndcg, recall

TARGETS = [[3, 7], [4, 5, 6, 8], [9], []]
LISTS = np.array([[7, 5, 3, 4], [1, 4, 2, 8], [8, 7, 6, 5], [3, 4, 5, 6]], np.int32)
"""Case 0 is hit at ranks 1 and 3 (track 3 was played three times), case 1 at 2 and 4, case 2 not at all, case 3 has no
target."""


def positives() -> Positives:
    offsets = np.cumsum([0, *map(len, TARGETS)])
    tracks = np.concatenate([np.array(part, np.int64) for part in TARGETS])
    return Positives(offsets, tracks, tracks % 2 == 0, np.array([3, 1, 1, 1, 1, 1, 1]))


def value(name: str, cutoff: int) -> float:
    targets = positives()
    over, under = METRICS[name](targets.hits(LISTS), targets, cutoff)
    return float(over.sum() / under.sum())


def test_the_worked_example() -> None:
    """Discounts of ranks 1..4: 1, .6309, .5, .4307. Case 3 is not counted."""
    third, fifth = 1 / math.log2(3), 1 / math.log2(5)
    dcgs = [1 + 0.5, third + fifth, 0.0]
    ideals = [1 + third, 1 + third + 0.5 + fifth, 1.0]
    assert value("ndcg", 4) == pytest.approx((dcgs[0] / ideals[0] + dcgs[1] / ideals[1]) / 3)
    assert value("ndcg-of-sums", 4) == pytest.approx(sum(dcgs) / sum(ideals))
    assert value("recall", 4) == pytest.approx((2 / 2 + 2 / 4 + 0) / 3)
    assert value("recall-capped", 4) == pytest.approx((2 / 2 + 2 / 4 + 0) / 3)
    assert value("recall", 2) == pytest.approx((1 / 2 + 1 / 4 + 0) / 3)
    assert value("recall-capped", 2) == pytest.approx((1 / 2 + 1 / 2 + 0) / 3)
    assert value("hit-rate", 2) == pytest.approx(2 / 3)
    assert value("yambda-recall", 4) == pytest.approx((2 / 4 + 2 / 4 + 0) / 3)
    assert value("yambda-ndcg", 4) == pytest.approx(sum(dcgs) / (2 * (1 + third + 0.5 + fifth) + 1))


def test_ndcg_is_no_hit_rate() -> None:
    """The ideal is that of the targets: a copy of the published code divides by the DCG of the list itself."""
    hits = positives().hits(LISTS)
    wrong = np.where(dcg(hits, 4) > 0, 1.0, 0.0)
    np.testing.assert_array_equal(wrong, hit_rate(hits, 4))
    assert (ndcg(hits, positives().counts, 4) < wrong).tolist() == [True, True, False, False]


def test_hits_of_some_cases_and_some_targets_are_those_of_loops() -> None:
    targets = positives()
    index = np.array([2, 0, 3])
    hits = targets.of(index).hits(LISTS[index])
    assert hits.tolist() == [[track in TARGETS[i] for track in LISTS[i]] for i in index]
    even = targets.where(targets.repeated)
    assert even.hits(LISTS).tolist() == [[t in TARGETS[i] and t % 2 == 0 for t in LISTS[i]] for i in range(4)]
    assert even.counts.tolist() == [0, 3, 0, 0]
    assert not targets.where(np.zeros(7, np.bool_)).hits(LISTS).any()


@pytest.mark.parametrize("cutoff", [1, 3, 10])
def test_values_are_those_of_loops(cutoff: int) -> None:
    generator = np.random.default_rng(cutoff)
    hits, extra = generator.random((50, 10)) < 0.3, generator.integers(0, 20, 50)
    num = hits.sum(1) + extra
    for i in range(50):
        gains = [1 / math.log2(1 + rank) for rank in range(1, cutoff + 1) if hits[i, rank - 1]]
        ideal = [1 / math.log2(1 + rank) for rank in range(1, min(cutoff, num[i]) + 1)]
        one, n = hits[i : i + 1], num[i : i + 1]
        assert dcg(one, cutoff)[0] == pytest.approx(sum(gains))
        assert ideal_dcg(n, cutoff)[0] == pytest.approx(sum(ideal))
        assert ndcg(one, n, cutoff)[0] == pytest.approx(sum(gains) / sum(ideal) if ideal else 0.0)
        assert recall(one, n, cutoff)[0] == pytest.approx(len(gains) / n[0] if n[0] else 0.0)
        assert recall(one, n, cutoff, capped=True)[0] == pytest.approx(len(gains) / min(n[0], cutoff) if n[0] else 0)
