"""How well P(listen) of the held-out tracks is foretold: log-loss, Brier, ECE, AUC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata

from segue import columns, skips
from segue.batches.split import visible_strength
from segue.evaluation.bootstrap import Bootstrap, Estimate
from segue.evaluation.metrics import Ratio
from segue.evaluation.scene import Scene
from segue.evaluation.strata import position_strata
from segue.ranking import ModelScorer, Scorer

BINS: Final = 15
"""Equal-width bins of the calibration error (Guo et al. 2017)."""
PRIOR: Final = (2.5, 5.0)
"""Listens and plays added to a rate (method, section 5: (skips + 2.5) / (plays + 5))."""
HEAD_BATCH: Final = 512
"""Contexts asked at a time."""
FLOOR: Final = 1e-6
"""Probabilities are kept this far from 0 and 1 in the log-loss."""
Array = NDArray[np.float64]


def log_losses(p: Array, listened: Array) -> Array:
    """Return -log of the probability given to what happened, natural log.

    >>> log_losses(np.array([0.5]), np.array([1.0])).round(4).tolist()
    [0.6931]
    """
    kept = np.clip(p, FLOOR, 1 - FLOOR)
    return np.asarray(-(listened * np.log(kept) + (1 - listened) * np.log1p(-kept)))


def calibration_error(p: Array, listened: Array) -> float:
    """Return the expected calibration error: mean over targets of |mean p - share listened| of their bin; NaN if none.

    >>> round(calibration_error(np.array([0.9, 0.9, 0.1, 0.1]), np.array([1.0, 1.0, 0.0, 1.0])), 4)
    0.25
    """
    if len(p) == 0:
        return float("nan")
    place = np.minimum((p * BINS).astype(np.int64), BINS - 1)
    gap = np.bincount(place, weights=p - listened, minlength=BINS)
    return float(np.abs(gap).sum() / len(p))


def reliability(p: Array, listened: Array) -> list[list[float | int]]:
    """Return [mean p, share listened, targets] of each of BINS equal bins of p that holds a target.

    >>> reliability(np.array([0.9, 0.91, 0.1]), np.array([1.0, 0.0, 0.0]))
    [[0.1, 0.0, 1], [0.905, 0.5, 2]]
    """
    place = np.minimum((p * BINS).astype(np.int64), BINS - 1)
    count = np.bincount(place, minlength=BINS)
    sums = [np.bincount(place, weights=values, minlength=BINS) for values in (p, listened)]
    return [
        [round(float(part[i] / count[i]), 6) for part in sums] + [int(count[i])] for i in range(BINS) if count[i] > 0
    ]


def area(p: Array, listened: Array) -> float:
    """Return P(p of a listened target > p of a skipped one), ties 1/2; NaN where one kind is missing.

    >>> area(np.array([0.9, 0.5, 0.5]), np.array([1.0, 1.0, 0.0]))
    0.75
    """
    num = float(listened.sum())
    other = len(listened) - num
    if num == 0 or other == 0:
        return float("nan")
    return float((rankdata(p)[listened > 0].sum() - num * (num + 1) / 2) / (num * other))


def listening_rows(scene: Scene, bootstrap: Bootstrap, predictions: Mapping[str, Array]) -> list[dict[str, Any]]:
    """Return a record a predictor over the targets of known feedback, of `predictions` [N] by name (NaN: none).

    `log-loss`, `brier`, `ece` and `auc` as [value, low, high]; `positions`: the log-loss by position of the target;
    `reliability`: see there.
    A head that has no prediction for a target is measured on the others; `targets` counts them.
    """
    target = scene.held.cases.target
    listened, skipped = scene.listened(target), scene.skipped(target)
    positions = position_strata(scene)
    truth, rows = listened.astype(np.float64), []
    for name, p in predictions.items():
        wanted = (listened | skipped) & ~np.isnan(p)
        safe = np.where(wanted, p, 0.5)
        losses = log_losses(safe, truth) * wanted
        means: dict[str, Ratio] = {"log-loss": (losses, wanted), "brier": ((safe - truth) ** 2 * wanted, wanted)}
        means |= {place: (losses * member, wanted & member) for place, member in positions.items()}
        found = bootstrap.estimate(means)[0]
        bins = reliability(p[wanted], truth[wanted])
        by_position = {place: found.pop(place).to_json() for place in positions}
        found["ece"] = Estimate(calibration_error(p[wanted], truth[wanted]), np.nan, np.nan)
        found["auc"] = Estimate(area(p[wanted], truth[wanted]), np.nan, np.nan)
        head = {"name": name, "targets": int(wanted.sum())}
        rows.append(head | {k: e.to_json() for k, e in found.items()} | {"positions": by_position, "reliability": bins})
    return rows


def head_predictions(scene: Scene, scorers: Sequence[Scorer]) -> dict[str, Array]:
    """Return P(listen) of each target by the head of each model that has one, [N] by the model's name."""
    found = {}
    for scorer in scorers:
        if isinstance(scorer, ModelScorer) and scorer.foretells and scorer.name == "model":
            parts = []
            for index, batch in scene.held.blocks(HEAD_BATCH):
                own = torch.from_numpy(scene.held.target[index])[:, None].to(scene.held.device)
                parts.append(torch.sigmoid(scorer.listen_logits(batch, own)[:, 0].double()).cpu().numpy())
            p = np.concatenate(parts) if parts else np.zeros(0)
            found[scorer.name] = np.where(np.isin(scene.held.target, scene.split.candidates), p, np.nan)
    return found


def baseline_predictions(scene: Scene) -> dict[str, Array]:
    """Return P(listen) of each target without a model, [N] by name.

    The share listened to in training ('share'), the track's smoothed rate ('track-rate'), the session's own so far
    ('session-rate', shrunk towards the share), and, of simulated data, the truth ('oracle'). Feedback is read as models
    read it.
    """
    rows, cases = scene.split.training_rows, scene.held.cases
    strength = visible_strength(scene.store, scene.split)
    listened = skips.listened(strength, scene.skip_at_least)
    judged = listened | skips.skipped(strength, scene.skip_at_least)
    tracks, size = np.asarray(scene.store.tracks)[rows], len(scene.split.training_counts)
    plays = np.bincount(tracks[judged[rows]], minlength=size)
    listens = np.bincount(tracks[listened[rows]], minlength=size)
    share = listens.sum() / max(int(plays.sum()), 1)
    heard_sums, known_sums = (np.concatenate(([0], np.cumsum(flags))) for flags in (listened, judged))
    own = heard_sums[cases.target] - heard_sums[cases.begin]
    known = known_sums[cases.target] - known_sums[cases.begin]
    found = {
        "share": np.full(len(cases), share),
        "track-rate": ((listens + PRIOR[0]) / (plays + PRIOR[1]))[scene.held.target],
        "session-rate": (own + PRIOR[1] * share) / (known + PRIOR[1]),
    }
    if scene.store.side_column(columns.ORACLE_P_LISTEN) is not None:
        found["oracle"] = np.asarray(scene.store.side(columns.ORACLE_P_LISTEN))[cases.target].astype(np.float64)
    return found
