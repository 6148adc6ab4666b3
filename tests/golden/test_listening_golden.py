"""Log-loss, calibration error and area on numbers worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from segue.evaluation.listen_predictions import area, calibration_error, log_losses

TRUTH = np.array([1.0, 0.0, 1.0, 0.0])


def test_log_loss_is_minus_the_log_of_what_happened() -> None:
    found = log_losses(np.array([0.8, 0.8, 0.25, 0.25]), TRUTH)
    assert found.tolist() == pytest.approx([-math.log(p) for p in (0.8, 0.2, 0.25, 0.75)])


def test_certainty_that_fails_costs_much_but_not_infinitely() -> None:
    assert 10 < log_losses(np.array([0.0]), np.array([1.0]))[0] < 20


def test_calibration_error_weighs_bins_by_their_targets() -> None:
    # bin of .9: mean p .9, listened 2 of 3; bin of .1: mean p .1, listened 0 of 1
    p, truth = np.array([0.9, 0.9, 0.9, 0.1]), np.array([1.0, 1.0, 0.0, 0.0])
    assert calibration_error(p, truth) == pytest.approx((3 * (0.9 - 2 / 3) + 0.1) / 4)
    assert math.isnan(calibration_error(p[:0], truth[:0]))
    assert calibration_error(np.array([1.0]), np.array([1.0])) == 0.0


def test_area_counts_pairs_and_half_of_ties() -> None:
    # listened .9 and .5 against skipped .5 and .5: 1, 1, 1/2, 1/2
    assert area(np.array([0.9, 0.5, 0.5, 0.5]), TRUTH) == 0.75
    assert area(np.full(4, 0.3), TRUTH) == 0.5
    assert math.isnan(area(np.full(2, 0.3), np.ones(2)))
