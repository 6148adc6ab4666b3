"""Contrasts, p-values, Holm and the bars on numbers worked by hand."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan, log, nan, sqrt

import numpy as np
import pytest

from segue.errors import InputError
from segue.evaluation import Evaluation, Question, Row, Targets, contrast, contrasts, holm
from segue.evaluation.answers import Answers, PairAnswers
from segue.evaluation.bootstrap import Estimate
from segue.evaluation.paired_contrast import Contrast, t_estimate, t_p_value
from segue.evaluation.records import beaten_by
from segue.evaluation.targets import PairTargets
from segue.recipes import EvaluationConfig

YES = np.ones(4, np.bool_)
PAIRS = PairTargets(
    np.array([0, 2]), np.array([[True, False], [False, True]]), np.array([[False, True], [True, False]]), YES[:2]
)
TARGETS = Targets(
    np.arange(4),
    {"listened": np.array([True, True, False, False]), "skipped": np.array([False, False, True, True])},
    {"premium=no": np.array([True, False, False, True]), "premium=yes": ~YES},
    YES,
    PAIRS,
)


def evaluation(ranks: list[float], pair_ranks: Sequence[Sequence[float]] = ((1, 1), (1, 1))) -> Evaluation:
    pairs = PairAnswers(np.array(pair_ranks, np.float64), np.array([1.0, 0.5]))
    answers = Answers(np.array(ranks, np.float64), 11.0, pairs=pairs)
    row = Row("model", "model", "sampled", {}, {}, answers)
    return Evaluation("test", [row], TARGETS, {}, {}, EvaluationConfig(resamples=200))


FIRST = [evaluation([1, 1, 1, 9]), evaluation([1, 1, 9, 9])]
SECOND = [evaluation([9, 1, 9, 9]), evaluation([9, 9, 9, 9])]


def test_a_contrast_pairs_seeds() -> None:
    found = contrast(FIRST, SECOND, "sampled", 1)
    assert found.per_seed == (0.5, 0.5)  # 3/4 - 1/4 and 2/4 - 0
    assert (found.over_seeds.low, found.over_seeds.value, found.over_seeds.high) == (0.5, 0.5, 0.5)
    assert found.over_units.value == 0.5
    # crossing the seeds would give 3/4 - 0 and 2/4 - 1/4
    assert contrast(FIRST, SECOND[::-1], "sampled", 1).per_seed == (0.75, 0.25)


def test_the_bootstrap_of_a_contrast_keeps_seeds_and_sessions_together() -> None:
    """Mean differences of the four sessions: 1, 1/2, 1/2, 0; a resample is the mean of four of them."""
    found = contrast(FIRST, SECOND, "sampled", 1).over_units
    assert found.low in np.arange(0, 9) / 8
    assert 0 <= found.low < 0.5 < found.high <= 1


def test_a_stratum_narrows_a_contrast() -> None:
    by_stratum = contrasts(FIRST, SECOND, [Question("sampled", "hr@1", "premium=no")])[0]  # sessions 0 and 3
    assert by_stratum.per_seed == (0.5, 0.5)
    by_group = contrasts(FIRST, SECOND, [Question("sampled", "hr@1.skipped"), Question("sampled", "hr@1", "skipped")])
    assert by_group[0].per_seed == by_group[1].per_seed == (0.5, 0.0)


def test_delta_and_pair_auc_are_contrasted_as_what_they_are_made_of() -> None:
    delta, auc = contrasts(FIRST, SECOND, [Question("sampled", "delta"), Question("sampled", "pair-auc")])
    # HR@10 is 1 everywhere: delta 0; scores of pairs are equal in both arms
    assert delta.per_seed == auc.per_seed == (0.0, 0.0)
    lower = [evaluation([1, 1, 11, 11]), evaluation([1, 1, 11, 1])]
    found = contrasts(lower, SECOND, [Question("sampled", "delta")])[0]
    assert found.per_seed == (1.0, 0.5)
    assert found.over_units.value == 0.75


def test_the_rank_of_the_next_listened_rises_while_that_of_the_skipped_falls() -> None:
    """Session 0: listened first; session 2: skipped first. In the first arm p_m stands higher, the skipped lower."""
    first = [evaluation([1, 1, 1, 1], [[1, 8], [8, 1]]), evaluation([1, 1, 1, 1], [[2, 8], [8, 2]])]
    second = [evaluation([1, 1, 1, 1], [[4, 4], [4, 4]]), evaluation([1, 1, 1, 1], [[4, 4], [4, 4]])]
    asked = [Question("sampled", "log-rank.listened"), Question("sampled", "log-rank.skipped")]
    heard, passed = contrasts(first, second, asked)
    assert heard.per_seed == pytest.approx((log(1 / 4), log(2 / 4)))
    assert passed.per_seed == pytest.approx((log(8 / 4), log(8 / 4)))
    assert passed.direction == "rise"
    assert heard.direction == "none shown"  # two seeds: the t interval is wide
    assert passed.over_units.low == pytest.approx(log(2))


def test_what_cannot_be_paired_is_refused() -> None:
    with pytest.raises(InputError, match="2 evaluations against 1"):
        contrast(FIRST, SECOND[:1], "sampled", 1)
    with pytest.raises(InputError, match="pairs seeds"):
        contrasts([], [], [])
    other = Evaluation("test", FIRST[0].rows, Targets(np.arange(4) + 1), {}, {}, EvaluationConfig())
    with pytest.raises(InputError, match="not of the same targets"):
        contrast([other], FIRST[:1], "sampled", 1)
    regrouped = Targets(np.arange(4), {**TARGETS.groups, "skipped": YES}, TARGETS.strata, YES, PAIRS)
    moved = Evaluation("test", FIRST[0].rows, regrouped, {}, {}, EvaluationConfig())
    with pytest.raises(InputError, match=r"hr@1\.skipped is not defined on the same targets"):
        contrasts([moved], FIRST[:1], [Question("sampled", "hr@1.skipped")])
    with pytest.raises(InputError, match="no row 'modle sampled'; did you mean 'model sampled'"):
        contrasts(FIRST, SECOND, [Question("sampled", "hr@1", name="modle")])


def test_one_seed_has_no_t_interval_and_no_verdict() -> None:
    found = contrast(FIRST[:1], SECOND[:1], "sampled", 1)
    assert found.per_seed == (0.5,)
    assert isnan(found.over_seeds.low)
    assert isnan(found.p_value)
    assert found.verdict == found.direction == "none shown"
    assert found.to_json()["p_value"] is None


def test_a_contrast_over_no_target_is_undefined() -> None:
    found = contrasts(FIRST, SECOND, [Question("sampled", "hr@1", "premium=yes")])[0]
    assert isnan(found.over_seeds.value)
    assert found.to_json()["difference"] is None
    assert found.to_json()["per_seed"] == [None, None]
    assert found.verdict == "none shown"


# --- t ---------------------------------------------------------------------------------------------------------


def test_t_interval_and_p_value_by_hand() -> None:
    """1, 2, 3: mean 2, s = 1, t = 2 sqrt(3) on 2 degrees; P(|t| > x) = 1 - x / sqrt(2 + x^2) on 2 degrees."""
    found = t_estimate([1.0, 2.0, 3.0])
    assert (found.low, found.high) == pytest.approx((2 - 4.302653 / sqrt(3), 2 + 4.302653 / sqrt(3)), abs=1e-6)
    t = 2 * sqrt(3)
    assert t_p_value([1.0, 2.0, 3.0]) == pytest.approx(1 - t / sqrt(2 + t * t))
    assert t_p_value([-1.0, -2.0, -3.0]) == pytest.approx(t_p_value([1.0, 2.0, 3.0]))  # two-sided


@pytest.mark.parametrize(("values", "expected"), [([0.0, 0.0], 1.0), ([0.25, 0.25, 0.25], 0.0), ([1.0, -1.0], 1.0)])
def test_p_values_at_the_edge(values: list[float], expected: float) -> None:
    assert t_p_value(values) == expected


def test_too_few_seeds_have_no_p_value() -> None:
    assert isnan(t_p_value([0.3]))
    assert isnan(t_p_value([0.3, nan]))


# --- Holm ------------------------------------------------------------------------------------------------------


def test_holm_by_hand() -> None:
    """Sorted .005 .01 .03 .04 times 4 3 2 1 = .02 .03 .06 .04; the last may not fall below the one before."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_is_capped_at_one_and_keeps_ties_equal() -> None:
    assert holm([0.5, 0.5, 0.9]) == [1.0, 1.0, 1.0]
    assert holm([0.02, 0.02]) == [0.04, 0.04]
    assert holm([0.03]) == [0.03]
    assert holm([]) == []


