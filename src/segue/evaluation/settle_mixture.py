"""How much encoder and heads weigh in a ranking, chosen on validation targets after training.

A fit by likelihood was measured instead: it raises HR@1 and lowers HR@20 (records/LOG.md, 2026-11-30).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, Final

import numpy as np

from segue.evaluation.evaluation_scene import EvaluationScene
from segue.evaluation.settling_ranks import SettlingRanks
from segue.model import Encoder
from segue.progress import Progress, Step, silent
from segue.ranking import ModelScorer

Part = tuple[str, str]
"""A head and the name of one of its weights."""
GRID: Final[Mapping[Part, Sequence[float]]] = {
    ("transitions", "temperature"): (1.0, 0.9, 0.8, 0.7),
    ("transitions", "offset"): (0.0, 0.5, 1.0, -0.5, -1.0, -2.0),
    ("neighbours", "mass"): (0.0, 0.02, 0.05, 0.15, 0.4, 1.0, 2.5),
    ("copy", "offset"): (0.0, 0.5, 1.0, 1.5, -0.5, -1.0),
    ("repeats", "offset"): (0.0, 0.5, 1.0, 2.0, -0.5, -1.0),
}
"""Weights to choose from, in the order in which they are chosen; the first are those of training. The mass of
neighbours is in units of that of the encoder: the mean over sessions, by its log, of the sum of exp(score)."""
DAY_GRID: Final[Mapping[Part, Sequence[float]]] = {
    **GRID,
    ("transitions", "temperature"): (1.0, 0.85, 0.7, 0.5),
    ("transitions", "offset"): (0.0, -1.0, -2.0, -4.0, -8.0),
    ("copy", "offset"): (0.0, -1.0, -2.0, -4.0, -8.0),
    ("repeats", "offset"): (0.0, 0.5, 1.0, 2.0, 4.0),
}
"""The same for the tracks of a whole day, of which what comes next says little."""
ROUNDS: Final = 2
"""Times that each weight is chosen in turn."""
FEWEST: Final = 30
"""Fewest validation targets on which weights are chosen."""
NDCG_AT: Final = 20
LARGEST_LOG: Final = 700.0
"""Log of the largest unit of mass: dot products may be of any size, and exp(710) is no float."""


def settle_mixture(
    scene: EvaluationScene, encoder: Encoder, most: int, progress: Progress = silent
) -> dict[str, dict[str, Any]]:
    """Give the heads of `encoder` the weights with the highest NDCG@20 among all tracks that a search by parts finds.

    Each part of GRID (DAY_GRID for sets of targets) in turn takes its best value while the others stay, of equal ones
    the first; ROUNDS times, or until nothing changes. Over a sample of `most` validation targets that are candidates,
    or of sets of targets; with fewer than FEWEST the weights stay as trained.

    Returns, by head, the weights; and in `mixture` what was tried.
    """
    by_days = scene.contexts.cases.positives is not None
    grid = {part: values for part, values in (DAY_GRID if by_days else GRID).items() if part[0] in encoder.heads}
    if not grid:
        return {}
    sample = scene.sample(most)
    ranked = np.isin(scene.contexts.target[sample], scene.split.candidates) | by_days
    settling = SettlingRanks(encoder, scene.part(scene.contexts.cases, sample[ranked]))
    search = _Search(scene, encoder, settling, grid, progress)
    if ranked.sum() >= FEWEST:
        search.run()
    names = dict.fromkeys(name for name, _ in grid)
    documents = {name: asdict(encoder.heads[name].ranking_weights) for name in names}  # type: ignore[call-overload]
    return {**documents, "mixture": {"targets": int(ranked.sum()), "tried": search.tried()}}


class _Search:
    """A search by parts for the weights of the heads of an encoder."""

    def __init__(
        self,
        scene: EvaluationScene,
        encoder: Encoder,
        settling: SettlingRanks,
        grid: Mapping[Part, Sequence[float]],
        progress: Progress,
    ) -> None:
        self._heads, self._settling, self._progress = encoder.heads, settling, progress
        self._encoder, self._candidates = encoder, scene.split.candidates
        self._grid = {part: list(values) for part, values in grid.items()}
        self._level: dict[tuple[float, ...], float] = {}
        self._num = sum(len(values) for values in grid.values())

    def run(self) -> None:
        """Choose the weights."""
        mass = "neighbours", "mass"
        if mass in self._grid:
            log_unit = self._settling.mean_log_mass(ModelScorer(self._encoder, self._candidates))
            unit = math.exp(min(log_unit, LARGEST_LOG))
            self._grid[mass] = [value * unit for value in self._grid[mass]]
        best = {part: values[0] for part, values in self._grid.items()}
        for _ in range(ROUNDS):
            before = dict(best)
            for part, values in self._grid.items():
                levels = [self._value({**best, part: value}) for value in values]
                best[part] = values[levels.index(max(levels))]
            if best == before:
                break
        self._set(best)

    def tried(self) -> list[dict[str, float]]:
        """Return the weights that were tried, and the NDCG@20 of each."""
        names = [".".join(part) for part in self._grid]
        return [
            {**dict(zip(names, weights, strict=True)), f"ndcg@{NDCG_AT}": level}
            for weights, level in self._level.items()
        ]

    def _value(self, weights: Mapping[Part, float]) -> float:
        key = tuple(weights.values())
        if key not in self._level:
            self._set(weights)
            scorer = ModelScorer(self._encoder, self._candidates)
            self._level[key] = float(self._settling.gains(scorer, NDCG_AT).mean())
            self._progress(Step("weigh heads", len(self._level), max(self._num, len(self._level)), "weights"))
        return self._level[key]

    def _set(self, weights: Mapping[Part, float]) -> None:
        for (name, part), value in weights.items():
            head: Any = self._heads[name]
            head.ranking_weights = replace(head.ranking_weights, **{part: value})
