"""Held-out targets, every scorer, both protocols, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from segue import columns
from segue.batches.data import SessionData
from segue.batches.split import Cases, DataConfig, Split, SplitName
from segue.encoders.encoder import Encoder
from segue.evaluation.bootstrap import Bootstrap, Estimate, summarise
from segue.evaluation.metrics import Ratio, concordance, hit, ratios
from segue.evaluation.ranking_pass import Held, full_ranks, pair_scores, sampled_ranks
from segue.evaluation.session_candidates import Candidates, session_candidates
from segue.events import skips
from segue.progress import Progress, Step, silent
from segue.ranking import ModelScorer, Scorer
from segue.recipes import EvaluationConfig
from segue.store import Store

Protocol = Literal["sampled", "full"]
PROTOCOLS: Final[tuple[Protocol, ...]] = ("sampled", "full")


@dataclass(frozen=True)
class Row:
    """One scorer under one protocol."""

    name: str
    kind: Literal["model", "baseline"]
    protocol: Protocol
    metrics: Mapping[str, Estimate]
    ranks: NDArray[np.float64]
    """Rank of each target, [N]; infinity is a miss."""
    num_nan: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return name, kind, protocol, and each metric as [value, low, high]."""
        head = {"name": self.name, "kind": self.kind, "protocol": self.protocol}
        return head | {name: estimate.to_json() for name, estimate in self.metrics.items()}


@dataclass(frozen=True)
class Evaluation:
    """What one run and the baselines reach on one split."""

    split: SplitName
    rows: Sequence[Row]
    unit: NDArray[np.int64]
    """Unit of each target that the bootstrap draws: its session, or its listener where the store has them."""
    counts: Mapping[str, Any]
    """Targets, share of them unseen in training, sessions too short, sessions with fewer candidates, and the like."""
    simulated: Mapping[str, Any]
    config: EvaluationConfig

    def row(self, name: str, protocol: Protocol) -> Row:
        """Return the row of scorer `name` under `protocol`."""
        return next(row for row in self.rows if row.name == name and row.protocol == protocol)

    def to_json(self) -> dict[str, Any]:
        """Return the document that `--json` prints; simulated data is named."""
        return {
            "schema_version": 1,
            "split": self.split,
            "simulated": dict(self.simulated),
            "counts": dict(self.counts),
            "rows": [row.to_json() for row in self.rows],
        }

    def __str__(self) -> str:
        head = "simulated data\n" if self.simulated else ""
        shown = [(row, row.metrics["hr@1"].value, row.metrics["hr@10"].value) for row in self.rows]
        lines = [f"{row.name:12s} {row.protocol:8s} HR@1 {one:.4f}  HR@10 {ten:.4f}" for row, one, ten in shown]
        return head + "\n".join(lines)


@dataclass(frozen=True)
class Scene:
    """What every scorer is measured on."""

    store: Store
    split: Split
    data: SessionData
    held: Held
    which: SplitName
    config: EvaluationConfig
    skip_at_least: int


def evaluate_scorers(
    scene: Scene, scorers: Sequence[Scorer], protocols: Sequence[Protocol] = PROTOCOLS, progress: Progress = silent
) -> Evaluation:
    """Return the metrics of each scorer (the first is the model, the rest baselines) on the scene's targets.

    Metrics: HR@1/5/10/20, NDCG@10, MRR over all targets and over listened, skipped, seen-in-training and untied
    ones (`hr@10.listened`); `delta` = HR@10 listened - skipped; `pair-auc` of the score that ranks.
    """
    cases = scene.held.cases
    unit = _unit(scene.store, cases)
    bootstrap = Bootstrap(unit, scene.config.resamples, scene.config.seed)
    groups = _groups(scene)
    candidates = _candidates(scene) if "sampled" in protocols else None
    rows = []
    for protocol in protocols:
        for place, scorer in enumerate(scorers):
            progress(Step(f"rank {protocol} {scorer.name}", place, len(scorers), "scorers"))
            if protocol == "sampled" and candidates is not None:
                ranks = sampled_ranks(scorer, scene.held, candidates)
            else:
                ranks = full_ranks(scorer, scene.held, scene.split.candidates)
            measured = ratios(ranks, groups) | _pair_ratios(scene, scorer)
            estimates, drawn = bootstrap.estimate(measured)
            estimates |= _differences(drawn)
            rows.append(Row(scorer.name, "model" if place == 0 else "baseline", protocol, estimates, ranks))
        progress(Step(f"rank {protocol}", len(scorers), len(scorers), "scorers"))
    return Evaluation(
        scene.which,
        rows,
        unit,
        _counts(scene, groups, candidates),
        scene.store.manifest.source.simulated,
        scene.config,
    )


def make_scene(
    store: Store, split: Split, data_config: DataConfig, config: EvaluationConfig, which: SplitName, device: Any
) -> Scene:
    """Return the scene of split `which` on `device`."""
    data = SessionData.load(store, split, device)
    held = Held(data, split.cases[which], data_config.max_len, split.candidates)
    return Scene(store, split, data, held, which, config, data_config.skip_at_least)


