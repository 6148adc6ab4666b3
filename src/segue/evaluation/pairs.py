"""The two held-out tracks of a session, ranked from one context: everything before both.

The context of the test target contains the validation track, so a fair comparison uses the context before both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segue import columns
from segue.evaluation.answers import PairAnswers
from segue.evaluation.evaluation_scene import EvaluationScene
from segue.evaluation.metrics import concordance
from segue.evaluation.ranking_pass import Contexts, Ranked
from segue.evaluation.targets import PairTargets


@dataclass(frozen=True)
class Pairs:
    """The sessions whose two held-out tracks are compared."""

    targets: PairTargets
    contexts: Contexts
    """Everything before both tracks, [n]."""
    tracks: NDArray[np.int64]
    """Table rows, earlier track first, [n, 2]."""
    rows: NDArray[np.int64]
    """Global rows of the two events, [n, 2]."""


def find_pairs(scene: EvaluationScene) -> Pairs | None:
    """Return the sessions with a listened one among their two held-out tracks; None if the split holds out only one."""
    earlier, later = scene.split.cases["validation"], scene.contexts.cases
    if scene.which != "test" or not np.array_equal(earlier.session, later.session):
        return None
    both = np.stack([earlier.target, later.target], axis=1)
    listened = scene.listened(both)
    chosen = np.flatnonzero(listened.any(axis=1))
    if len(chosen) == 0:
        return None
    both = both[chosen]
    tracks = np.asarray(scene.store.tracks)[both].astype(np.int64)
    reachable = np.asarray(np.isin(tracks, scene.split.candidates).all(axis=1))
    targets = PairTargets(chosen, listened[chosen], scene.skipped(both), reachable)
    return Pairs(targets, scene.part(earlier, chosen), tracks, both)


def pair_truth(scene: EvaluationScene, pairs: Pairs) -> PairAnswers | None:
    """Return the answers of the true P(listen) of simulated data, from before both tracks; None for other data.

    It has no ranks (NaN). Its pair AUC is the upper bound that a model can be expected to reach.
    """
    truth = scene.side_of(columns.ORACLE_P_LISTEN_COMMON, pairs.rows)
    if truth is None:
        return None
    return PairAnswers(np.full(truth.shape, np.nan), _better(pairs.targets, truth.astype(np.float64)))


def pair_answers(pairs: PairTargets, ranked: Ranked) -> PairAnswers:
    """Return the answers of a pass over pairs: both ranks, and whether the listened track scores above the other."""
    return PairAnswers(ranked.ranks, _better(pairs, ranked.scores))


def _better(pairs: PairTargets, scores: NDArray[np.float64]) -> NDArray[np.float64]:
    listened_first = concordance(scores[:, 0], scores[:, 1]) * pairs.mixed(0)
    return listened_first + concordance(scores[:, 1], scores[:, 0]) * pairs.mixed(1)
