"""Evaluates scorers on held-out targets under each protocol, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from segue.evaluation.answers import (
    COMBINED,
    Answers,
    ListAnswers,
    combined_names,
    metric_names,
    metric_ratio,
)
from segue.evaluation.bootstrap import Estimate, summarise
from segue.evaluation.listening import Array
from segue.evaluation.lists import coverage, list_answers
from segue.evaluation.pairs import pair_answers
from segue.evaluation.ranking_pass import Change, Contexts, Ranked, full_ranks, sampled_ranks
from segue.evaluation.reaction import flipped, nearer
from segue.evaluation.records import PROTOCOLS, Evaluation, Kind, Protocol, Row
from segue.evaluation.scene import Scene
from segue.evaluation.table import Table
from segue.progress import Progress, Step, silent
from segue.ranking import Scorer

STRATA_METRIC = "hr@10"


def evaluate_scorers(
    scene: Scene, scorers: Sequence[Scorer], protocols: Sequence[Protocol] = PROTOCOLS, progress: Progress = silent
) -> Evaluation:
    """Return the metrics of each scorer (the first is the model, the others baselines) on the scene's targets.

    HR@1/5/10/20, NDCG@10 and MRR over all targets and over listened, skipped, seen-in-training and untied ones
    (`hr@10.listened`), and of the next listened track (`pairs`); `delta` = HR@10 listened - skipped; `pair-auc`;
    `feedback-utility`; in the full protocol `responsiveness` and statistics of the lists; HR@10 by stratum.
    """
    table, rows = Table(scene), list[Row]()
    for protocol in protocols:
        rows += scorer_rows(table, scorers[:1], "model", protocol, progress)
        rows += scorer_rows(table, scorers[1:], "baseline", protocol, progress)
    return assembled(table, rows, {})


def scorer_rows(
    table: Table, scorers: Sequence[Scorer], kind: Kind, protocol: Protocol, progress: Progress = silent
) -> list[Row]:
    """Return the row of each scorer under `protocol`."""
    rows = []
    for number, scorer in enumerate(scorers):
        progress(Step(f"rank {protocol} {scorer.name}", number, len(scorers), "scorers"))
        rows.append(_row(_Ranker(table, scorer, protocol), kind))
    if scorers:
        progress(Step(f"rank {protocol}", len(scorers), len(scorers), "scorers"))
    return rows


def assembled(table: Table, rows: Sequence[Row], predictions: Mapping[str, Array]) -> Evaluation:
    """Return the evaluation of `rows`, with the quality of `predictions` [N] of P(listen) by name."""
    scene, protocols = table.scene, [row.protocol for row in rows]
    return Evaluation(
        scene.which,
        rows,
        table.targets,
        table.counts(protocols),
        scene.store.manifest.source.simulated,
        scene.config,
        table.listening(predictions),
    )


@dataclass(frozen=True)
class _Ranker:
    """One scorer under one protocol."""

    table: Table
    scorer: Scorer
    protocol: Protocol

    def rank(
        self,
        contexts: Contexts,
        targets: NDArray[np.int64] | None = None,
        chosen: NDArray[np.int64] | None = None,
        change: Change | None = None,
    ) -> Ranked:
        """Return the ranks of `targets` after `contexts`, those of the scene's targets `chosen` (default all)."""
        candidates = self.table.rivals(self.protocol)
        if candidates is None:
            return full_ranks(self.scorer, contexts, targets, change)
        rivals = candidates if chosen is None else candidates.of(chosen)
        return sampled_ranks(self.scorer, contexts, rivals, targets, change)


def _row(ranker: _Ranker, kind: Kind) -> Row:
    table, scene = ranker.table, ranker.table.scene
    ranked, num_nan, pairs = ranker.rank(scene.contexts), 0, None
    if table.pairs is not None:
        pair = ranker.rank(table.pairs.contexts, table.pairs.tracks, table.pairs.targets.chosen)
        pairs, num_nan = pair_answers(table.pairs.targets, pair), pair.num_nan
    # the ranks of a scorer that does not read feedback do not change with it
    change = partial(flipped, skip_at_least=scene.skip_at_least)
    other = ranker.rank(scene.contexts, change=change) if ranker.scorer.reads_feedback else None
    lists = _lists(table, ranked, other) if ranker.protocol == "full" else None
    turned = other.ranks[:, 0] if other is not None else None
    answers = Answers(ranked.ranks[:, 0], ranked.behind_all, turned, pairs, lists)
    metrics, by_stratum = _estimates(table, answers)
    if lists is not None:
        metrics["coverage@20"] = coverage(scene, ranked.best)
    return Row(ranker.scorer.name, kind, ranker.protocol, metrics, by_stratum, answers, ranked.num_nan + num_nan)


def _lists(table: Table, ranked: Ranked, other: Ranked | None) -> ListAnswers:
    change = np.zeros(len(ranked.best))
    if other is not None:
        change = nearer(table.scene, table.near, ranked.best, other.best)
    return list_answers(table.scene, ranked.best, change)


def _estimates(table: Table, answers: Answers) -> tuple[dict[str, Estimate], dict[str, Estimate]]:
    """Return every metric, and HR@10 by stratum, each with its interval."""
    targets = table.targets
    ratios = {name: metric_ratio(targets, answers, name) for name in metric_names(targets, answers)}
    layers = {name: metric_ratio(targets, answers, STRATA_METRIC, name) for name in targets.strata}
    estimates, resampled = table.bootstrap.estimate({**ratios, **layers})
    by_stratum = {name: estimates.pop(name) for name in layers}
    for name in combined_names(targets, answers):
        weighted = [weight * resampled[part] for part, weight in COMBINED[name].items()]
        estimates[name] = summarise(np.sum(weighted, axis=0))
    return estimates, by_stratum
