"""Which parameters decided, on a grid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segue.tuning.trial import Trial


def main_effects(trials: Sequence[Trial]) -> dict[str, float]:
    """Return, for each parameter, the share of the variance of the trials' values that its level means explain.

    share = sum over levels l of n_l (mean_l - mean)^2 / sum over trials (value - mean)^2: the first-order term of the
    analysis of variance. On a whole grid the shares add up to at most 1, and what lacks is interaction. A parameter
    that alone is varied has share 1. Empty for fewer than two trials, or equal values.
    """
    values = np.array([trial.value for trial in trials], dtype=np.float64)
    total = float(((values - values.mean()) ** 2).sum()) if len(values) > 1 else 0.0
    if total == 0.0:
        return {}
    shares = {}
    for name in trials[0].parameters:
        _, level = np.unique([trial.parameters[name] for trial in trials], return_inverse=True)
        count = np.bincount(level)
        means = np.bincount(level, values) / count
        shares[name] = float((count * (means - values.mean()) ** 2).sum()) / total
    return dict(sorted(shares.items(), key=lambda pair: (-pair[1], pair[0])))
