"""How far a run has come, and when it stops."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from segue.errors import NonFiniteError

WATCHED: Final = "hr@10"
"""The validation metric that early stopping watches (sampled HR@10)."""
TIE: Final = "loss"
"""The metric that decides between equal HR@10, lower is better: on a small catalogue HR@10 soon is 1, and the loss
still falls."""
TIE_STEP: Final = 0.001
"""Nats by which the loss must fall at equal HR@10: smaller gains would let a finished training run to its cap."""


@dataclass
class RunProgress:
    """The counters of one run. They change as it trains, and every checkpoint holds them."""

    epoch: int = 0
    """Finished epochs, validation included."""
    step: int = 0
    """Finished steps of the running epoch."""
    best_epoch: int = 0
    """Epoch with the highest HR@10; among equals that with the lower loss, then the earliest; 0 before the first."""
    best_metrics: dict[str, float | None] = field(default_factory=dict)
    pruned: bool = False
    """Whether the caller's `stop` ended the run."""

    def close_epoch(self, validation: Mapping[str, float]) -> bool:
        """Return whether the epoch that just ended, with these validation metrics, is the best so far; count it.

        Without metrics the latest epoch is the best.

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
        """Return why training ends now, None if it continues.

        patience: no better epoch for `patience` epochs. cap: `epochs` are done. pruned: the caller's `stop` said so.
        """
        if self.epoch - self.best_epoch >= patience:
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
