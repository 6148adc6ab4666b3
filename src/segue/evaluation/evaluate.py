"""Held-out targets, every scorer, both protocols, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from segue.evaluation.bootstrap import Bootstrap, Estimate, summarise
from segue.evaluation.listening import listening_rows
from segue.evaluation.lists import coverage, list_ratios
from segue.evaluation.metrics import hit, ratios
from segue.evaluation.pairs import Pairs, find_pairs, pair_ratios
from segue.evaluation.ranking_pass import Change, Held, Ranked, full_ranks, sampled_ranks
from segue.evaluation.reaction import flipped, responsiveness_ratio, utility_ratio
from segue.evaluation.records import PROTOCOLS, Evaluation, Protocol, Row
from segue.evaluation.scene import Scene, target_groups, units
from segue.evaluation.session_candidates import Candidates, session_candidates
from segue.evaluation.strata import strata
from segue.progress import Progress, Step, silent
from segue.ranking import Scorer


@dataclass(frozen=True)
class _Table:
    """What the rows of one evaluation share."""

    scene: Scene
    bootstrap: Bootstrap
    groups: Mapping[str, NDArray[np.bool_]]
    strata: Mapping[str, NDArray[np.bool_]]
    pairs: Pairs | None
    candidates: Candidates | None


def evaluate_scorers(
    scene: Scene, scorers: Sequence[Scorer], protocols: Sequence[Protocol] = PROTOCOLS, progress: Progress = silent
) -> Evaluation:
    """Return the metrics of each scorer (the first is the model, the rest baselines) on the scene's targets.

    HR@1/5/10/20, NDCG@10 and MRR over all targets and over listened, skipped, seen-in-training and untied ones
    (`hr@10.listened`), and of the next listened track (`pairs`); `delta` = HR@10 listened - skipped; `pair-auc`;
    `feedback-utility`; in the full protocol `responsiveness` and what the lists are like; HR@10 by stratum.
    """
    unit = units(scene)
    bootstrap = Bootstrap(unit, scene.config.resamples, scene.config.seed)
    candidates = _candidates(scene) if "sampled" in protocols else None
    table = _Table(scene, bootstrap, target_groups(scene), strata(scene), find_pairs(scene), candidates)
    rows = []
    for protocol in protocols:
        for place, scorer in enumerate(scorers):
            progress(Step(f"rank {protocol} {scorer.name}", place, len(scorers), "scorers"))
            rows.append(_row(_Asked(table, scorer, protocol), is_model=place == 0))
        progress(Step(f"rank {protocol}", len(scorers), len(scorers), "scorers"))
    return Evaluation(
        scene.which,
        rows,
        unit,
        _counts(table),
        scene.store.manifest.source.simulated,
        scene.config,
        listening_rows(scene, bootstrap, {}),
        table.groups,
    )


@dataclass(frozen=True)
class _Asked:
    """One scorer under one protocol."""

    table: _Table
    scorer: Scorer
    protocol: Protocol

    def rank(
        self,
        held: Held,
        targets: NDArray[np.int64] | None = None,
        chosen: NDArray[np.int64] | None = None,
        change: Change | None = None,
    ) -> Ranked:
        """Return the ranks of `targets` after the contexts `held`, which belong to the scene's targets `chosen`."""
        if self.protocol == "full":
            return full_ranks(self.scorer, held, targets, change)
        candidates = self.table.candidates
        assert candidates is not None, "drawn where the sampled protocol is asked for"
        return sampled_ranks(
            self.scorer, held, candidates if chosen is None else candidates.of(chosen), targets, change
        )


def _row(asked: _Asked, *, is_model: bool) -> Row:
    table, scorer, scene = asked.table, asked.scorer, asked.table.scene
    found = asked.rank(scene.held)
    ranks, num_nan = found.ranks[:, 0], found.num_nan
    measured = ratios(ranks, table.groups)
    if table.pairs is not None:
        more, nan_pairs = pair_ratios(scene, table.pairs, asked.rank)
        measured, num_nan = measured | more, num_nan + nan_pairs
    other = asked.rank(scene.held, change=flipped) if scorer.reads_feedback else None
    measured["feedback-utility"] = utility_ratio(scene, ranks, other.ranks[:, 0] if other else None)
    if asked.protocol == "full":
        measured["responsiveness"] = responsiveness_ratio(scene, found.best, other.best if other else None)
        measured |= list_ratios(scene, found.best)
    hits = hit(ranks, 10)
    layers = {name: (hits * member, member.astype(np.float64)) for name, member in table.strata.items()}
    estimates, drawn = table.bootstrap.estimate({**measured, **layers})
    by_stratum = {name: estimates.pop(name) for name in layers}
    estimates |= _differences(drawn)
    if asked.protocol == "full":
        estimates["coverage@20"] = coverage(scene, found.best)
    kind: Literal["model", "baseline"] = "model" if is_model else "baseline"
    return Row(scorer.name, kind, asked.protocol, estimates, by_stratum, ranks, num_nan)


def _differences(drawn: Mapping[str, NDArray[np.float64]]) -> dict[str, Estimate]:
    result = {"delta": summarise(drawn["hr@10.listened"] - drawn["hr@10.skipped"])}
    if "listened-first" in drawn:
        result["pair-auc"] = summarise((drawn["listened-first"] + drawn["skipped-first"]) / 2)
    return result


def _candidates(scene: Scene) -> Candidates:
    config = scene.config
    session = scene.held.cases.session
    allowed, device = scene.split.candidates, scene.held.device
    return session_candidates(scene.store, session, allowed, config.candidates, config.seed, device)


def _counts(table: _Table) -> dict[str, Any]:
    scene, groups = table.scene, table.groups
    num = len(scene.held.target)
    return {
        "targets": num,
        **{group: int(member.sum()) for group, member in groups.items()},
        "unseen_share": float(1 - groups["seen"].mean()) if num else 0.0,
        "candidates": len(scene.split.candidates),
        "sessions_too_short": scene.split.num_short,
        "sessions_with_fewer_candidates": table.candidates.num_fewer if table.candidates else 0,
        "strata": {name: int(member.sum()) for name, member in table.strata.items()},
    }
