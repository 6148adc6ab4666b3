"""How far a run has come, and when it should stop."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from segue.errors import NonFiniteError

WATCHED: Final = "hr@10"
"""The validation metric that early stopping watches (sampled HR@10)."""
TIE: Final = "loss"
"""The one that breaks its ties, lower is better: on a small catalogue HR@10 is soon 1, and the loss still falls."""
TIE_STEP: Final = 0.001
"""Nats by which the loss must fall to break a tie: smaller steps would keep a finished training going to its cap."""


@dataclass
class Progressed:
    """Counts of one run; changes as it trains, and is saved with every checkpoint."""

    epoch: int = 0
    """Whole epochs behind, validation included."""
    step: int = 0
    """Steps done of the epoch that is running."""
    best_epoch: int = 0
    """Epoch with the highest HR@10, of equals that with the lower loss, then the earliest; 0 before the first."""
    best_metrics: dict[str, float | None] = field(default_factory=dict)
    pruned: bool = False
    """Whether the caller's `stop` ended it."""

    def close_epoch(self, validation: Mapping[str, float]) -> bool:
        """Count one epoch with its validation metrics; return whether it is the best so far.

        Without validation (an empty mapping) the latest epoch is the best.

        Raises:
            NonFiniteError: HR@10 is not finite.
        """
        self.epoch, self.step = self.epoch + 1, 0
        watched = validation.get(WATCHED)
        if watched is not None and not math.isfinite(watched):
            raise NonFiniteError(
                f"validation {WATCHED} of epoch {self.epoch} is {watched}; the scores are no longer numbers: "
                "lower training.learning_rate, or use --precision fp32"
            )
        better = watched is None or self._is_better(watched, validation.get(TIE))
        if better:
            self.best_epoch, self.best_metrics = self.epoch, plain_numbers(validation)
        return better

    def _is_better(self, watched: float, loss: float | None) -> bool:
        before, before_loss = self.best_metrics.get(WATCHED), self.best_metrics.get(TIE)
        if before is None or watched != before:
            return before is None or watched > before
        return loss is not None and loss <= (math.inf if before_loss is None else before_loss - TIE_STEP)

    def stopped(self, epochs: int, patience: int) -> Literal["patience", "cap", "pruned"] | None:
        """Return why training ends here; None: it goes on.

        No better epoch for `patience`, `epochs` reached, or else the caller's word.
        """
        if self.epoch - self.best_epoch >= patience:
            return "patience"
        if self.epoch >= epochs:
            return "cap"
        return "pruned" if self.pruned else None

    def to_json(self) -> dict[str, Any]:
        """Return the document from which `Progressed(**document)` is equal."""
        return dict(vars(self))


def plain_numbers(values: Mapping[str, float]) -> dict[str, float | None]:
    """Return `values` with None for values that are not finite (JSON has no NaN), sorted by name."""
    return {name: float(value) if math.isfinite(value) else None for name, value in sorted(values.items())}
