"""Metrics for early stopping: sampled HR and loss on the validation targets after each epoch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.batches.split import Split
from segue.evaluation.candidates import session_candidates
from segue.evaluation.evaluation_scene import make_scene
from segue.evaluation.metrics import hit
from segue.evaluation.ranking_pass import sampled_ranks
from segue.model import Encoder
from segue.ranking import ModelScorer
from segue.recipes import Recipe
from segue.store import Store


class Validation:
    """The validation targets of one split and their candidates, the same in all epochs."""

    def __init__(self, store: Store, split: Split, recipe: Recipe, device: Any) -> None:
        """`recipe`: `training.validation_targets` is the largest number of targets; 0 = all."""
        config = recipe.evaluation
        scene = make_scene(store, split, recipe.data, config, "validation", device).reading(recipe.inputs)
        cases = scene.contexts.cases
        chosen = scene.sample(recipe.training.validation_targets)
        self._contexts, self._rows, session = scene.part(cases, chosen), split.candidates, cases.session[chosen]
        candidates = session_candidates(store, session, split.candidates, config.candidates, config.seed, device)
        self._candidates = candidates.kept()

    def measure(self, encoder: Encoder) -> dict[str, float]:
        """Return HR@1, HR@10 and the loss of `encoder` (in eval mode); NaN without targets.

        The loss is the mean cross-entropy of candidate targets, each among its sampled candidates.
        """
        ranked = sampled_ranks(ModelScorer(encoder, self._rows), self._contexts, self._candidates)
        ranks = ranked.ranks[:, 0]
        losses = ranked.losses[np.isfinite(ranks), 0]
        return {"hr@1": _mean(hit(ranks, 1)), "hr@10": _mean(hit(ranks, 10)), "loss": _mean(losses)}


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
