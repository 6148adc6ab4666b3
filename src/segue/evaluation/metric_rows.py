"""The rows of a table of results: scorers under each protocol, every metric with its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final, get_args

import numpy as np
from numpy.typing import NDArray

from segue.evaluation.answers import COMBINED, Answers, combined_names, metric_names, metric_ratio
from segue.evaluation.bootstrap import Bootstrap, Estimate
from segue.evaluation.candidates import Candidates, session_candidates
from segue.evaluation.evaluation_scene import EvaluationScene
from segue.evaluation.listen_predictions import Array, baseline_predictions, head_predictions, listening_rows
from segue.evaluation.lists import NearTracks, coverage, find_near, list_answers, nearer
from segue.evaluation.pairs import Pairs, find_pairs, pair_answers, pair_truth
from segue.evaluation.pools import PopularPool
from segue.evaluation.ranking_pass import Contexts, Ranked, both_forms, full_ranks, sampled_ranks
from segue.evaluation.records import FORMS, PROTOCOLS, Evaluation, Kind, Protocol, Row
from segue.evaluation.skip_prediction import skip_prediction_rows
from segue.evaluation.strata import known_last, strata, target_groups, units
from segue.evaluation.targets import Targets
from segue.progress import Progress, Step, silent
from segue.ranking import ModelScorer, Scorer

STRATA_METRIC: Final = "hr@10"


class Table:
    """A scene and everything that does not depend on a model: targets, groups, strata, candidates, bootstrap weights.

    Each part is computed once for all scorers: a study evaluates many runs on the same targets. Candidates and near
    tracks are computed on first use; the latter cost most and are needed only for scorers that read feedback.
    """

    def __init__(self, scene: EvaluationScene) -> None:
        self.scene, config = scene, scene.config
        self.pairs: Pairs | None = find_pairs(scene)
        """The sessions whose two held-out tracks are compared."""
        pairs = None if self.pairs is None else self.pairs.targets
        self.targets = Targets(units(scene), target_groups(scene), strata(scene), known_last(scene), pairs)
        self.bootstrap = Bootstrap(self.targets.unit, config.resamples, config.seed)
        """The resamples of all rows."""

    @cached_property
    def near(self) -> NearTracks:
        """The tracks near the last track of each context."""
        return find_near(self.scene)

    @cached_property
    def uniform(self) -> Candidates:
        """The candidates of the sampled protocol."""
        scene, config = self.scene, self.scene.config
        session, device = scene.contexts.cases.session, scene.contexts.device
        allowed = scene.split.candidates
        return session_candidates(scene.store, session, allowed, config.candidates, config.seed, device).kept()

    @cached_property
    def popular(self) -> Candidates:
        """The candidates of the popularity protocol."""
        split, contexts, config = self.scene.split, self.scene.contexts, self.scene.config
        pool = PopularPool.of(split.candidates, split.training_counts, config.candidates, contexts.device)
        return Candidates(self.scene.store, contexts.cases.session, pool, config.candidates, config.seed)

    def ranked(
        self,
        scorer: Scorer,
        protocols: Sequence[Protocol],
        contexts: Contexts,
        targets: NDArray[np.int64] | None = None,
        chosen: NDArray[np.int64] | None = None,
    ) -> dict[Protocol, Ranked]:
        """Return the ranks of `targets` after `contexts`, those of the scene's targets `chosen` (default all).

        `protocols`: those of one pass: FORMS, or a single one.
        """
        if "unheard" in protocols:
            return dict(zip(FORMS, both_forms(scorer, contexts, targets), strict=True))
        (protocol,) = protocols
        if protocol == "full":
            return {protocol: full_ranks(scorer, contexts, targets)}
        candidates = self.uniform if protocol == "sampled" else self.popular
        some = candidates if chosen is None else candidates.of(chosen)
        return {protocol: sampled_ranks(scorer, contexts, some, targets)}

    def listening(self, predictions: Mapping[str, Array]) -> list[dict[str, Any]]:
        """Return the quality of `predictions` [N] of P(listen), and of predictions without a model."""
        return [*listening_rows(self.scene, self.bootstrap, predictions), *self._listening]

    @cached_property
    def _listening(self) -> list[dict[str, Any]]:
        rows = listening_rows(self.scene, self.bootstrap, baseline_predictions(self.scene))
        truth = None if self.pairs is None else pair_truth(self.scene, self.pairs)
        if truth is None:
            return rows
        answers = Answers(np.full(len(self.targets), np.nan), np.nan, pairs=truth)
        weights = {"pair-auc": COMBINED["pair-auc"]}
        ratios = {part: metric_ratio(self.targets, answers, part) for part in weights["pair-auc"]}
        estimate = self.bootstrap.estimate(ratios, weights)["pair-auc"]
        return [row | {"pair-auc": estimate.to_json()} if row["name"] == "oracle" else row for row in rows]

    def counts(self, protocols: Sequence[Protocol]) -> dict[str, Any]:
        """Return the kind of the split, the numbers of targets by group, and of sessions with fewer candidates."""
        scene, targets = self.scene, self.targets
        counts: dict[str, Any] = {
            "split_kind": scene.split.kind,
            "targets": len(targets),
            **{group: int(member.sum()) for group, member in targets.groups.items()},
            "unseen_share": float(1 - targets.groups["seen"].mean()) if len(targets) else 0.0,
            "candidates": len(scene.split.candidates),
            "sessions_too_short": scene.split.num_short,
            "sessions_with_fewer_candidates": self.uniform.num_fewer if "sampled" in protocols else 0,
            "strata": {name: int(member.sum()) for name, member in targets.strata.items()},
        }
        if "popularity" in protocols:
            counts["sessions_with_fewer_popular_candidates"] = self.popular.num_fewer
        return counts


def scorer_rows(
    table: Table,
    scorers: Sequence[Scorer],
    kind: Kind,
    protocols: Sequence[Protocol] = PROTOCOLS,
    progress: Progress = silent,
) -> list[Row]:
    """Return the row of each scorer under each of `protocols`, on the table's targets, protocol after protocol.

    HR@1/5/10/20, NDCG@10 and MRR over all targets and over listened, skipped, repeated, discovered, seen-in-training
    and untied ones (`hr@10.listened`), and of the next listened track (`pairs`); `delta` = HR@10 listened - skipped;
    `pair-auc`; `feedback-utility`; `skipped@1`; among all tracks `responsiveness` and statistics of the lists; HR@10 by
    stratum.
    """
    rows: dict[Protocol, list[Row]] = {protocol: [] for protocol in protocols}
    for together in _passes(protocols):
        about = f"rank {together[0]}"
        rows_by_ranking = dict[object, dict[Protocol, Row]]()
        for number, scorer in enumerate(scorers):
            progress(Step(f"{about} {scorer.name}", number, len(scorers), "scorers"))
            ranking = scorer.ranks_by if isinstance(scorer, ModelScorer) else number
            if ranking not in rows_by_ranking:
                rows_by_ranking[ranking] = _rows(table, scorer, kind, together)
            for protocol, row in rows_by_ranking[ranking].items():
                rows[protocol].append(replace(row, name=scorer.name))
        if scorers:
            progress(Step(about, len(scorers), len(scorers), "scorers"))
    return [row for some in rows.values() for row in some]


def _passes(protocols: Sequence[Protocol]) -> list[tuple[Protocol, ...]]:
    """Return the passes that give `protocols`: both FORMS in one.

    >>> _passes(("full", "unheard", "sampled"))
    [('full', 'unheard'), ('sampled',)]
    """
    forms = tuple(protocol for protocol in protocols if protocol in FORMS)
    return [*([forms] if forms else []), *((protocol,) for protocol in protocols if protocol not in FORMS)]


def assembled(table: Table, rows: Sequence[Row], models: Sequence[Scorer] = ()) -> Evaluation:
    """Return the evaluation of `rows`, with the quality of what `models` say of listening and skipping."""
    scene, protocols = table.scene, [row.protocol for row in rows]
    return Evaluation(
        scene.which,
        sorted(rows, key=lambda row: get_args(Protocol).index(row.protocol)),
        table.targets,
        table.counts(protocols),
        scene.store.manifest.source.simulated,
        scene.config,
        table.listening(head_predictions(scene, models)),
        skip_prediction=skip_prediction_rows(scene, models),
    )


@dataclass(frozen=True)
class _Passes:
    """What the passes of a scorer gave under one protocol."""

    ranked: Ranked
    """The held-out targets."""
    pairs: Ranked | None
    """Both held-out tracks of a session, from before both."""
    flipped: Ranked | None
    """The held-out targets with the last feedback flipped; None for a scorer that does not read feedback."""

    @property
    def num_nan(self) -> int:
        """Targets whose score is NaN."""
        return self.ranked.num_nan + (0 if self.pairs is None else self.pairs.num_nan)


def _rows(table: Table, scorer: Scorer, kind: Kind, protocols: Sequence[Protocol]) -> dict[Protocol, Row]:
    """Return the rows of a scorer under the protocols of one pass."""
    scene = table.scene
    ranked = table.ranked(scorer, protocols, scene.contexts)
    both, flipped = dict[Protocol, Ranked](), dict[Protocol, Ranked]()
    if table.pairs is not None:
        chosen = table.pairs.targets.chosen
        both = table.ranked(scorer, protocols, table.pairs.contexts, table.pairs.tracks, chosen)
    if scorer.reads_feedback:
        flipped = table.ranked(scorer, protocols, replace(scene.contexts, flip_from=scene.split.skip_at_least))
    passes = {name: _Passes(ranked[name], both.get(name), flipped.get(name)) for name in protocols}
    return {name: _row(table, scorer.name, kind, name, some) for name, some in passes.items()}


def _row(table: Table, name: str, kind: Kind, protocol: Protocol, passes: _Passes) -> Row:
    ranked, other, pairs, lists = passes.ranked, passes.flipped, None, None
    if table.pairs is not None and passes.pairs is not None:
        pairs = pair_answers(table.pairs.targets, passes.pairs)
    if protocol in FORMS:
        change = np.zeros(len(ranked.best))
        if other is not None:
            change = nearer(table.scene, table.near, ranked.best, other.best)
        lists = list_answers(table.scene, ranked.best, change)
    turned = None if other is None else other.ranks[:, 0]
    answers = Answers(ranked.ranks[:, 0], ranked.behind_all, turned, pairs, lists)
    metrics = _estimates(table, answers)
    by_stratum = {stratum: metrics.pop(stratum) for stratum in table.targets.strata}
    if lists is not None:
        metrics["coverage@20"] = coverage(table.scene, ranked.best)
    return Row(name, kind, protocol, metrics, by_stratum, answers, passes.num_nan)


def _estimates(table: Table, answers: Answers) -> dict[str, Estimate]:
    """Return every metric, and HR@10 by stratum, each with its interval."""
    targets = table.targets
    ratios = {name: metric_ratio(targets, answers, name) for name in metric_names(targets, answers)}
    ratios |= {name: metric_ratio(targets, answers, STRATA_METRIC, name) for name in targets.strata}
    return table.bootstrap.estimate(ratios, {name: COMBINED[name] for name in combined_names(targets, answers)})
