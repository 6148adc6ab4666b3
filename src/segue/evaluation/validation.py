"""Metrics for early stopping: sampled HR and loss on the validation targets after each epoch."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from segue.batches.split import Split
from segue.evaluation.metrics import hit
from segue.evaluation.ranking_pass import sampled_ranks
from segue.evaluation.scene import make_scene
from segue.evaluation.session_candidates import session_candidates
from segue.hashing import splitmix64
from segue.model import Encoder
from segue.ranking import ModelScorer
from segue.recipes import Recipe
from segue.store import Store


class Validation:
    """The validation targets of one split and their candidates, the same in all epochs."""

    def __init__(self, store: Store, split: Split, recipe: Recipe, device: object) -> None:
        """`recipe`: `training.validation_targets` is the largest number of targets; 0 = all."""
        data, config, most = recipe.data, recipe.evaluation, recipe.training.validation_targets
        scene = make_scene(store, split, data, config, "validation", device).reading(recipe.inputs)
        session = split.cases["validation"].session
        chosen = sampled(np.asarray(store.session_key[session]), most, config.seed)
        self._contexts, session = scene.part(scene.contexts.cases, chosen), session[chosen]
        self._rows = split.candidates
        candidates = session_candidates(store, session, split.candidates, config.candidates, config.seed, device)
        self._candidates = candidates.kept()

    def measure(self, encoder: Encoder) -> dict[str, float]:
        """Return HR@1, HR@10 and the loss of `encoder` (in eval mode); NaN without targets.

        The loss is the mean cross-entropy of candidate targets, each among its sampled candidates.
        """
        ranked = sampled_ranks(ModelScorer(encoder, self._rows), self._contexts, self._candidates)
        ranks, reachable = ranked.ranks[:, 0], np.isfinite(ranked.ranks[:, 0])
        if not reachable.any():
            miss = float("nan") if len(ranks) == 0 else 0.0
            return {"hr@1": miss, "hr@10": miss, "loss": float("nan")}
        loss = float(ranked.losses[reachable, 0].mean())
        return {"hr@1": float(hit(ranks, 1).mean()), "hr@10": float(hit(ranks, 10).mean()), "loss": loss}


def sampled(keys: NDArray[np.uint64], most: int, seed: int) -> NDArray[np.int64]:
    """Return the indices of `most` of the sessions `keys`, drawn uniformly, ascending; of all if most = 0.

    Sessions are chosen by a hash of seed and key, so a larger sample contains the smaller ones, in any order of keys.
    """
    if not 0 < most < len(keys):
        return np.arange(len(keys))
    mixed = splitmix64(splitmix64(keys) ^ splitmix64(np.array([seed], np.uint64)))
    return np.sort(np.argsort(mixed, kind="stable")[:most])


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
