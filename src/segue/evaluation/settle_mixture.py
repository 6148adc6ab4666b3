"""How much encoder, transitions and copying weigh in a ranking, chosen on validation targets after training.

A fit by likelihood was measured instead: it raises HR@1 and lowers HR@20 (records/LOG.md, 2026-11-30).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import product
from typing import Any, Final

import numpy as np

from segue.evaluation.evaluation_scene import EvaluationScene
from segue.evaluation.metrics import gain
from segue.evaluation.settling_ranks import SettlingRanks
from segue.model import Encoder
from segue.model.heads import CopyWeights, Head, MixtureWeights
from segue.progress import Progress, Step, silent
from segue.ranking import ModelScorer

GRIDS: Final[Mapping[str, Sequence[Any]]] = {
    "transitions": [MixtureWeights(*both) for both in product((1.0, 0.9, 0.8), (0.0, 0.5, 1.0, -0.5, -1.0))],
    "copy": [CopyWeights(offset) for offset in (0.0, 0.5, 1.0, 1.5, -0.5)],
}
"""Weights to choose from by head, in the order in which heads are weighed; the first are those of training."""
FEWEST: Final = 30
"""Fewest validation targets on which weights are chosen."""
NDCG_AT: Final = 20


def settle_mixture(
    scene: EvaluationScene, encoder: Encoder, most: int, progress: Progress = silent
) -> dict[str, dict[str, Any]]:
    """Give each head the weights of its grid with the highest NDCG@20 among all tracks, of ties the first.

    Returns, by head, the weights with what was tried. Over a sample of `most` validation targets that are candidates;
    with fewer than FEWEST the weights stay as trained.
    """
    sample = scene.sample(most)
    ranked = np.isin(scene.contexts.target[sample], scene.split.candidates)
    settling = SettlingRanks(encoder, scene.part(scene.contexts.cases, sample[ranked]))
    documents = {}
    for name, grid in GRIDS.items():
        if name not in encoder.heads:
            continue
        head, tried = encoder.heads[name], list[dict[str, float]]()
        assert isinstance(head, Head), "see build_model"
        if ranked.sum() >= FEWEST:
            for number, weights in enumerate(grid, 1):
                head.ranking_weights = weights
                gains = gain(settling.ranks(ModelScorer(encoder, scene.split.candidates)), NDCG_AT)
                tried.append({**asdict(weights), f"ndcg@{NDCG_AT}": float(gains.mean())})
                progress(Step(f"weigh {name}", number, len(grid), "weights"))
        levels = [one[f"ndcg@{NDCG_AT}"] for one in tried] or [0.0]
        head.ranking_weights = grid[levels.index(max(levels))]
        documents[name] = {**asdict(head.ranking_weights), "targets": int(ranked.sum()), "tried": tried}
    return documents
