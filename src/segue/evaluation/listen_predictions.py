"""Quality of predictions of P(listen) for held-out tracks: log-loss, Brier, ECE, AUC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from segue import columns, skips
from segue.batches.split import visible_strength
from segue.evaluation.bootstrap import Bootstrap, Estimate
from segue.evaluation.evaluation_scene import EvaluationScene
from segue.evaluation.metrics import Ratio
from segue.evaluation.strata import position_strata
from segue.ranking import ModelScorer, Scorer
from segue.ranking.baselines import TrainingRows

BINS: Final = 15
"""Equal-width bins of the calibration error (Guo et al. 2017)."""
HEAD_BATCH: Final = 512
"""Contexts at a time."""
FLOOR: Final = 1e-6
"""Probabilities are clipped to this distance from 0 and 1 in the log-loss."""
Array = NDArray[np.float64]


def log_losses(p: Array, listened: Array) -> Array:
    """Return -log of the probability of the true outcome, natural log.

    >>> log_losses(np.array([0.5]), np.array([1.0])).round(4).tolist()
    [0.6931]
    """
    clipped = np.clip(p, FLOOR, 1 - FLOOR)
    return np.asarray(-(listened * np.log(clipped) + (1 - listened) * np.log1p(-clipped)))


def calibration_error(p: Array, listened: Array) -> float:
    """Return the expected calibration error: mean over targets of |mean p - share listened| of their bin; NaN if empty.

    >>> round(calibration_error(np.array([0.9, 0.9, 0.1, 0.1]), np.array([1.0, 1.0, 0.0, 1.0])), 4)
    0.25
    """
    return float(np.abs(_binned(p, p - listened)).sum() / len(p)) if len(p) else np.nan


def reliability(p: Array, listened: Array) -> list[list[float | int]]:
    """Return [mean p, share listened, targets] of each non-empty one of BINS equal bins of p.

    >>> reliability(np.array([0.9, 0.91, 0.1]), np.array([1.0, 0.0, 0.0]))
    [[0.1, 0.0, 1], [0.905, 0.5, 2]]
    >>> reliability(np.zeros(0), np.zeros(0))
    []
    """
    count, sum_p, sum_listened = (_binned(p, values) for values in (np.ones(len(p)), p, listened))
    return [
        [round(float(sum_p[i] / count[i]), 6), round(float(sum_listened[i] / count[i]), 6), int(count[i])]
        for i in np.flatnonzero(count)
    ]


def _binned(p: Array, values: Array) -> Array:
    """Return the sums of `values` in BINS equal bins of p."""
    bins = np.minimum((p * BINS).astype(np.int64), BINS - 1)
    return np.bincount(bins, weights=values, minlength=BINS).astype(np.float64)  # without any, bincount counts in ints


def area(p: Array, listened: Array) -> float:
    """Return P(p of a listened target > p of a skipped one), ties 1/2; NaN if one kind is missing.

    >>> area(np.array([0.9, 0.5, 0.5]), np.array([1.0, 1.0, 0.0]))
    0.75
    """
    num = float(listened.sum())
    other = len(listened) - num
    if num == 0 or other == 0:
        return float("nan")
    _, value, counts = np.unique(p, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[value]  # equal values share their mean rank
    return float((ranks[listened > 0].sum() - num * (num + 1) / 2) / (num * other))


def listening_rows(
    scene: EvaluationScene, bootstrap: Bootstrap, predictions: Mapping[str, Array]
) -> list[dict[str, Any]]:
    """Return one record per predictor over the targets of known feedback, of `predictions` [N] by name (NaN = none).

    `log-loss`, `brier`, `ece` and `auc` as [value, low, high]; `positions`: the log-loss by position of the target;
    `reliability`: see there; `targets`: number of targets with a prediction, on which it is measured.
    """
    target = scene.contexts.cases.target
    listened, skipped = scene.listened(target), scene.skipped(target)
    positions = position_strata(scene)
    truth, rows = listened.astype(np.float64), []
    for name, p in predictions.items():
        wanted = (listened | skipped) & ~np.isnan(p)
        safe = np.where(wanted, p, 0.5)
        losses = log_losses(safe, truth) * wanted
        means: dict[str, Ratio] = {"log-loss": (losses, wanted), "brier": ((safe - truth) ** 2 * wanted, wanted)}
        means |= {name: (losses * member, wanted & member) for name, member in positions.items()}
        estimates = bootstrap.estimate(means)
        bins = reliability(p[wanted], truth[wanted])
        by_position = {name: estimates.pop(name).to_json() for name in positions}
        estimates["ece"] = Estimate(calibration_error(p[wanted], truth[wanted]), np.nan, np.nan)
        estimates["auc"] = Estimate(area(p[wanted], truth[wanted]), np.nan, np.nan)
        head = {"name": name, "targets": int(wanted.sum())}
        rows.append(
            head | {k: e.to_json() for k, e in estimates.items()} | {"positions": by_position, "reliability": bins}
        )
    return rows


def head_predictions(scene: EvaluationScene, scorers: Sequence[Scorer]) -> dict[str, Array]:
    """Return P(listen) of each target by the head of the model, [N] by the model's name; empty without a head."""
    contexts, predictions = scene.contexts, {}
    for scorer in scorers:
        if isinstance(scorer, ModelScorer) and scorer.predicts_listening and scorer.name == "model":
            p = np.full(len(contexts.cases), np.nan)
            for index, batch in contexts.blocks(HEAD_BATCH):
                target = torch.from_numpy(contexts.target[index])[:, None].to(contexts.device)
                p[index] = torch.sigmoid(scorer.listen_logits(batch, target)[:, 0].double()).cpu().numpy()
            predictions[scorer.name] = np.where(np.isin(contexts.target, scene.split.candidates), p, np.nan)
    return predictions


def baseline_predictions(scene: EvaluationScene) -> dict[str, Array]:
    """Return P(listen) of each target without a model, [N] by name.

    The share listened to in training ('share'), the track's smoothed rate ('track-rate'), the session's rate so far
    ('session-rate', shrunk towards the share), and the truth of simulated data ('oracle'). Models and these read the
    same feedback.
    """
    cases, data = scene.contexts.cases, TrainingRows.of(scene.store, scene.split)
    listens, plays = data.listens_and_plays()
    share = listens.sum() / max(int(plays.sum()), 1)
    strength = visible_strength(scene.store, scene.split)
    listened = skips.listened(strength, scene.split.skip_at_least)
    judged = listened | skips.skipped(strength, scene.split.skip_at_least)
    sums = (np.concatenate(([0], np.cumsum(flags))) for flags in (listened, judged))
    num_listened, num_judged = (part[cases.target] - part[cases.begin] for part in sums)
    prior_plays = skips.RATE_PRIOR[1]
    predictions = {
        "share": np.full(len(cases), share),
        "track-rate": data.listen_rates()[scene.contexts.target],
        "session-rate": (num_listened + prior_plays * share) / (num_judged + prior_plays),
    }
    truth = scene.side_of(columns.ORACLE_P_LISTEN, cases.target)
    return predictions if truth is None else predictions | {"oracle": truth.astype(np.float64)}
