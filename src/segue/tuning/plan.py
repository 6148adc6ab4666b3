"""What a search tries, in one frozen record."""

from __future__ import annotations

from dataclasses import dataclass

from segue.recipes import Recipe
from segue.tuning.search import Search
from segue.tuning.space import Dimension


@dataclass(frozen=True)
class Plan:
    """What a search tries."""

    recipe: Recipe
    """What is tuned: each trial is it but for the values of a point."""
    space: tuple[Dimension, ...]
    """What varies, and between which ends."""
    search: Search
    trials: int
    """How many; failed and pruned ones count."""