def test_a_contrast_that_could_not_be_tested_counts_in_the_family_and_stays_untested() -> None:
    first, untested, last = holm([0.01, nan, 0.02])
    assert (first, last) == pytest.approx((0.03, 0.04))  # of a family of three
    assert isnan(untested)


# --- verdicts and bars -----------------------------------------------------------------------------------------


def made(seeds: tuple[float, float], units: tuple[float, float]) -> Contrast:
    return Contrast((0.0, 0.0), Estimate(0.0, *seeds), Estimate(0.0, *units))


@pytest.mark.parametrize(
    ("seeds", "units", "verdict"),
    [
        ((0.001, 0.02), (0.001, 0.02), "gain"),
        ((-0.001, 0.02), (0.001, 0.02), "none shown"),
        ((0.001, 0.02), (-0.001, 0.02), "none shown"),
        ((0.001, 0.02), (0.0, 0.02), "none shown"),  # 0 is not excluded
        ((-0.02, -0.001), (-0.02, -0.001), "loss"),
        ((-0.02, -0.001), (-0.02, 0.001), "none shown"),
        ((-0.005, 0.02), (0.001, 0.02), "none shown"),  # the bar itself is not above the bar
        ((-0.004, -0.001), (-0.004, -0.001), "loss"),
        ((0.001, 0.02), (nan, nan), "none shown"),
        ((nan, nan), (0.001, 0.02), "none shown"),
    ],
)
def test_a_verdict_needs_both_intervals(seeds: tuple[float, float], units: tuple[float, float], verdict: str) -> None:
    found = made(seeds, units)
    assert found.verdict == found.to_json()["verdict"] == verdict


def table(**hits: float) -> Evaluation:
    answers = Answers(np.ones(4), 11.0)
    rows = [
        Row(name, "model" if name == "model" else "baseline", "full", {"hr@10": Estimate(hit, nan, nan)}, {}, answers)
        for name, hit in hits.items()
    ]
    return Evaluation("test", rows, TARGETS, {}, {}, EvaluationConfig())


def test_a_model_names_the_baselines_that_beat_it_best_first() -> None:
    found = table(model=0.3, popularity=0.1, markov=0.31, vsknn=0.4, rate=0.3)
    assert beaten_by(found, "full", "hr@10") == ("vsknn", "markov")  # an equal one does not beat
    assert beaten_by(table(model=0.5, markov=0.1), "full", "hr@10") == ()
    assert beaten_by(table(model=nan, markov=0.1), "full", "hr@10") == ()
