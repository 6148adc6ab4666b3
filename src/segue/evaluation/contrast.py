"""Two arms compared seed by seed: a t interval over seeds and a bootstrap over sessions (method, section 5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from segue.evaluation.bootstrap import Bootstrap, Estimate
from segue.evaluation.metrics import hit
from segue.evaluation.records import Evaluation, Protocol

LEVEL: Final = 0.95


@dataclass(frozen=True)
class Contrast:
    """First arm less second."""

    per_seed: tuple[float, ...]
    over_seeds: Estimate
    """Mean of the seed-paired differences with its t interval (NaN with one seed): what another seed would give."""
    over_units: Estimate
    """The same mean with the bootstrap interval over sessions or listeners: what other sessions would give."""

    @property
    def verdict(self) -> str:
        """Return 'gain' or 'loss' where both intervals exclude 0 on the same side, else 'none shown'."""
        lows = (self.over_seeds.low, self.over_units.low)
        highs = (self.over_seeds.high, self.over_units.high)
        if min(lows) > 0:
            return "gain"
        return "loss" if max(highs) < 0 else "none shown"

    def to_json(self) -> dict[str, Any]:
        """Return differences by seed, both intervals, and the verdict."""
        return {
            "difference": self.over_seeds.value,
            "per_seed": list(self.per_seed),
            "t_interval": self.over_seeds.to_json()[1:],
            "bootstrap_interval": self.over_units.to_json()[1:],
            "verdict": self.verdict,
        }


def t_estimate(values: Sequence[float]) -> Estimate:
    """Return the mean of `values` and its two-sided 95 % t interval; NaN bounds for fewer than two.

    >>> found = t_estimate([1.0, 2.0, 3.0])
    >>> round(found.low, 3), found.value, round(found.high, 3)
    (-0.484, 2.0, 4.484)
    """
    mean, num = float(np.mean(values)), len(values)
    if num < 2:
        return Estimate(mean, np.nan, np.nan)
    half = float(stats.t.ppf((1 + LEVEL) / 2, num - 1) * np.std(values, ddof=1) / np.sqrt(num))
    return Estimate(mean, mean - half, mean + half)


def contrast(
    first: Sequence[Evaluation],
    second: Sequence[Evaluation],
    protocol: Protocol,
    cutoff: int,
    member: NDArray[np.bool_] | None = None,
) -> Contrast:
    """Return the models' HR@cutoff, first arm less second, over the targets where `member` holds (default all).

    The evaluations are of one store and split, one a seed, in the same order of seeds.
    """
    one = first[0]
    weight = np.ones(len(one.unit)) if member is None else member.astype(np.float64)
    values = np.array(
        [
            hit(a.row("model", protocol).ranks, cutoff) - hit(b.row("model", protocol).ranks, cutoff)
            for a, b in zip(first, second, strict=True)
        ]
    )
    per_seed = (values @ weight) / max(weight.sum(), 1.0)
    bootstrap = Bootstrap(one.unit, one.config.resamples, one.config.seed)
    ratio = values.mean(axis=0) * weight, weight
    over_units = bootstrap.estimate({"difference": ratio})[0]["difference"]
    return Contrast(tuple(per_seed.tolist()), t_estimate(per_seed.tolist()), over_units)
