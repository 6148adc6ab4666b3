"""Metrics for early stopping: HR, NDCG and loss on the validation targets after each epoch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from segue.batches.split import Split
from segue.evaluation.candidates import session_candidates
from segue.evaluation.evaluation_scene import make_scene
from segue.evaluation.metrics import gain, hit
from segue.evaluation.ranking_pass import best_lists, ranks_among_all, sampled_ranks
from segue.model import Encoder
from segue.ranking import ModelScorer
from segue.ranking.set_metrics import hit_rate, ndcg
from segue.recipes import Recipe
from segue.store import Store

NDCG_AT: Final = 20
HR_AT: Final = (1, 10)
LOSS_TARGETS: Final = 2_000


class Validation:
    """The validation targets of one split and their candidates, the same in all epochs."""

    def __init__(self, store: Store, split: Split, recipe: Recipe, device: Any) -> None:
        """`recipe`: `training.validation_targets` is the largest number of targets; 0 = all."""
        config = recipe.evaluation
        scene = make_scene(store, split, recipe.data, config, "validation", device).reading(recipe)
        chosen = scene.sample(recipe.training.validation_targets)
        self._rows = split.candidates
        self._contexts = scene.part(scene.contexts.cases, chosen)
        chosen = chosen[np.linspace(0, len(chosen) - 1, min(len(chosen), LOSS_TARGETS), dtype=np.int64)]
        self._of_loss = scene.part(scene.contexts.cases, chosen)
        session = scene.contexts.cases.session[chosen]
        candidates = session_candidates(store, session, split.candidates, config.candidates, config.seed, device)
        self._candidates = candidates.kept()

    def measure(self, encoder: Encoder) -> dict[str, float]:
        """Return HR@1, HR@10, NDCG@20 and the loss of `encoder` (in eval mode); NaN without targets.

        Ranks are among all tracks. Of a set of targets, HR is whether one of them is hit, and NDCG that of the set. The
        loss is the mean cross-entropy of at most LOSS_TARGETS of the candidate targets (of the first one of each set),
        each among its sampled candidates.
        """
        scorer = ModelScorer(encoder, self._rows)
        sampled = sampled_ranks(scorer, self._of_loss, self._candidates)
        losses = sampled.losses[np.isfinite(sampled.ranks[:, 0]), 0]
        losses = losses[~np.isposinf(losses)]  # of tracks without a training row that nothing gives mass
        return self._ranked(scorer) | {"loss": _mean(losses)}

    def _ranked(self, scorer: ModelScorer) -> dict[str, float]:
        positives = self._contexts.cases.positives
        if positives is None:
            ranks = ranks_among_all(scorer, self._contexts)
            hits = {f"hr@{cutoff}": _mean(hit(ranks, cutoff)) for cutoff in HR_AT}
            return hits | {f"ndcg@{NDCG_AT}": _mean(gain(ranks, NDCG_AT))}
        among = positives.hits(best_lists(scorer, self._contexts, NDCG_AT))
        hits = {f"hr@{cutoff}": _mean(hit_rate(among, cutoff)) for cutoff in HR_AT}
        return hits | {f"ndcg@{NDCG_AT}": _mean(ndcg(among, positives.counts, NDCG_AT))}


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else float("nan")


def validating(store: Store, recipe: Recipe) -> Callable[[Split, Encoder], Mapping[str, float]]:
    """Return the function that measures an encoder on the validation targets of `store` after each epoch of `recipe`.

    Its targets and candidates are computed in the first call, which gives the split and the device.
    """
    made: list[Validation] = []

    def validate(split: Split, encoder: Encoder) -> Mapping[str, float]:
        if not made:
            made.append(Validation(store, split, recipe, encoder.table.weight.device))
        return made[0].measure(encoder)

    return validate
