"""Results of a scorer for each target, and every metric as a ratio of sums over targets.

Metrics are pure functions of `Targets` and `Answers`, so a saved evaluation gives any cutoff, group or stratum without
the model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from segue.config import nearest
from segue.errors import InputError
from segue.evaluation.metrics import RANK_METRICS, Ratio, hit, rank_values
from segue.evaluation.targets import Member, PairTargets, Targets

UTILITY_AT: Final = 10
"""Cutoff of feedback utility, delta and strata."""


@dataclass(frozen=True)
class PairAnswers:
    """Results for the two held-out tracks of n sessions, each ranked from the context before both."""

    ranks: NDArray[np.float64]
    """Earlier track first, [n, 2]; infinity for a track that is not a candidate."""
    better: NDArray[np.float64]
    """1 if the listened track scores above the skipped one, 1/2 if equal, else 0 (also for equal feedback), [n]."""


@dataclass(frozen=True)
class ListAnswers:
    """Statistics of the list of each target's context."""

    log_plays: NDArray[np.float64]
    """Sum of ln(1 + training plays) over the listed tracks, [N]."""
    repeats: NDArray[np.int64]
    """Listed tracks that are in the context (as far as a model reads), [N]."""
    listed: NDArray[np.int64]
    """Tracks in the list, [N]: its length, or the number of candidates if smaller."""
    nearer: NDArray[np.float64]
    """Share of the list near the last track if it was listened to minus the share if it was skipped, [N]; 0 for a
    scorer that does not read feedback."""


@dataclass(frozen=True)
class Answers:
    """Results of one scorer under one protocol."""

    ranks: NDArray[np.float64]
    """Rank of each target, [N]; infinity is a miss."""
    behind_all: float
    """Rank of a track that is not a candidate in mean ranks: one behind the last candidate."""
    flipped: NDArray[np.float64] | None = None
    """Rank of each target with the feedback of the last input flipped; None for a scorer that does not read it."""
    pairs: PairAnswers | None = None
    lists: ListAnswers | None = None
    """Among all tracks only."""


Rule = Callable[[Targets, Answers], Ratio]


def _utility(targets: Targets, answers: Answers) -> Ratio:
    other = answers.ranks if answers.flipped is None else answers.flipped
    change = hit(answers.ranks, UTILITY_AT) - hit(other, UTILITY_AT)
    return change * targets.known_last, targets.known_last


def _responsiveness(targets: Targets, answers: Answers) -> Ratio:
    return _lists(answers).nearer * targets.known_last, targets.known_last


def _per_listed(name: str, targets: Targets, answers: Answers) -> Ratio:
    lists = _lists(answers)
    return getattr(lists, name).astype(np.float64), lists.listed.astype(np.float64)


def _ordered(listened: Literal[0, 1], targets: Targets, answers: Answers) -> Ratio:
    """Return P(score of the listened > score of the skipped) where track `listened` of the pair was listened to."""
    pairs, answered = _pairs(targets, answers)
    return _over_all(targets, answered.better, pairs.mixed(listened) & pairs.reachable)


def _log_rank(of_listened: bool, targets: Targets, answers: Answers) -> Ratio:
    pairs, answered = _pairs(targets, answers)
    ranks = answered.ranks[np.arange(len(pairs.first)), pairs.first if of_listened else 1 - pairs.first]
    return _over_all(targets, np.log(np.where(np.isfinite(ranks), ranks, answers.behind_all)), pairs.differs)


def _skipped_first(targets: Targets, answers: Answers) -> Ratio:
    skipped = targets.member("skipped")
    first = (skipped | targets.member("listened")) & (answers.ranks <= 1.0)
    return (skipped & first).astype(np.float64), first


EVERYWHERE: Final[Mapping[str, Rule]] = {"feedback-utility": _utility, "skipped@1": _skipped_first}
OF_PAIRS: Final[Mapping[str, Rule]] = {
    "listened-first": partial(_ordered, 0),
    "skipped-first": partial(_ordered, 1),
    "log-rank.listened": partial(_log_rank, True),
    "log-rank.skipped": partial(_log_rank, False),
}
OF_LISTS: Final[Mapping[str, Rule]] = {
    "responsiveness": _responsiveness,
    "log-popularity@20": partial(_per_listed, "log_plays"),
    "repeats@20": partial(_per_listed, "repeats"),
}
RULES: Final[Mapping[str, Rule]] = {**EVERYWHERE, **OF_PAIRS, **OF_LISTS}
NEXT_LISTENED: Final = "next-listened"
COMBINED: Final[Mapping[str, Mapping[str, float]]] = {
    "delta": {f"hr@{UTILITY_AT}.listened": 1.0, f"hr@{UTILITY_AT}.skipped": -1.0},
    "pair-auc": {"listened-first": 0.5, "skipped-first": 0.5},
}
"""Metrics that are weighted sums of others."""


