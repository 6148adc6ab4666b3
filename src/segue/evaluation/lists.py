"""What the lists of a scorer are like: how much of the catalogue they show, how popular, how often heard before."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from segue.evaluation.bootstrap import Estimate
from segue.evaluation.metrics import Ratio
from segue.evaluation.scene import Scene


def list_ratios(scene: Scene, best: NDArray[np.int32]) -> dict[str, Ratio]:
    """Return per-target ratios of the lists [N, 20].

    - `log-popularity@20`: mean of ln(1 + training plays) of the listed tracks.
    - `repeats@20`: share of the listed tracks that the session's context (as far as a model reads) holds.
    """
    real = best > 0
    plays = np.log1p(scene.split.training_counts)[best] * real
    repeated = np.zeros(len(best))
    for index, batch in scene.held.blocks(4096):
        tracks = batch.tracks.cpu().numpy()
        heard = (best[index][:, :, None] == tracks[:, None, :]).any(axis=2)
        repeated[index] = (heard & real[index]).sum(axis=1)
    num = real.sum(axis=1).astype(np.float64)
    return {"log-popularity@20": (plays.sum(axis=1), num), "repeats@20": (repeated, num)}


def coverage(scene: Scene, best: NDArray[np.int32]) -> Estimate:
    """Return the share of the candidates that stand in at least one list (it has no interval: it grows with N)."""
    listed = len(np.unique(best[best > 0]))
    return Estimate(listed / max(len(scene.split.candidates), 1), np.nan, np.nan)
