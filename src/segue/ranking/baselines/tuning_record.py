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
        """Return criterion, number of targets, grid, what was tried, and the choice."""
        tried = [{**options, CRITERION: round(value, 5)} for options, value in self.tried]
        grid = {name: list(values) for name, values in self.grid.items()}
        head = {"criterion": f"{CRITERION} among all tracks, heard tracks kept", "targets": self.targets}
        return {**head, "grid": grid, "chosen": dict(self.chosen), "tried": tried}
