"""Rankings of a day: each is measured against all tracks that its listener listened to on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from segue import columns
from segue.batches.listener_past import listener_ranges
from segue.batches.next_day import NextDay
from segue.batches.positives import Positives
from segue.batches.split import ranges
from segue.evaluation.bootstrap import Bootstrap, Estimate
from segue.evaluation.evaluation_scene import EvaluationScene
from segue.evaluation.metrics import Ratio
from segue.evaluation.paired_contrast import t_estimate
from segue.evaluation.ranking_pass import Contexts, best_lists, lists_without
from segue.evaluation.records import Kind
from segue.output import SCHEMA_VERSION
from segue.progress import Progress, Step, silent
from segue.ranking import Scorer
from segue.ranking.set_metrics import dcg, hit_rate, ideal_dcg, ndcg, recall
from segue.store import NUM_SPECIALS

CUTOFFS: Final = (10, 100)
LIST: Final = max(CUTOFFS)
"""Length of the lists."""
Hits = NDArray[np.bool_]
Counts = NDArray[np.int64]
Metric = Callable[[Hits, Positives, int], Ratio]
"""Numerator and denominator of each case, of hits [N, LIST], its targets and a cutoff."""


def _form(metric: Callable[[Hits, Counts, int], NDArray[np.float64]], *, plays: bool = False) -> Metric:
    """Return the metric that is the mean over cases with a target; `plays`: each play of the day is a target."""

    def ratio(hits: Hits, targets: Positives, cutoff: int) -> Ratio:
        return metric(hits, targets.play_counts if plays else targets.counts, cutoff), targets.counts > 0

    return ratio


METRICS: Final[Mapping[str, Metric]] = {
    "ndcg": _form(ndcg),
    "ndcg-of-sums": lambda hits, targets, cutoff: (dcg(hits, cutoff), ideal_dcg(targets.counts, cutoff)),
    "recall": _form(recall),
    "recall-capped": _form(partial(recall, capped=True)),
    "hit-rate": _form(lambda hits, num, cutoff: hit_rate(hits, cutoff)),
    "yambda-ndcg": lambda hits, targets, cutoff: (dcg(hits, cutoff), ideal_dcg(targets.play_counts, cutoff)),
    "yambda-recall": _form(recall, plays=True),
}
"""Metrics of a day, at each of CUTOFFS, over the cases with a target: both published forms of NDCG (mean of ratios,
ratio of sums) and of recall (over all targets, over those that have room), whether anything was hit; and what the
paper's tables have: the ratio of sums and the recall over all, of plays in place of tracks."""
COMPARED: Final = tuple(f"{name}@{cutoff}" for name in ("ndcg", "recall") for cutoff in CUTOFFS)
"""Metrics in which the model is compared with each other row."""
PUBLISHED: Final[Mapping[str, Mapping[str, Mapping[str, float]]]] = {
    "yambda": {
        "item k-NN": {"yambda-ndcg@10": 0.0781, "yambda-ndcg@100": 0.0934, "yambda-recall@100": 0.1297},
        "SASRec": {"yambda-ndcg@10": 0.0748, "yambda-ndcg@100": 0.0764, "yambda-recall@100": 0.1026},
    }
}
"""Published numbers by source: of Yambda-50M, targets heard to at least half (Ploshkin et al. 2025)."""
GROUPS: Final = ("repeat", "discovery", "seen")
"""Targets that the listener played before, that are new to them, and those with a training row."""
NEW: Final = ".new"
"""Group of the targets that are new to the listener, in lists of such tracks alone."""


@dataclass(frozen=True)
class DayLists:
    """The best tracks of one scorer after each case, 0 after the last one."""

    name: str
    best: NDArray[np.int32]
    """[N, LIST]."""
    new: NDArray[np.int32]
    """Without the tracks that the listener played before, [N, LIST]."""


@dataclass(frozen=True)
class DayRow:
    """One scorer."""

    name: str
    kind: Kind
    metrics: Mapping[str, Estimate]
    """`ndcg@10`, `recall@100.repeat`, ...; `coverage@K`: share of the candidates that some list holds, no interval."""
    model_minus: Mapping[str, Estimate]
    """What the model has more of each of COMPARED, by paired resamples; empty for the model."""
    model_minus_by_run: Mapping[str, Estimate] = field(default_factory=dict)
    """The same with t intervals over several runs; empty for one."""
    num_nan: int = 0
    """Cases with a list that is too short, since scores are NaN."""

    def to_json(self) -> dict[str, Any]:
        """Return name, kind, and each metric as [value, low, high]."""
        head = {"name": self.name, "kind": self.kind, "nan_scores": self.num_nan}
        more = {"model_minus": self.model_minus, "model_minus_by_run": self.model_minus_by_run}
        metrics = {name: estimate.to_json() for name, estimate in self.metrics.items()}
        return head | metrics | {key: {n: e.to_json() for n, e in part.items()} for key, part in more.items() if part}


