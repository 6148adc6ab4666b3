"""lambda, the weight of log P(listen) beside log p(next), chosen on validation targets after training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from segue.batches.held_out import Cases
from segue.batches.split import split_store
from segue.evaluation.evaluation_scene import EvaluationScene, make_scene
from segue.evaluation.settle_listen import listen_terms, settle_listen
from segue.evaluation.settle_mixture import NDCG_AT, settle_mixture
from segue.evaluation.settling_ranks import SettlingRanks, keeping_neighbours
from segue.model import Encoder
from segue.model.heads import ListenHead, ListenWeights
from segue.progress import Progress, Step, silent
from segue.ranking import ModelScorer
from segue.runs import RunFolder, load_run
from segue.store import Store

WEIGHTS: Final = (0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0)
"""Values of lambda to choose from."""
LEVEL: Final = f"ndcg@{NDCG_AT}"
LISTENED: Final = f"{LEVEL}.listened"
"""The names of what lambda must not lower, and of what it is to raise."""
MOST_TARGETS: Final = 5_000
"""Most validation targets; each lambda is a pass over all tracks."""


def settle_ranking(store: Store, run: str | Path, device: torch.device, progress: Progress = silent) -> None:
    """Choose on validation the weights of a finished run's heads in its ranking, and write them into the run.

    First those of transitions and copying against the encoder, then lambda. A run without heads does not change, and
    neither does one whose weights were chosen.
    """
    folder = RunFolder.open(run)
    recipe = folder.recipe()
    if not recipe.heads or folder.ranking() is not None:
        return
    split = split_store(store, recipe.data)
    scene = make_scene(store, split, recipe.data, recipe.evaluation, "validation", device).reading(recipe)
    most = min(recipe.training.validation_targets or MOST_TARGETS, MOST_TARGETS)
    encoder = load_run(run).encoder.to(device)
    document: dict[str, Any] = {"listen_weight": 0.0}
    with keeping_neighbours(encoder):
        if len(scene.contexts.cases):
            document |= settle_mixture(scene, encoder, most, progress)
        if "listen" in recipe.heads:
            document["listen"] = settle_listen(*listen_terms(scene, encoder))
            _set_listen_weights(encoder, document["listen"])
            tried = try_weights(scene, encoder, most, progress)
            document |= {"listen_weight": best_weight(tried), "tried": tried}
    folder.save_ranking(document)


def _set_listen_weights(encoder: Encoder, document: Mapping[str, Any]) -> None:
    """Give the head for P(listen) the weights that were chosen for it."""
    head = encoder.heads["listen"]
    assert isinstance(head, ListenHead), "see build_model"
    head.ranking_weights = ListenWeights(**{part.name: document[part.name] for part in fields(ListenWeights)})


def try_weights(
    scene: EvaluationScene, encoder: Encoder, most: int, progress: Progress = silent
) -> list[dict[str, Any]]:
    """Return NDCG@20 among all tracks, and that of listened targets, for each of WEIGHTS, over `most` targets."""
    contexts = scene.part(scene.contexts.cases, scene.sample(most))
    listened = _listened(scene, contexts.cases)
    tried, settling = [], SettlingRanks(encoder, contexts)
    for number, weight in enumerate(WEIGHTS):
        gains = settling.gains(ModelScorer(encoder, scene.split.candidates, weight), NDCG_AT)
        tried.append({"listen_weight": weight, LEVEL: _mean(gains), LISTENED: _mean(gains[listened])})
        progress(Step("weigh P(listen)", number + 1, len(WEIGHTS), "weights"))
    return tried


def _listened(scene: EvaluationScene, cases: Cases) -> NDArray[np.bool_]:
    """Return which cases have a target that was listened to: sets of targets hold no others."""
    return scene.listened(cases.target) if cases.positives is None else np.ones(len(cases), np.bool_)


def best_weight(tried: Sequence[dict[str, Any]]) -> float:
    """Return the weight with the highest NDCG@20 of listened targets among those whose NDCG@20 is not below that of 0.

    Of ties the smallest weight.

    >>> best_weight([
    ...     {"listen_weight": 0.0, "ndcg@20": 0.5, "ndcg@20.listened": 0.5},
    ...     {"listen_weight": 1.0, "ndcg@20": 0.5, "ndcg@20.listened": 0.52},
    ...     {"listen_weight": 2.0, "ndcg@20": 0.49, "ndcg@20.listened": 0.53},
    ... ])
    1.0
    """
    allowed = [one for one in tried if one[LEVEL] >= tried[0][LEVEL]]
    best = max(allowed, key=lambda one: one[LISTENED], default=tried[0])
    return float(best["listen_weight"])


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else 0.0