_VALIDATION: dict[tuple[str, int, int, int], Candidates] = {}
"""Candidates of the split last validated, so that epochs do not draw them again (they are a pure function)."""


def validation_metrics(
    store: Store, split: Split, encoder: Encoder, config: EvaluationConfig, device: torch.device
) -> dict[str, float]:
    """Return sampled HR@1 and HR@10 on the validation targets: what early stopping looks at."""
    data = SessionData.load(store, split, device)
    held = Held(data, split.cases["validation"], encoder.max_len, split.candidates)
    key = (store.manifest.fingerprint, len(split.candidates), int(split.kept.sum()), config.seed)
    if key not in _VALIDATION:
        _VALIDATION.clear()
        session = split.cases["validation"].session
        _VALIDATION[key] = session_candidates(store, session, split.candidates, config.candidates, config.seed)
    ranks = sampled_ranks(ModelScorer(encoder, split.candidates), held, _VALIDATION[key])
    return {"hr@1": float(hit(ranks, 1).mean()), "hr@10": float(hit(ranks, 10).mean())}


def contrast(
    first: Sequence[Evaluation], second: Sequence[Evaluation], protocol: Protocol, cutoff: int, name: str = "model"
) -> Estimate:
    """Return the seed-mean difference of HR@cutoff, first less second, with its bootstrap interval over units.

    The evaluations are of one store and split, one a seed, in the same order of seeds.
    """
    values = [
        hit(a.row(name, protocol).ranks, cutoff) - hit(b.row(name, protocol).ranks, cutoff)
        for a, b in zip(first, second, strict=True)
    ]
    mean = np.mean(values, axis=0)
    one = first[0]
    bootstrap = Bootstrap(one.unit, one.config.resamples, one.config.seed)
    return bootstrap.estimate({"difference": (mean, np.ones(len(mean)))})[0]["difference"]


def _unit(store: Store, cases: Cases) -> NDArray[np.int64]:
    if store.side_column(columns.USER) is None:
        return cases.session
    return np.asarray(store.side(columns.USER))[cases.session].astype(np.int64)


def _groups(scene: Scene) -> dict[str, NDArray[np.bool_]]:
    """Return the groups of targets that metrics are also given for."""
    target = scene.held.cases.target
    strength = np.asarray(scene.store.strength)[target]
    groups = {
        "listened": np.asarray(skips.listened(strength, scene.skip_at_least)),
        "skipped": np.asarray(skips.skipped(strength, scene.skip_at_least)),
        "seen": scene.split.training_counts[scene.held.target] > 0,
    }
    if scene.store.side_column(columns.TIED) is not None:
        groups["untied"] = ~np.asarray(scene.store.side(columns.TIED))[target].astype(np.bool_)
    return groups


def _differences(drawn: Mapping[str, NDArray[np.float64]]) -> dict[str, Estimate]:
    result = {"delta": summarise(drawn["hr@10.listened"] - drawn["hr@10.skipped"])}
    if "listened-first" in drawn:
        result["pair-auc"] = summarise((drawn["listened-first"] + drawn["skipped-first"]) / 2)
    return result


def _pair_ratios(scene: Scene, scorer: Scorer) -> dict[str, Ratio]:
    """Return the concordance of listened-first and of skipped-first pairs: two held-out tracks, context before both."""
    cases, store = scene.split.cases["validation"], scene.store
    if scene.which != "test" or not np.array_equal(cases.session, scene.held.cases.session):
        return {}
    both = np.stack([cases.target, scene.held.cases.target], axis=1)
    strength, tracks = np.asarray(store.strength)[both], np.asarray(store.tracks)[both].astype(np.int64)
    listened = np.asarray(skips.listened(strength, scene.skip_at_least))
    skipped = np.asarray(skips.skipped(strength, scene.skip_at_least))
    held = Held(scene.data, cases, scene.held.max_len, scene.split.candidates)
    scores = pair_scores(scorer, held, tracks)
    reachable = np.isin(tracks, scene.split.candidates).all(axis=1)
    result = {}
    for name, first in (("listened-first", 0), ("skipped-first", 1)):
        chosen = (listened[:, first] & skipped[:, 1 - first] & reachable).astype(np.float64)
        result[name] = concordance(scores[:, first], scores[:, 1 - first]) * chosen, chosen
    return result


def _candidates(scene: Scene) -> Candidates:
    config = scene.config
    session = scene.held.cases.session
    return session_candidates(scene.store, session, scene.split.candidates, config.candidates, config.seed)


def _counts(scene: Scene, groups: Mapping[str, NDArray[np.bool_]], candidates: Candidates | None) -> dict[str, Any]:
    num = len(scene.held.target)
    return {
        "targets": num,
        **{group: int(member.sum()) for group, member in groups.items()},
        "unseen_share": float(1 - groups["seen"].mean()) if num else 0.0,
        "candidates": len(scene.split.candidates),
        "sessions_too_short": scene.split.num_short,
        "sessions_with_fewer_candidates": candidates.num_fewer if candidates else 0,
    }