def parts(metric: str) -> Mapping[str, float]:
    """Return the ratios of which `metric` is a weighted sum, and their weights: for most metrics only itself."""
    return COMBINED.get(metric, {metric: 1.0})


def metric_ratio(targets: Targets, answers: Answers, name: str, stratum: str = "") -> Ratio:
    """Return numerator and denominator of metric `name` for each target, [N] each; both 0 for undefined targets.

    - 'hr@K', 'ndcg@K' (any K), 'mrr': over all targets; with '.GROUP' (a group or stratum) over its members; with
      '.next-listened' for the first listened one of a session's two held-out tracks.
    - 'listened-first', 'skipped-first': sessions whose two held-out tracks differ in feedback, by which came first:
      P(score of the listened > score of the skipped), ties 1/2; their mean is the pair AUC.
    - 'log-rank.listened', 'log-rank.skipped': for the same sessions, in either order, the natural log of the rank of
      p_m (the next listened track) and of the skipped one, from the context before both; a track that is not a
      candidate ranks one behind all candidates.
    - 'skipped@1': over the targets of known feedback with rank 1, whether they were skipped: the share of right first
      suggestions that the listener skips.
    - 'feedback-utility', 'responsiveness', 'log-popularity@20', 'repeats@20': see `Answers`.

    `stratum` (a group or stratum) restricts the metric to its members.

    Raises:
        InputError: an unknown metric, group or stratum, or one that this split or protocol does not have.
    """
    over, under = RULES[name](targets, answers) if name in RULES else _of_ranks(targets, answers, name)
    if not stratum:
        return over, under
    member = targets.member(stratum)
    return over * member, under * member


def metric_names(targets: Targets, answers: Answers) -> list[str]:
    """Return the names of all ratios in a table of such answers."""
    groups = ["", *(f".{group}" for group in targets.groups)]
    names = [f"{metric}{group}" for metric in RANK_METRICS for group in groups]
    if targets.pairs is not None and answers.pairs is not None:
        names += [*(f"{metric}.{NEXT_LISTENED}" for metric in RANK_METRICS), *OF_PAIRS]
    return [*names, *EVERYWHERE, *(OF_LISTS if answers.lists is not None else ())]


def combined_names(targets: Targets, answers: Answers) -> list[str]:
    """Return the names in `COMBINED` whose parts such answers have."""
    return [name for name, weights in COMBINED.items() if {*metric_names(targets, answers)}.issuperset(weights)]


def _of_ranks(targets: Targets, answers: Answers, name: str) -> Ratio:
    """Return a rank metric, 'METRIC' or 'METRIC.GROUP'."""
    metric, _, group = name.partition(".")
    ranks = answers.ranks
    if group == NEXT_LISTENED:
        pairs, answered = _pairs(targets, answers)
        ranks = answered.ranks[np.arange(len(pairs.first)), pairs.first]
    values = rank_values(metric, ranks)
    if values is None:
        raise InputError(f"unknown metric {metric!r}{nearest(metric, {*RANK_METRICS, *RULES, *COMBINED})}")
    everyone = np.ones(len(values), np.bool_)
    if group == NEXT_LISTENED:
        return _over_all(targets, values, everyone)
    member = targets.member(group) if group else everyone
    return values * member, member


def _pairs(targets: Targets, answers: Answers) -> tuple[PairTargets, PairAnswers]:
    if targets.pairs is None or answers.pairs is None:
        raise InputError("pairs of held-out tracks exist in the test part of leave-last-two-out only")
    return targets.pairs, answers.pairs


def _lists(answers: Answers) -> ListAnswers:
    if answers.lists is None:
        raise InputError("metrics of lists exist among all tracks only; evaluate with the full protocol")
    return answers.lists


def _over_all(targets: Targets, values: NDArray[np.float64], where: Member) -> Ratio:
    """Return `values` [n] of the pairs `where` [n] as a ratio over all targets."""
    assert targets.pairs is not None
    numerator, denominator = np.zeros(len(targets)), np.zeros(len(targets), np.bool_)
    chosen = targets.pairs.chosen[where]
    numerator[chosen], denominator[chosen] = values[where], True
    return numerator, denominator
