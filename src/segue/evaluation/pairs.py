"""The two held-out tracks of a session, asked for from one context: everything before both.

The test target's own context holds the validation track, so two tracks are compared fairly only from before both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segue.evaluation.answers import PairAnswers
from segue.evaluation.metrics import concordance
from segue.evaluation.ranking_pass import Held, Ranked
from segue.evaluation.scene import Scene
from segue.evaluation.targets import PairTargets


@dataclass(frozen=True)
class Pairs:
    """The sessions whose two held-out tracks are asked for."""

    targets: PairTargets
    held: Held
    """Their contexts: everything before both, [n]."""
    tracks: NDArray[np.int64]
    """Table rows, earlier track first, [n, 2]."""
    rows: NDArray[np.int64]
    """Global rows of the two events, [n, 2]."""


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
    reachable = np.asarray(np.isin(tracks, scene.split.candidates).all(axis=1))
    targets = PairTargets(chosen, listened[chosen], scene.skipped(both), reachable)
    return Pairs(targets, scene.part(earlier, chosen), tracks, both)


def pair_answers(pairs: PairTargets, found: Ranked) -> PairAnswers:
    """Return what is kept of a pass over pairs: both ranks, and whether the listened track scores above the other."""
    listened_first = concordance(found.scores[:, 0], found.scores[:, 1]) * pairs.mixed(0)
    skipped_first = concordance(found.scores[:, 1], found.scores[:, 0]) * pairs.mixed(1)
    return PairAnswers(found.ranks, listened_first + skipped_first)
