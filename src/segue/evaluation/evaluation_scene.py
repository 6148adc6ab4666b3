"""The data that every scorer is measured on: the held-out targets of one split of one store, on a device."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue import skips
from segue.batches.data import SessionData
from segue.batches.held_out import Cases, SplitName
from segue.batches.histories import load_histories
from segue.batches.session_numbers import SESSION_NUMBER, SessionNumbers
from segue.batches.split import DataConfig, Split
from segue.evaluation.ranking_pass import Contexts
from segue.hashing import splitmix64
from segue.model.heads import load_heads
from segue.model.inputs import load_side
from segue.recipes import EvaluationConfig, Recipe
from segue.store import Store


@dataclass(frozen=True)
class EvaluationScene:
    """One split of one store, on a device."""

    store: Store
    split: Split
    contexts: Contexts
    which: SplitName
    config: EvaluationConfig

    def listened(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return whether the events at global `rows` were listened to."""
        return np.asarray(skips.listened(np.asarray(self.store.strength)[rows], self.split.skip_at_least))

    def skipped(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return whether the events at global `rows` were skipped."""
        return np.asarray(skips.skipped(np.asarray(self.store.strength)[rows], self.split.skip_at_least))

    def side_of(self, name: str, rows: NDArray[np.int64]) -> NDArray[Any] | None:
        """Return side column `name` of events or sessions `rows`; None if the store lacks it."""
        return None if self.store.side_column(name) is None else np.asarray(self.store.side(name))[rows]

    def reading(self, recipe: Recipe) -> EvaluationScene:
        """Return the scene with what the inputs, the heads and the encoder of `recipe` read of the store.

        Raises:
            InputError: the store lacks it.
        """
        given = self.store, self.split, self.contexts.device
        side = dict(self.contexts.data.side) | load_side(recipe.inputs, *given) | load_heads(recipe.heads, *given)
        histories = load_histories(*given[:2], recipe.data.history, given[2])
        data = replace(self.contexts.data, side=side, histories=histories)
        return replace(self, contexts=replace(self.contexts, data=data))

    def sample(self, most: int, among: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
        """Return the indices of `most` targets (0 = all) of those in `among` [N] (default all); see `sampled`."""
        index = np.arange(len(self.contexts.cases)) if among is None else np.flatnonzero(among)
        keys = np.asarray(self.store.session_key[self.contexts.cases.session[index]])
        return index[sampled(keys, most, self.config.seed)]

    def part(self, cases: Cases, chosen: NDArray[np.int64]) -> Contexts:
        """Return the contexts of `cases[chosen]`."""
        return replace(self.contexts, cases=cases.of(chosen))


def make_scene(
    store: Store, split: Split, data_config: DataConfig, config: EvaluationConfig, which: SplitName, device: Any
) -> EvaluationScene:
    """Return the scene of split `which` on `device`; models that read inputs need its `reading`."""
    data = SessionData.load(store, split, device, {SESSION_NUMBER: SessionNumbers()})
    contexts = Contexts(data, split.cases[which], data_config.max_len, split.candidates)
    return EvaluationScene(store, split, contexts, which, config)


def sampled(keys: NDArray[np.uint64], most: int, seed: int) -> NDArray[np.int64]:
    """Return the indices of `most` of the sessions `keys`, drawn uniformly, ascending; of all if most = 0.

    Sessions are chosen by a hash of seed and key, so a larger sample contains the smaller ones, in any order of keys.
    """
    if not 0 < most < len(keys):
        return np.arange(len(keys))
    mixed = splitmix64(splitmix64(keys) ^ splitmix64(np.array([seed], np.uint64)))
    return np.sort(np.argsort(mixed, kind="stable")[:most])
