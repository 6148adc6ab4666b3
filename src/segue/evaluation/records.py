"""The result of an evaluation: one row per scorer and protocol, each metric with its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from segue.batches.held_out import SplitName
from segue.config import nearest
from segue.errors import InputError
from segue.evaluation.answers import Answers, metric_ratio
from segue.evaluation.bootstrap import Bootstrap, Estimate
from segue.evaluation.metrics import RANK_METRICS, Ratio
from segue.evaluation.targets import Member, Targets
from segue.output import SCHEMA_VERSION
from segue.recipes import EvaluationConfig

Protocol = Literal["full", "unheard", "sampled", "popularity"]
"""What a target is ranked among: all tracks, all tracks not heard in the session, tracks sampled uniformly, or by
popularity."""
FORMS: Final[tuple[Protocol, ...]] = ("full", "unheard")
"""Both forms of ranking among all tracks: heard tracks kept, and left out. One pass gives both."""
PROTOCOLS: Final[tuple[Protocol, ...]] = (*FORMS, "sampled")
"""Default protocols, in the order of every table; candidates sampled by popularity are evaluated on request."""
Kind = Literal["model", "baseline", "head"]
"""head: a model's P(listen) alone, which is not a ranking to use and is not compared with baselines."""


@dataclass(frozen=True)
class Row:
    """One scorer under one protocol."""

    name: str
    kind: Kind
    protocol: Protocol
    metrics: Mapping[str, Estimate]
    strata: Mapping[str, Estimate]
    """HR@10 by stratum, e.g. 'context_type=radio'."""
    answers: Answers
    """Results by target, from which any further metric is computed (`Evaluation.ratio`)."""
    num_nan: int = 0
    """Targets whose score is NaN; they rank last, and the command fails."""

    @property
    def ranks(self) -> NDArray[np.float64]:
        """Return the rank of each target, [N]; infinity is a miss."""
        return self.answers.ranks

    def to_json(self) -> dict[str, Any]:
        """Return name, kind, protocol, each metric as [value, low, high], and the strata."""
        head = {"name": self.name, "kind": self.kind, "protocol": self.protocol, "nan_scores": self.num_nan}
        metrics = {name: estimate.to_json() for name, estimate in self.metrics.items()}
        return head | metrics | {"strata": {name: estimate.to_json() for name, estimate in self.strata.items()}}


@dataclass(frozen=True)
class Evaluation:
    """Results of one run and the baselines on one split."""

    split: SplitName
    rows: Sequence[Row]
    targets: Targets
    """The targets, their units, groups, strata and pairs: equal for all comparable runs."""
    counts: Mapping[str, Any]
    """Targets, share of them unseen in training, sessions too short, sessions with fewer candidates, ..."""
    simulated: Mapping[str, Any]
    config: EvaluationConfig
    listening: Sequence[Mapping[str, Any]] = field(default=())
    """Quality of predictions of P(listen) for held-out tracks: name, log-loss, brier, ece, auc."""
    skip_prediction: Sequence[Mapping[str, Any]] = field(default=())
    """"Will they skip?" in the second halves of held-out sessions: name, mean average and first-prediction accuracy."""
    tuning: Mapping[str, Any] = field(default_factory=dict)
    """How the options of each baseline were chosen, by name: grid, choice, criterion."""

    @property
    def unit(self) -> NDArray[np.int64]:
        """Return the bootstrap's unit of each target: its session, or its listener, [N]."""
        return self.targets.unit

    @property
    def strata(self) -> Mapping[str, Member]:
        """Return the members of each stratum, [N]."""
        return self.targets.strata

    @property
    def num_nan(self) -> int:
        """Number of targets whose score was NaN, over all rows."""
        return sum(row.num_nan for row in self.rows)

    def row(self, name: str, protocol: Protocol) -> Row:
        """Return the row of scorer `name` under `protocol`.

        Raises:
            InputError: there is no such row.
        """
        for row in self.rows:
            if row.name == name and row.protocol == protocol:
                return row
        names = {f"{row.name} {row.protocol}" for row in self.rows}
        raise InputError(f"the evaluation has no row '{name} {protocol}'{nearest(f'{name} {protocol}', names)}")

    def ratio(self, name: str, protocol: Protocol, metric: str, stratum: str = "") -> Ratio:
        """Return numerator and denominator of `metric` by target for one row; see `metric_ratio`."""
        return metric_ratio(self.targets, self.row(name, protocol).answers, metric, stratum)

    def bootstrap(self) -> Bootstrap:
        """Return the resamples of the intervals; equal for all evaluations of the same targets."""
        return Bootstrap(self.unit, self.config.resamples, self.config.seed)

    def to_json(self) -> dict[str, Any]:
        """Return the document of `--json`; simulated data is marked."""
        return {
            "schema_version": SCHEMA_VERSION,
            "split": self.split,
            "simulated": dict(self.simulated),
            "counts": dict(self.counts),
            "rows": [self._row_json(row) for row in self.rows],
            "listening": [dict(row) for row in self.listening],
            "skip_prediction": [dict(row) for row in self.skip_prediction],
            "tuning": dict(self.tuning),
        }

    def _row_json(self, row: Row) -> dict[str, Any]:
        measured = any(other.kind == "baseline" and other.protocol == row.protocol for other in self.rows)
        if row.kind != "model" or not measured:
            return row.to_json()
        losses = {metric: list(beaten_by(self, row.protocol, metric, row.name)) for metric in RANK_METRICS}
        return row.to_json() | {"beaten_by": losses}

    def __str__(self) -> str:
        head = f"simulated data, world {self.simulated.get('world', '?')}\n" if self.simulated else ""
        shown = [(row, row.metrics["hr@1"].value, row.metrics["hr@10"].value) for row in self.rows]
        lines = [f"{row.name:12s} {row.protocol:10s} HR@1 {one:.4f}  HR@10 {ten:.4f}" for row, one, ten in shown]
        return head + "\n".join(lines)


def beaten_by(evaluation: Evaluation, protocol: Protocol, metric: str, name: str = "model") -> tuple[str, ...]:
    """Return the baselines whose `metric` (larger is better) is larger than that of row `name`, best first.

    Equal values do not beat. NaN (no target defines the metric) neither beats nor is beaten.
    """
    value = evaluation.row(name, protocol).metrics[metric].value
    rivals = [row for row in evaluation.rows if row.kind == "baseline" and row.protocol == protocol]
    better = [(row.metrics[metric].value, row.name) for row in rivals if row.metrics[metric].value > value]
    return tuple(rival for _, rival in sorted(better, key=lambda pair: -pair[0]))
