"""How the options of a baseline were chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

CRITERION: Final = "ndcg@20"


@dataclass(frozen=True)
class Tuning:
    """How the options of a baseline were chosen."""

    targets: int
    """Validation targets."""
    grid: Mapping[str, Sequence[Any]]
    tried: Sequence[tuple[Mapping[str, Any], float]]
    """Options and their criterion, in the order tried."""
    chosen: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return criterion, number of targets, grid, choice, its value and that of the defaults, and how many tried."""
        values = [value for _, value in self.tried]
        return {
            "criterion": f"{CRITERION} among all tracks, heard tracks kept",
            "targets": self.targets,
            "grid": {name: list(options) for name, options in self.grid.items()},
            "chosen": dict(self.chosen),
            "value": max(values),
            "value_of_defaults": values[0],
            "tried": len(values),
        }
