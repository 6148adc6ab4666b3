"""What an evaluation found: one row a scorer and protocol, each metric with its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from segue.batches.split import SplitName
from segue.evaluation.bootstrap import Estimate
from segue.recipes import EvaluationConfig

Protocol = Literal["sampled", "full"]
PROTOCOLS: Final[tuple[Protocol, ...]] = ("sampled", "full")


@dataclass(frozen=True)
class Row:
    """One scorer under one protocol."""

    name: str
    kind: Literal["model", "baseline"]
    protocol: Protocol
    metrics: Mapping[str, Estimate]
    strata: Mapping[str, Estimate]
    """HR@10 by stratum, e.g. 'context_type=radio'."""
    ranks: NDArray[np.float64]
    """Rank of each target, [N]; infinity is a miss."""
    num_nan: int = 0
    """Targets whose score is NaN; they rank last, and the command fails."""

    def to_json(self) -> dict[str, Any]:
        """Return name, kind, protocol, each metric as [value, low, high], and the strata."""
        head = {"name": self.name, "kind": self.kind, "protocol": self.protocol, "nan_scores": self.num_nan}
        metrics = {name: estimate.to_json() for name, estimate in self.metrics.items()}
        return head | metrics | {"strata": {name: found.to_json() for name, found in self.strata.items()}}


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
    listening: Sequence[Mapping[str, Any]] = field(default=())
    """How well P(listen) of the held-out tracks is foretold: name, log-loss, brier, ece, auc."""

    groups: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    """Members of each group of targets, [N]: listened, skipped, seen, untied."""

    @property
    def num_nan(self) -> int:
        """Number of targets whose score was NaN, over all rows."""
        return sum(row.num_nan for row in self.rows)

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
            "listening": [dict(row) for row in self.listening],
        }

    def __str__(self) -> str:
        head = f"simulated data, world {self.simulated.get('world', '?')}\n" if self.simulated else ""
        shown = [(row, row.metrics["hr@1"].value, row.metrics["hr@10"].value) for row in self.rows]
        lines = [f"{row.name:12s} {row.protocol:8s} HR@1 {one:.4f}  HR@10 {ten:.4f}" for row, one, ten in shown]
        return head + "\n".join(lines)
