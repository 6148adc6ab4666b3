"""The data shared by all scorers on one scene, computed once: a study evaluates many runs on the same targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from segue.evaluation.answers import COMBINED, Answers, metric_ratio
from segue.evaluation.bootstrap import Bootstrap, summarise
from segue.evaluation.listening import Array, baseline_predictions, listening_rows
from segue.evaluation.pairs import Pairs, find_pairs, pair_truth
from segue.evaluation.popular import PopularPool
from segue.evaluation.reaction import Near, find_near, known_last
from segue.evaluation.records import Protocol
from segue.evaluation.scene import Scene, target_groups, units
from segue.evaluation.session_candidates import Candidates, KeptCandidates, session_candidates
from segue.evaluation.strata import strata
from segue.evaluation.targets import Targets


class Table:
    """A scene and everything that does not depend on a model: targets, groups, strata, candidates, bootstrap weights.

    Each part is computed on first use. `near` costs most and is needed only for scorers that read feedback.
    """

    def __init__(self, scene: Scene) -> None:
        self.scene = scene

    @cached_property
    def pairs(self) -> Pairs | None:
        """The sessions whose two held-out tracks are compared."""
        return find_pairs(self.scene)

    @cached_property
    def targets(self) -> Targets:
        """The targets with their units, groups, strata and pairs."""
        scene, pairs = self.scene, self.pairs
        shared = pairs.targets if pairs is not None else None
        return Targets(units(scene), target_groups(scene), strata(scene), known_last(scene), shared)

    @cached_property
    def bootstrap(self) -> Bootstrap:
        """The resamples of all rows."""
        config = self.scene.config
        return Bootstrap(self.targets.unit, config.resamples, config.seed)

    @cached_property
    def near(self) -> Near:
        """The tracks near the last track of each context."""
        return find_near(self.scene)

    @cached_property
    def uniform(self) -> Candidates | KeptCandidates:
        """The candidates of the sampled protocol."""
        scene, config = self.scene, self.scene.config
        allowed, device = scene.split.candidates, scene.contexts.device
        session = scene.contexts.cases.session
        return session_candidates(scene.store, session, allowed, config.candidates, config.seed, device).kept()

    @cached_property
    def popular(self) -> Candidates:
        """The candidates of the popularity protocol."""
        scene, config = self.scene, self.scene.config
        pool = PopularPool.of(
            scene.split.candidates, scene.split.training_counts, config.candidates, scene.contexts.device
        )
        return Candidates(scene.store, scene.contexts.cases.session, pool, config.candidates, config.seed)

    def rivals(self, protocol: Protocol) -> Candidates | KeptCandidates | None:
        """Return the candidates among which targets are ranked; None = all candidates."""
        if protocol == "full":
            return None
        return self.uniform if protocol == "sampled" else self.popular

    def listening(self, predictions: Mapping[str, Array]) -> list[dict[str, Any]]:
        """Return the quality of `predictions` [N] of P(listen), and of predictions without a model."""
        return [*listening_rows(self.scene, self.bootstrap, predictions), *self._listening]

    def counts(self, protocols: Sequence[Protocol]) -> dict[str, Any]:
        """Return the numbers of targets by kind, and of sessions with fewer candidates."""
        scene, targets = self.scene, self.targets
        counts = {
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

    @cached_property
    def _listening(self) -> list[dict[str, Any]]:
        rows = listening_rows(self.scene, self.bootstrap, baseline_predictions(self.scene))
        truth = pair_truth(self.scene, self.pairs) if self.pairs is not None else None
        if truth is None:
            return rows
        answers = Answers(np.full(len(self.targets), np.nan), np.nan, pairs=truth)
        ratios = {part: metric_ratio(self.targets, answers, part) for part in COMBINED["pair-auc"]}
        resampled = self.bootstrap.estimate(ratios)[1]
        estimate = summarise(np.mean([resampled[part] for part in ratios], axis=0))
        return [row | {"pair-auc": estimate.to_json()} if row["name"] == "oracle" else row for row in rows]
