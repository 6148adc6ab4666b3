"""Contrasts of two arms, paired by seed: a t interval over seeds and a bootstrap over sessions (method, section 5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import special

from segue.errors import InputError
from segue.evaluation.answers import parts
from segue.evaluation.bootstrap import Bootstrap, Estimate
from segue.evaluation.metrics import Column, Ratio
from segue.evaluation.records import Evaluation, Protocol

LEVEL: Final = 0.95
BATCH: Final = 32
"""Questions whose sums are computed together. Changing this does not change any result."""


@dataclass(frozen=True)
class Question:
    """A metric in which two arms are compared."""

    protocol: Protocol
    metric: str
    """Any name of `metric_ratio` ('hr@20.listened', 'log-rank.skipped'), 'delta' or 'pair-auc'."""
    stratum: str = ""
    """Restricts the targets to a group or stratum, e.g. 'popularity=1'; '' = all."""
    name: str = "model"
    """Row of the evaluations."""


@dataclass(frozen=True)
class Contrast:
    """First arm minus second."""

    per_seed: tuple[float, ...]
    over_seeds: Estimate
    """Mean of the seed-paired differences with its t interval (NaN with one seed): variation over seeds."""
    over_units: Estimate
    """The same mean with the bootstrap interval over sessions or listeners: variation over sessions."""

    @property
    def p_value(self) -> float:
        """Return the two-sided p-value of the t statistic over seeds; NaN for fewer than two."""
        return t_p_value(self.per_seed)

    @property
    def direction(self) -> str:
        """Return 'rise' or 'fall' if both intervals exclude 0 on the same side, else 'none shown'."""
        intervals = self.over_seeds, self.over_units
        if all(interval.low > 0 for interval in intervals):
            return "rise"
        return "fall" if all(interval.high < 0 for interval in intervals) else "none shown"

    @property
    def verdict(self) -> str:
        """Return 'gain' or 'loss' if both intervals exclude 0 on the same side, else 'none shown'.

        For metrics where larger is better; for a log-rank use `direction`.
        """
        return {"rise": "gain", "fall": "loss"}.get(self.direction, "none shown")

    def to_json(self) -> dict[str, Any]:
        """Return differences by seed, both intervals, the p-value, and the verdict."""
        p_value = self.p_value
        return {
            "difference": self.over_seeds.to_json()[0],
            "per_seed": [None if np.isnan(value) else value for value in self.per_seed],
            "t_interval": self.over_seeds.to_json()[1:],
            "bootstrap_interval": self.over_units.to_json()[1:],
            "p_value": None if np.isnan(p_value) else p_value,
            "direction": self.direction,
            "verdict": self.verdict,
        }


def t_estimate(values: Sequence[float]) -> Estimate:
    """Return the mean of `values` and its two-sided 95 % t interval; NaN bounds for fewer than two.

    >>> estimate = t_estimate([1.0, 2.0, 3.0])
    >>> round(estimate.low, 3), estimate.value, round(estimate.high, 3)
    (-0.484, 2.0, 4.484)
    """
    mean, num = float(np.mean(values)), len(values)
    if num < 2:
        return Estimate(mean, np.nan, np.nan)
    # scipy.stats would give the same number, but takes two seconds to import
    half = float(special.stdtrit(num - 1, (1 + LEVEL) / 2) * np.std(values, ddof=1) / np.sqrt(num))
    return Estimate(mean, mean - half, mean + half)


def t_p_value(values: Sequence[float]) -> float:
    """Return the two-sided p-value of t = mean / (s / sqrt(n)) on n - 1 degrees of freedom; NaN for fewer than two.

    If all values are equal, s = 0: the p-value is 0, or 1 if they are all 0. It is below .05 exactly if the interval
    of `t_estimate` excludes 0.

    >>> round(t_p_value([1.0, 2.0, 3.0]), 4)
    0.0742
    """
    mean, num = float(np.mean(values)), len(values)
    if num < 2 or np.isnan(mean):
        return float("nan")
    error = float(np.std(values, ddof=1) / np.sqrt(num))
    if error == 0:
        return float(mean == 0)
    return float(2 * special.stdtr(num - 1, -abs(mean) / error))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values adjusted over their family by Holm (1979), in the order given.

    With p(1) <= ... <= p(m) sorted, the adjusted p(i) = max over j <= i of min(1, (m - j + 1) p(j)). Rejecting
    hypotheses with an adjusted value <= a keeps the chance of any false rejection <= a, for any dependence of the
    tests. A NaN (a contrast that could not be tested) counts in m, as the last, and stays NaN.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    values = np.asarray(p_values, np.float64)
    order = np.argsort(values, kind="stable")  # NaN last
    steps = len(values) - np.arange(len(values))
    adjusted = np.maximum.accumulate(np.minimum(1.0, steps * values[order]))
    result = np.empty(len(values))
    result[order] = adjusted
    return [float(value) for value in result]


def contrast(first: Sequence[Evaluation], second: Sequence[Evaluation], protocol: Protocol, cutoff: int) -> Contrast:
    """Return the contrast of the models' HR@cutoff, first arm minus second; see `contrasts`."""
    return contrasts(first, second, [Question(protocol, f"hr@{cutoff}")])[0]


