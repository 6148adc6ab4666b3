"""Will they skip? The form of the WSDM Cup 2019 Sequential Skip Prediction Challenge (Brost et al. 2019).

Of a session of L tracks the first L // 2 are given with their feedback, the others as tracks alone; for each of the
others it is predicted whether it is skipped (strength >= 2, the challenge's skip_2).

We differ in one thing: a track of unknown feedback is no target, and sessions without a target are left out. The
challenge counts such a track as not skipped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from segue import skips
from segue.batches.held_out import Cases
from segue.batches.split import ranges, visible_strength
from segue.evaluation.bootstrap import Bootstrap, Estimate
from segue.evaluation.evaluation_scene import EvaluationScene, sampled
from segue.evaluation.listen_predictions import HEAD_BATCH
from segue.ranking import ModelScorer, Scorer

PUBLISHED: Final[Mapping[str, tuple[float, float]]] = {"winners": (0.651, 0.812), "last action": (0.537, 0.742)}
"""Mean average accuracy and first-prediction accuracy of the challenge, on all of its data: not the sample of a run."""
MOST_SESSIONS: Final = 5_000
"""Most sessions that are asked about, a random sample: the encoder reads one context for each of their tracks."""
METRICS: Final = ("mean-average-accuracy", "first-prediction-accuracy")
Flags = NDArray[np.bool_]
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class SecondHalves:
    """The tracks of known feedback in the second halves of S sessions, n in all, in listening order."""

    session: Indices
    """Indices of the sessions with at least one such track, in the store, [S]."""
    middle: Indices
    """Global row of the first track of each second half, [S]: what comes before is given with its feedback."""
    offsets: Indices
    """First target of each session, then n, [S + 1]."""
    rows: Indices
    """Global rows of the targets, [n]."""
    skipped: Flags
    """Which targets were skipped, [n]."""

    @property
    def counts(self) -> Indices:
        """Return the number of targets of each session, all positive, [S]."""
        return np.diff(self.offsets)


def second_halves(
    offsets: Indices, strength: NDArray[np.uint8], session: Indices, skip_at_least: int = skips.SKIP_AT_LEAST
) -> SecondHalves:
    """Return the targets of the sessions `session` (indices).

    `offsets` [N + 1]: global rows of the sessions of a store; `strength` [rows] as the store has it.

    >>> halves = second_halves(np.array([0, 5]), np.array([0, 3, 3, 255, 1], np.uint8), np.array([0]))
    >>> halves.rows.tolist(), halves.skipped.tolist()  # of five tracks two are given; the fourth is unknown
    ([2, 4], [True, False])
    """
    begin, end = offsets[session], offsets[session + 1]
    middle = begin + (end - begin) // 2
    lengths = end - middle
    first = np.cumsum(lengths) - lengths
    rows = np.arange(lengths.sum()) + np.repeat(middle - first, lengths)
    owner = np.repeat(np.arange(len(session)), lengths)
    skipped = np.asarray(skips.skipped(strength[rows], skip_at_least))
    judged = skipped | np.asarray(skips.listened(strength[rows], skip_at_least))
    counts = np.bincount(owner[judged], minlength=len(session))
    some = counts > 0
    bounds = np.concatenate(([0], np.cumsum(counts[some])))
    return SecondHalves(session[some], middle[some], bounds, rows[judged], skipped[judged])


def average_accuracy(right: Flags, offsets: Indices) -> NDArray[np.float64]:
    """Return the average accuracy of each session, [S], 0 to 1.

    AA = sum over i of A(i) L(i) / T: T predictions in order, L(i) = 1 if the i-th is right, A(i) = share of right ones
    among the first i. An early mistake costs more than a late one.

    Args:
        right: which predictions are right, [n].
        offsets: first prediction of each session, then n, [S + 1]; no session is empty.

    >>> average_accuracy(np.array([True, False, True, False, True]), np.array([0, 3, 5])).round(4).tolist()
    [0.5556, 0.25]
    """
    begin, counts = offsets[:-1], np.diff(offsets)
    assert (counts > 0).all(), "sessions without a prediction are left out"
    number = np.arange(len(right)) - np.repeat(begin, counts) + 1
    summed = np.concatenate(([0], np.cumsum(right)))
    rights = summed[1:] - np.repeat(summed[begin], counts)
    return np.asarray(np.add.reduceat(rights / number * right, begin) / counts) if len(begin) else np.zeros(0)


def first_right(right: Flags, offsets: Indices) -> NDArray[np.float64]:
    """Return 1 where the first prediction of a session is right, else 0, [S].

    >>> first_right(np.array([True, False, False]), np.array([0, 2, 3])).tolist()
    [1.0, 0.0]
    """
    return right[offsets[:-1]].astype(np.float64)


def last_action(
    halves: SecondHalves,
    offsets: Indices,
    strength: NDArray[np.uint8],
    skip_at_least: int = skips.SKIP_AT_LEAST,
) -> Flags:
    """Return the challenge's baseline, [n]: every target is predicted as what the last given track was.

    The last one of known feedback in the first half; where there is none, not skipped. `offsets` and `strength` as for
    `second_halves`.

    >>> bounds, strength = np.array([0, 4]), np.array([3, 255, 0, 3], np.uint8)
    >>> last_action(second_halves(bounds, strength, np.array([0])), bounds, strength).tolist()
    [True, True]
    """
    skipped = np.asarray(skips.skipped(strength, skip_at_least))
    judged = skipped | np.asarray(skips.listened(strength, skip_at_least))
    last = np.maximum.accumulate(np.where(judged, np.arange(len(strength)), -1))[halves.middle - 1]
    given = (halves.middle > offsets[halves.session]) & (last >= offsets[halves.session])
    return np.repeat(skipped[np.where(given, last, 0)] & given, halves.counts)


def skip_prediction_rows(scene: EvaluationScene, models: Sequence[Scorer]) -> list[dict[str, Any]]:
    """Return records of the first model with P(listen), of `last_action` and PUBLISHED; [] where nothing can be asked.

    Of at most MOST_SESSIONS sessions of the scene's targets. Whole sessions must be held out, else their second halves
    were trained on. Each record: name; 'mean-average-accuracy' and 'first-prediction-accuracy' as [value, low, high];
    number of sessions and of targets.
    """
    store, at_least = scene.store, scene.split.skip_at_least
    heads = [one for one in models if isinstance(one, ModelScorer) and one.predicts_listening]
    offsets, sessions = np.asarray(store.offsets), np.unique(scene.contexts.cases.session)
    if not heads or np.isin(offsets[sessions], scene.split.train_begin).any():
        return []
    sessions = sessions[sampled(np.asarray(store.session_key[sessions]), MOST_SESSIONS, scene.config.seed)]
    strength = visible_strength(store, scene.split)
    halves = second_halves(offsets, strength, sessions, at_least)
    if not len(halves.rows):
        return []
    predicted = {
        "model": predicted_skips(scene, halves, heads[0]),
        "last action": last_action(halves, offsets, strength, at_least),
    }
    bootstrap = Bootstrap(np.arange(len(halves.session)), scene.config.resamples, scene.config.seed)
    sizes = {"sessions": len(halves.session), "targets": len(halves.rows)}
    rows = {name: skip_prediction_row(halves, flags, bootstrap) for name, flags in predicted.items()}
    records = [{"name": name, **{key: e.to_json() for key, e in row.items()}, **sizes} for name, row in rows.items()]
    for name, both in PUBLISHED.items():
        values = {metric: [value, None, None] for metric, value in zip(METRICS, both, strict=True)}
        records.append({"name": f"WSDM Cup 2019, {name}", **values})
    return records


def predicted_skips(scene: EvaluationScene, halves: SecondHalves, scorer: ModelScorer) -> Flags:
    """Return which targets are said to be skipped, [n]: log-odds of listening, plus those of the first one, below 0.

    The model reads the tracks before each target, and the feedback of the first half alone: so the first prediction is
    the surest, and skips come in runs. Without leaning on it the mean average accuracy is .05 lower (records/LOG.md,
    2026-11-30).
    """
    contexts, offsets = scene.contexts, np.asarray(scene.store.offsets)
    owner = np.repeat(np.arange(len(halves.session)), halves.counts)
    hidden = torch.from_numpy(ranges(halves.middle, offsets[halves.session + 1])).to(contexts.device)
    feedback = contexts.data.feedback.index_fill(0, hidden, skips.FEEDBACK_HIDDEN)
    cases = Cases(halves.session[owner], offsets[halves.session][owner], halves.rows)
    before_targets = replace(contexts, data=replace(contexts.data, feedback=feedback), cases=cases)
    tracks = scene.split.input_row[before_targets.target].astype(np.int64)
    log_odds = np.zeros(len(cases))
    for index, batch in before_targets.blocks(HEAD_BATCH):
        target = torch.from_numpy(tracks[index])[:, None].to(contexts.device)
        log_odds[index] = scorer.listen_logits(batch, target)[:, 0].double().cpu().numpy()
    return log_odds + np.repeat(log_odds[halves.offsets[:-1]], halves.counts) < 0.0


def skip_prediction_row(halves: SecondHalves, predicted: Flags, bootstrap: Bootstrap) -> dict[str, Estimate]:
    """Return 'mean-average-accuracy' and 'first-prediction-accuracy' of `predicted` [n], means over sessions.

    `bootstrap`: over the S sessions of `halves`.
    """
    right, everyone = predicted == halves.skipped, np.ones(len(halves.session), np.bool_)
    accuracies = dict(zip(METRICS, (f(right, halves.offsets) for f in (average_accuracy, first_right)), strict=True))
    return bootstrap.estimate({name: (values, everyone) for name, values in accuracies.items()}, {})
