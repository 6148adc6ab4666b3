"""The data that every scorer is measured on: one split of one store, its targets and their groups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue import columns, skips
from segue.batches.data import SessionData
from segue.batches.split import Cases, DataConfig, Split, SplitName
from segue.evaluation.ranking_pass import Contexts
from segue.model.inputs import load_side
from segue.recipes import EvaluationConfig
from segue.store import Store


@dataclass(frozen=True)
class Scene:
    """One split of one store, on a device."""

    store: Store
    split: Split
    contexts: Contexts
    which: SplitName
    config: EvaluationConfig
    skip_at_least: int

    def listened(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return whether the events at global `rows` were listened to."""
        return np.asarray(skips.listened(np.asarray(self.store.strength)[rows], self.skip_at_least))

    def skipped(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return whether the events at global `rows` were skipped."""
        return np.asarray(skips.skipped(np.asarray(self.store.strength)[rows], self.skip_at_least))

    def reading(self, inputs: Mapping[str, Any]) -> Scene:
        """Return the scene with what the inputs `inputs` (configs by name) read of the store.

        Raises:
            InputError: the store lacks it.
        """
        contexts = self.contexts
        data = replace(contexts.data, side=load_side(inputs, self.store, self.split, contexts.device))
        return replace(self, contexts=Contexts(data, contexts.cases, contexts.max_len, self.split.candidates))

    def part(self, cases: Cases, chosen: NDArray[np.int64]) -> Contexts:
        """Return the contexts of `cases[chosen]`."""
        some = Cases(cases.session[chosen], cases.begin[chosen], cases.target[chosen])
        return Contexts(self.contexts.data, some, self.contexts.max_len, self.split.candidates)


def make_scene(
    store: Store, split: Split, data_config: DataConfig, config: EvaluationConfig, which: SplitName, device: Any
) -> Scene:
    """Return the scene of split `which` on `device`; models that read inputs need its `reading`."""
    data = SessionData.load(store, split, device)
    contexts = Contexts(data, split.cases[which], data_config.max_len, split.candidates)
    return Scene(store, split, contexts, which, config, data_config.skip_at_least)


def units(scene: Scene) -> NDArray[np.int64]:
    """Return the unit of each target: its listener if the store has listeners, else its session, [N]."""
    session = scene.contexts.cases.session
    if scene.store.side_column(columns.USER) is None:
        return session
    return np.asarray(scene.store.side(columns.USER))[session].astype(np.int64)


def target_groups(scene: Scene) -> dict[str, NDArray[np.bool_]]:
    """Return the members of each group of targets: listened, skipped, seen, untied."""
    target = scene.contexts.cases.target
    groups = {
        "listened": scene.listened(target),
        "skipped": scene.skipped(target),
        "seen": scene.split.training_counts[scene.contexts.target] > 0,
    }
    if scene.store.side_column(columns.TIED) is not None:
        groups["untied"] = ~np.asarray(scene.store.side(columns.TIED))[target].astype(np.bool_)
    return groups
