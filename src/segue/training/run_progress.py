"""How far a run has come, and when it stops."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from segue.errors import NonFiniteError

WATCHED: Final = "ndcg@20"
"""The validation metric by which the best epoch is chosen: unlike HR@K it changes with every rank that rises."""
LOSS: Final = "loss"
"""The validation loss. It falls already where ranks do not rise yet, and on a small catalogue still falls where NDCG@20
is 1 long since: a training goes on while it falls."""
LOSS_STEP: Final = 0.001
"""Nats by which the loss must fall: smaller gains would let a finished training run to its cap."""


@dataclass
class RunProgress:
    """The counters of one run. They change as it trains, and every checkpoint holds them."""

    epoch: int = 0
    """Finished epochs, validation included."""
    step: int = 0
    """Finished steps of the running epoch."""
    best_epoch: int = 0
    """Epoch with the highest NDCG@20; among equals that with the lower loss, then the earliest; 0 before the first."""
    best_metrics: dict[str, float | None] = field(default_factory=dict)
    least_loss: float | None = None
    """Lowest validation loss, as far as it fell by LOSS_STEP at a time."""
    moved_epoch: int = 0
    """Latest epoch that made progress: the best so far, or one with a lower loss than all before."""
    pruned: bool = False
    """Whether the caller's `stop` ended the run."""

    def close_epoch(self, validation: Mapping[str, float]) -> bool:
        """Return whether the epoch that just ended, with these validation metrics, is the best so far; count it.

        Without metrics the latest epoch is the best.

        Raises:
            NonFiniteError: NDCG@20 is not finite.
        """
        self.epoch, self.step = self.epoch + 1, 0
        watched = validation.get(WATCHED)
        if watched is not None and not math.isfinite(watched):
            raise NonFiniteError(
                f"validation {WATCHED} of epoch {self.epoch} is {watched}; the scores are no longer numbers: "
                "lower training.learning_rate, or use --precision fp32"
            )
        loss = validation.get(LOSS, math.nan)
        falls = math.isfinite(loss) and (self.least_loss is None or loss <= self.least_loss - LOSS_STEP)
        before = self.best_metrics.get(WATCHED)
        better = watched is None or before is None or watched > before or (watched == before and falls)
        if falls:
            self.least_loss = loss
        if better:
            self.best_epoch, self.best_metrics = self.epoch, plain_numbers(validation)
        if better or falls:
            self.moved_epoch = self.epoch
        return better

    def stopped(self, epochs: int, patience: int) -> Literal["patience", "cap", "pruned"] | None:
        """Return why training ends now, None if it continues.

        patience: no progress for `patience` epochs. cap: `epochs` are done. pruned: the caller's `stop` said so.
        """
        if self.epoch - self.moved_epoch >= patience:
            return "patience"
        if self.epoch >= epochs:
            return "cap"
        return "pruned" if self.pruned else None

    def to_json(self) -> dict[str, Any]:
        """Return the fields by name; `RunProgress(**fields)` is equal to this one."""
        return dict(vars(self))


def plain_numbers(values: Mapping[str, float]) -> dict[str, float | None]:
    """Return `values` with None for values that are not finite (JSON has no NaN), sorted by name."""
    return {name: float(value) if math.isfinite(value) else None for name, value in sorted(values.items())}
