"""How much the encoder and transitions weigh in a ranking, chosen on validation targets after training.

A fit by likelihood was measured instead: it raises HR@1 and lowers HR@20 (records/LOG.md, 2026-11-30).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from itertools import product
from typing import Any, Final

import numpy as np

from segue.evaluation.evaluation_scene import EvaluationScene
from segue.evaluation.metrics import gain
from segue.evaluation.settling_ranks import SettlingRanks
from segue.model import Encoder
from segue.model.heads import MixtureWeights, TransitionsHead
from segue.progress import Progress, Step, silent
from segue.ranking import ModelScorer

TEMPERATURES: Final = (1.0, 0.9, 0.8)
"""Values of T to choose from."""
OFFSETS: Final = (0.0, 0.5, 1.0, -0.5, -1.0)
"""Values of the offset of the gates to choose from."""
FEWEST: Final = 30
"""Fewest validation targets on which weights are chosen."""
NDCG_AT: Final = 20


def settle_transitions(
    scene: EvaluationScene, encoder: Encoder, most: int, progress: Progress = silent
) -> dict[str, Any]:
    """Return the `MixtureWeights` with the highest NDCG@20 among all tracks, as a document with what was tried.

    Over a sample of `most` validation targets that are candidates; with fewer than FEWEST the weights stay as trained.
    The head gets them.
    """
    head = encoder.heads["transitions"]
    assert isinstance(head, TransitionsHead), "see build_model"
    sample = scene.sample(most)
    ranked = np.isin(scene.contexts.target[sample], scene.split.candidates)
    contexts, tried = scene.part(scene.contexts.cases, sample[ranked]), list[dict[str, float]]()
    head.ranking_weights = MixtureWeights()
    if ranked.sum() >= FEWEST:
        settling = SettlingRanks(encoder, contexts)
        grid = [*product(TEMPERATURES, OFFSETS)]
        for number, (temperature, offset) in enumerate(grid, 1):
            head.ranking_weights = MixtureWeights(temperature, offset)
            gains = gain(settling.ranks(ModelScorer(encoder, scene.split.candidates)), NDCG_AT)
            tried.append({"temperature": temperature, "offset": offset, "ndcg@20": float(gains.mean())})
            progress(Step("weigh transitions", number, len(grid), "weights"))
        head.ranking_weights = best_mixture(tried)
    return {**asdict(head.ranking_weights), "targets": int(ranked.sum()), "tried": tried}


def best_mixture(tried: Sequence[dict[str, float]]) -> MixtureWeights:
    """Return the weights with the highest NDCG@20, of ties the first.

    >>> best_mixture([
    ...     {"temperature": 1.0, "offset": 0.0, "ndcg@20": 0.5},
    ...     {"temperature": 0.9, "offset": 0.5, "ndcg@20": 0.6},
    ...     {"temperature": 0.8, "offset": 0.5, "ndcg@20": 0.6},
    ... ])
    MixtureWeights(temperature=0.9, offset=0.5, slope=0.0)
    """
    best = max(tried, key=lambda one: one["ndcg@20"])
    return MixtureWeights(best["temperature"], best["offset"])