def contrasts(
    first: Sequence[Evaluation],
    second: Sequence[Evaluation],
    questions: Sequence[Question],
    bootstrap: Bootstrap | None = None,
) -> list[Contrast]:
    """Return one contrast per question, first arm minus second.

    The evaluations are of the same targets, one per seed, in the same order of seeds. All questions share one
    bootstrap; pass `first[0].bootstrap()` to several calls to draw its weights once.

    Raises:
        InputError: the evaluations are not of the same targets, or lack a row or metric.
    """
    if not first or len(first) != len(second):
        raise InputError(
            f"a contrast pairs seeds: {len(first)} evaluations against {len(second)}; evaluate both arms on equal seeds"
        )
    if not all(np.array_equal(other.unit, first[0].unit) for other in (*first[1:], *second)):
        raise InputError("these evaluations are not of the same targets; compare runs of one store and split")
    paired, bootstrap = list(zip(first, second, strict=True)), bootstrap or first[0].bootstrap()
    batches = (questions[i : i + BATCH] for i in range(0, len(questions), BATCH))
    return [result for batch in batches for result in _contrasts(paired, batch, bootstrap)]


_Paired = list[tuple[Evaluation, Evaluation]]


def _contrasts(paired: _Paired, questions: Sequence[Question], bootstrap: Bootstrap) -> list[Contrast]:
    """Return the contrast of each question; their sums are computed together."""
    ratios, weights_of, by_seed = dict[str, Ratio](), dict[str, dict[str, float]](), list[NDArray[np.float64]]()
    for number, question in enumerate(questions):
        values = []
        weights_of[str(number)] = {}
        for part, weight in parts(question.metric).items():
            numerators, under = _differences(paired, question, part)
            ratios[f"{number} {part}"] = np.mean(numerators, axis=0), under
            weights_of[str(number)][f"{number} {part}"] = weight
            with np.errstate(invalid="ignore", divide="ignore"):
                values.append(weight * (np.sum(numerators, axis=1) / np.float64(under.sum())))
        by_seed.append(np.sum(values, axis=0))
    estimates = bootstrap.estimate(ratios, weights_of)
    seeds = [tuple(values.tolist()) for values in by_seed]
    return [Contrast(each, t_estimate(each), estimates[str(number)]) for number, each in enumerate(seeds)]


def _differences(paired: _Paired, question: Question, part: str) -> tuple[list[NDArray[np.float64]], Column]:
    """Return the difference of the two arms' numerators by seed, and their common denominator."""
    cell = question.name, question.protocol, part, question.stratum
    ratios = [(one.ratio(*cell), other.ratio(*cell)) for one, other in paired]
    shared = ratios[0][0][1]
    if not all(np.array_equal(shared, under) for pair in ratios for _, under in pair):
        raise InputError(f"{part} is not defined on the same targets in all of these evaluations")
    return [np.asarray(over - other, np.float64) for (over, _), (other, _) in ratios], shared
