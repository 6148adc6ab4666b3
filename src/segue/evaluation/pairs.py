"""The two held-out tracks of a session, asked for from one context: everything before both.

The test target's own context holds the validation track, so two tracks are compared fairly only from before both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segue.evaluation.metrics import Ratio, concordance, ratios
from segue.evaluation.ranking_pass import Held, Ranked
from segue.evaluation.scene import Scene

Pass = Callable[[Held, NDArray[np.int64], NDArray[np.int64]], Ranked]
"""Contexts, table rows asked for [n, 2], and which targets of the scene they belong to [n]."""


@dataclass(frozen=True)
class Pairs:
    """The sessions whose two held-out tracks are asked for."""

    chosen: NDArray[np.int64]
    """Indices of the scene's targets, [n]."""
    held: Held
    tracks: NDArray[np.int64]
    """Table rows, earlier track first, [n, 2]."""
    listened: NDArray[np.bool_]
    skipped: NDArray[np.bool_]


def find_pairs(scene: Scene) -> Pairs | None:
    """Return the sessions with a listened one among their two held-out tracks; None where the split has no two."""
    earlier, later = scene.split.cases["validation"], scene.held.cases
    if scene.which != "test" or not np.array_equal(earlier.session, later.session):
        return None
    both = np.stack([earlier.target, later.target], axis=1)
    listened = scene.listened(both)
    chosen = np.flatnonzero(listened.any(axis=1))
    if len(chosen) == 0:
        return None
    both = both[chosen]
    tracks = np.asarray(scene.store.tracks)[both].astype(np.int64)
    return Pairs(chosen, scene.part(earlier, chosen), tracks, listened[chosen], scene.skipped(both))


def pair_ratios(scene: Scene, pairs: Pairs, rank: Pass) -> tuple[dict[str, Ratio], int]:
    """Return the ratios that pairs define, over the scene's targets, and how many scores were NaN.

    - `listened-first`, `skipped-first`: sessions whose two held-out tracks differ in feedback, by which came first:
      P(score of the listened > score of the skipped), ties 1/2; their mean is the pair AUC.
    - `log-rank.listened`, `log-rank.skipped`: mean natural log of the rank of either track of those sessions (a track
      that is no candidate ranks behind all of them and one more).
    - every rank metric of the next *listened* track (`hr@10.next-listened`): the first of the two that was listened to.
    """
    found = rank(pairs.held, pairs.tracks, pairs.chosen)
    num, who = len(scene.held.cases), np.arange(len(pairs.chosen))

    def over_all(value: NDArray[np.float64], where: NDArray[np.bool_]) -> Ratio:
        numerator, denominator = np.zeros(num), np.zeros(num)
        numerator[pairs.chosen[where]], denominator[pairs.chosen[where]] = value[where], 1.0
        return numerator, denominator

    first = np.where(pairs.listened[:, 0], 0, 1)
    values = ratios(found.ranks[who, first], {})
    everywhere = np.ones(len(who), np.bool_)
    result = {f"{name}.next-listened": over_all(value, everywhere) for name, (value, _) in values.items()}
    last = found.behind_all
    logs = np.log(np.where(np.isfinite(found.ranks), found.ranks, last))
    reachable = np.isin(pairs.tracks, scene.split.candidates).all(axis=1)
    mixed = {"listened-first": (0, 1), "skipped-first": (1, 0)}
    differs = np.zeros(len(who), np.bool_)
    for name, (heard, passed) in mixed.items():
        where = pairs.listened[:, heard] & pairs.skipped[:, passed]
        differs |= where
        better = concordance(found.scores[:, heard], found.scores[:, passed])
        result[name] = over_all(better, where & reachable)
    result["log-rank.listened"] = over_all(logs[who, first], differs)
    result["log-rank.skipped"] = over_all(logs[who, 1 - first], differs)
    return result, found.num_nan
