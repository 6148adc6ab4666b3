"""Metrics on numbers worked by hand: ties, NaN, constant scores, misses."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from segue.evaluation.answers import Answers, metric_ratio
from segue.evaluation.bootstrap import Bootstrap
from segue.evaluation.metrics import concordance, gain, hit, reciprocal, target_rank
from segue.evaluation.targets import Targets

RIVALS = torch.tensor([[5.0, 4.0, 3.0, 2.0], [5.0, 5.0, 5.0, 5.0], [1.0, float("nan"), 0.0, 0.0]])
ALL = torch.ones(3, 4, dtype=torch.bool)


def test_rank_counts_above_and_half_of_the_equal() -> None:
    ranks = target_rank(torch.tensor([4.0, 5.0, 2.0]), RIVALS, ALL)
    # one above and one equal; four equal; a NaN rival counts as above
    assert ranks.tolist() == [2.5, 3.0, 2.0]


def test_a_nan_target_ranks_last() -> None:
    assert target_rank(torch.full((3,), float("nan")), RIVALS, ALL).tolist() == [5.0, 5.0, 5.0]


def test_constant_scores_are_no_hits_among_a_thousand() -> None:
    rank = target_rank(torch.zeros(1), torch.zeros(1, 1000), torch.ones(1, 1000, dtype=torch.bool))
    assert rank.tolist() == [501.0]
    assert hit(rank.numpy(), 20).tolist() == [0.0]


def test_absent_rivals_do_not_count() -> None:
    present = torch.tensor([[False, True, True, True]]).expand(3, -1)
    assert target_rank(torch.tensor([4.5, 6.0, 2.0]), RIVALS, present).tolist() == [1.0, 1.0, 2.0]


def test_hit_gain_and_reciprocal_by_hand() -> None:
    ranks = np.array([1.0, 2.5, 7.0, np.inf])
    assert hit(ranks, 5).tolist() == [1.0, 1.0, 0.0, 0.0]
    assert gain(ranks).tolist() == pytest.approx([1.0, 1 / np.log2(3.5), 1 / 3, 0.0])
    assert reciprocal(ranks).tolist() == pytest.approx([1.0, 0.4, 1 / 7, 0.0])


def test_groups_are_means_over_their_own_targets() -> None:
    ranks = np.array([1.0, 30.0, 2.0, 40.0])
    targets = Targets(np.arange(4), {"listened": np.array([True, True, False, False])})
    value, weight = metric_ratio(targets, Answers(ranks, 1001.0), "hr@10.listened")
    assert value.sum() / weight.sum() == 0.5


def test_concordance_gives_half_to_ties() -> None:
    assert concordance(np.array([2.0, 1.0, 0.0]), np.array([1.0, 1.0, 1.0])).tolist() == [1.0, 0.5, 0.0]


def test_bootstrap_intervals_cover_the_mean_and_shrink_with_the_data() -> None:
    generator = np.random.default_rng(0)
    widths = []
    for size in (200, 5000):
        values = (generator.random(size) < 0.3).astype(np.float64)
        estimate = Bootstrap(np.arange(size), 400, 0).estimate({"x": (values, np.ones(size))})["x"]
        assert estimate.value == pytest.approx(values.mean())
        assert estimate.low < estimate.value < estimate.high
        widths.append(estimate.high - estimate.low)
    assert widths[1] < widths[0] / 3


def test_bootstrap_draws_whole_listeners() -> None:
    """One listener holds all hits: resampling him in or out moves the mean far more than resampling targets would."""
    unit = np.repeat(np.arange(10), 100)
    values = (unit == 0).astype(np.float64)
    by_listener = Bootstrap(unit, 400, 0).estimate({"x": (values, np.ones(1000))})["x"]
    by_target = Bootstrap(np.arange(1000), 400, 0).estimate({"x": (values, np.ones(1000))})["x"]
    assert by_listener.high - by_listener.low > 3 * (by_target.high - by_target.low)
