"""Statistics of a scorer's lists: coverage of the catalogue, popularity, repeats."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from segue.evaluation.answers import ListAnswers
from segue.evaluation.bootstrap import Estimate
from segue.evaluation.scene import Scene


def list_answers(scene: Scene, best: NDArray[np.int32], nearer: NDArray[np.float64]) -> ListAnswers:
    """Return the statistics of the lists `best` [N, 20], with `nearer`, the effect of flipping the last feedback.

    - `log-popularity@20`: mean of ln(1 + training plays) of the listed tracks.
    - `repeats@20`: share of the listed tracks that are in the session's context (as far as a model reads).
    """
    real = best > 0
    plays = np.log1p(scene.split.training_counts)[best] * real
    repeated = np.zeros(len(best), np.int64)
    for index, batch in scene.contexts.blocks(4096):
        tracks = batch.padded.tracks.cpu().numpy()
        heard = (best[index][:, :, None] == tracks[:, None, :]).any(axis=2)
        repeated[index] = (heard & real[index]).sum(axis=1)
    return ListAnswers(plays.sum(axis=1), repeated, real.sum(axis=1), nearer)


def coverage(scene: Scene, best: NDArray[np.int32]) -> Estimate:
    """Return the share of the candidates in at least one list, without interval, since it grows with N."""
    shown = np.zeros(len(scene.split.training_counts), np.bool_)
    shown[best] = True
    shown[0] = False  # row 0 is padding
    return Estimate(int(shown.sum()) / max(len(scene.split.candidates), 1), np.nan, np.nan)