@dataclass(frozen=True)
class DayEvaluation:
    """Results of one run and the baselines on the days of a split."""

    split: str
    next_day: NextDay
    rows: Sequence[DayRow]
    counts: Mapping[str, Any]
    """Cases, listeners, targets by group, cold listeners; and runs, if the model's row is a mean over several."""
    simulated: Mapping[str, Any]
    tuning: Mapping[str, Any] = field(default_factory=dict)
    """How the options of each baseline were chosen, by name."""
    published: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Published numbers on the data set that the store is of, by model."""

    @property
    def num_nan(self) -> int:
        """Cases whose lists are too short, since scores are NaN, over all rows."""
        return sum(row.num_nan for row in self.rows)

    def to_json(self) -> dict[str, Any]:
        """Return the document of `--json`; simulated data is marked."""
        return {
            "schema_version": SCHEMA_VERSION,
            "split": self.split,
            "next_day": asdict(self.next_day),
            "simulated": dict(self.simulated),
            "counts": dict(self.counts),
            "rows": [row.to_json() for row in self.rows],
            "tuning": dict(self.tuning),
            "published": {name: dict(values) for name, values in self.published.items()},
        }

    def __str__(self) -> str:
        shown = [
            f"{row.name:20s}" + "".join(f"  {m} {row.metrics[m].value:.4f}" for m in COMPARED) for row in self.rows
        ]
        return "\n".join([*(["simulated data"] if self.simulated else []), *shown])


def played_before(scene: EvaluationScene) -> Positives:
    """Return the tracks that the listener of each case of `scene` played before it, as far as the case may read."""
    store, cases = scene.store, scene.contexts.cases
    past = listener_ranges(store, scene.split)
    tracks, size = np.asarray(store.tracks).astype(np.int64), store.num_tracks + NUM_SPECIALS
    earlier = past.end[cases.session] - past.begin[cases.session]
    rows = past.rows[ranges(past.begin[cases.session], past.end[cases.session])]
    case, now = np.repeat(np.arange(len(cases)), earlier), np.repeat(np.arange(len(cases)), cases.target - cases.begin)
    keys = np.concatenate([case * size + tracks[rows], now * size + tracks[ranges(cases.begin, cases.target)]])
    keys.sort()  # np.unique would hash them, which takes several times as long here
    case, played = np.divmod(keys[np.diff(keys, prepend=-1) > 0], size)
    offsets = np.searchsorted(case, np.arange(len(cases) + 1))
    return Positives(offsets, played, np.ones(len(played), np.bool_), np.ones(len(played), np.int64))


class DayTable:
    """The cases of a scene, and everything that does not depend on a scorer."""

    def __init__(self, scene: EvaluationScene) -> None:
        positives = scene.contexts.cases.positives
        assert positives is not None, "a split by days"
        self.scene, self.positives = scene, positives
        self._seen = scene.split.training_counts[positives.tracks] > 0
        members = dict(zip(GROUPS, (positives.repeated, ~positives.repeated, self._seen), strict=True))
        self.played: Final = played_before(scene)
        """The tracks that the listener of each case played before it."""
        self._targets = {"": positives} | {f".{name}": positives.where(member) for name, member in members.items()}
        listener = scene.side_of(columns.USER, scene.contexts.cases.session)
        assert listener is not None, "next-day needs listeners"
        self._listener = listener.astype(np.int64)
        self.bootstrap = Bootstrap(self._listener, scene.config.resamples, scene.config.seed)
        """Resamples listeners."""

    def counts(self) -> dict[str, Any]:
        """Return the numbers of cases, listeners, candidates, and targets by group."""
        positives, cases = self.positives, self.scene.contexts.cases
        return {
            "split_kind": self.scene.split.kind,
            "cases": len(cases),
            "listeners": len(np.unique(self._listener)),
            "cold_listeners": cases.num_cold,
            "targets": len(positives.tracks),
            "plays": int(positives.plays.sum()),
            "repeat": int(positives.repeated.sum()),
            "discovery": int((~positives.repeated).sum()),
            "seen": int(self._seen.sum()),
            "unseen_share": float(1 - self._seen.mean()) if len(self._seen) else 0.0,
            "candidates": len(self.scene.split.candidates),
        }

    def ratios(self, lists: DayLists) -> dict[str, Ratio]:
        """Return numerator and denominator of each metric by case."""
        result = dict[str, Ratio]()
        groups = [(group, targets, lists.best) for group, targets in self._targets.items()]
        for group, targets, best in [*groups, (NEW, self._targets[".discovery"], lists.new)]:
            hits = targets.hits(best)
            for name, metric in METRICS.items():
                result |= {f"{name}@{cutoff}{group}": metric(hits, targets, cutoff) for cutoff in CUTOFFS}
        return result

    def coverage(self, best: NDArray[np.int32]) -> dict[str, float]:
        """Return the share of the candidates that some list holds, at each cutoff."""
        shown = {cutoff: np.unique(best[:, :cutoff][best[:, :cutoff] > 0]).size for cutoff in CUTOFFS}
        num = len(self.scene.split.candidates)
        return {f"coverage@{cutoff}": size / num for cutoff, size in shown.items()}

    def num_short(self, best: NDArray[np.int32]) -> int:
        """Return the number of lists with fewer tracks than there are."""
        trained = int((self.scene.split.training_counts[self.scene.split.candidates] > 0).sum())
        return int((best[:, : min(LIST, trained)] == 0).any(axis=1).sum())


def day_lists(
    table: DayTable, contexts: Contexts, scorers: Sequence[Scorer], progress: Progress = silent
) -> list[DayLists]:
    """Return the lists of each scorer; `contexts`: those of the table, with what the scorers read."""
    lists = list[DayLists]()
    for number, scorer in enumerate(scorers):
        progress(Step(f"rank the day {scorer.name}", number, len(scorers), "scorers"))
        new = lists_without(scorer, contexts, table.played, LIST)
        lists.append(DayLists(scorer.name, best_lists(scorer, contexts, LIST), new))
    progress(Step("rank the day", len(scorers), len(scorers), "scorers"))
    return lists


def day_rows(table: DayTable, runs: Sequence[Sequence[DayLists]], baselines: Sequence[DayLists]) -> list[DayRow]:
    """Return the rows of models and baselines by their lists; the first model is compared with all others.

    `runs`: the lists of each run of one recipe; the row of a model is the mean over the runs.
    """
    models, rows = list(zip(*runs, strict=True)), list[DayRow]()
    own = [table.ratios(one) for one in models[0]]
    for number, lists in enumerate([*models, *((one,) for one in baselines)]):
        ratios = own if number == 0 else [table.ratios(one) for one in lists]
        shares = [table.coverage(one.best) for one in lists]
        coverage = {key: Estimate(float(np.mean([one[key] for one in shares])), np.nan, np.nan) for key in shares[0]}
        metrics = dict(table.bootstrap.estimate(_mean(ratios))) | coverage
        num_nan = sum(table.num_short(one.best) for one in lists)
        kind: Kind = "model" if number < len(models) else "baseline"
        over, by_run = ({}, {}) if number == 0 else _differences(table.bootstrap, own, ratios)
        rows.append(DayRow(lists[0].name, kind, metrics, over, by_run, num_nan))
    return rows


def _mean(runs: Sequence[Mapping[str, Ratio]]) -> dict[str, Ratio]:
    """Return the means of numerators over runs; the denominators are those of the targets."""
    return {name: (np.mean([one[name][0] for one in runs], axis=0), runs[0][name][1]) for name in runs[0]}


def _differences(
    bootstrap: Bootstrap, own: Sequence[Mapping[str, Ratio]], other: Sequence[Mapping[str, Ratio]]
) -> tuple[dict[str, Estimate], dict[str, Estimate]]:
    """Return own - other of each of COMPARED: of the means over runs, with bootstrap intervals, and t over runs."""
    names = [f"{name}{group}" for name in COMPARED for group in ("", ".repeat", ".discovery", NEW)]
    means = _mean(own), _mean(other)
    ratios = {
        f"{side} {name}": part[name] for name in names for side, part in zip(("own", "other"), means, strict=True)
    }
    weights = {name: {f"own {name}": 1.0, f"other {name}": -1.0} for name in names}
    estimates = bootstrap.estimate(ratios, weights)
    if len(own) == 1:
        return {name: estimates[name] for name in names}, {}
    values = [[_value(one[name]) for one in own] for name in names]
    rivals = [[_value(one[name]) for one in other] for name in names]
    by_run = {
        name: t_estimate([mine - theirs[min(run, len(theirs) - 1)] for run, mine in enumerate(part)])
        for name, part, theirs in zip(names, values, rivals, strict=True)
    }
    return {name: estimates[name] for name in names}, by_run


def _value(ratio: Ratio) -> float:
    over, under = (float(part.sum()) for part in ratio)
    return over / under if under else np.nan


def day_evaluation(
    table: DayTable,
    runs: Sequence[Sequence[DayLists]],
    baselines: Sequence[DayLists],
    next_day: NextDay,
    tuning: Mapping[str, Any],
) -> DayEvaluation:
    """Return the evaluation of the lists of runs and baselines; see `day_rows`."""
    rows = day_rows(table, runs, baselines)
    counts = table.counts() | ({"runs": len(runs)} if len(runs) > 1 else {})
    source = table.scene.store.manifest.source
    published = {} if source.simulated else PUBLISHED.get(source.kind, {})
    return DayEvaluation(table.scene.which, next_day, rows, counts, source.simulated, tuning, published)
