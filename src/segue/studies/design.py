"""The design of a study: its arms, what is tuned, and which arms are compared."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from segue.recipes import Recipe, load_recipe

TUNING_SEED: Final = 1000
"""Seed of the trainings that choose settings: none of the seeds 0, 1, ... that are reported."""


@dataclass(frozen=True)
class Arm:
    """One column: a recipe with changes."""

    name: str
    """Plain name: it is part of file names."""
    title: str
    """Name in reports."""
    recipe: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Dotted keys to values, laid over the recipe."""
    tuned_as: str | None = None
    """Name of the arm whose chosen settings it takes; None = its own are tuned."""

    def resolved(self, more: Mapping[str, Any]) -> Recipe:
        """Return the arm's recipe with `more` laid over it.

        Raises:
            InputError: a key or value is refused.
        """
        return load_recipe(self.recipe, {**self.changes, **more})


@dataclass(frozen=True)
class Compared:
    """First arm less second, seed by seed."""

    arm: str
    less: str
    """Another arm, or a baseline by its name."""
    about: str
    """What the pair answers: 'skips', 'context', 'encoder', 'ablation', ..."""
    primary: bool = False
    """Belongs to the family that is corrected for number (Holm)."""


@dataclass(frozen=True)
class Design:
    """A study: `segue study STORE OUT --recipe NAME`."""

    name: str
    title: str
    question: str
    """One or two sentences that the report opens with."""
    arms: tuple[Arm, ...]
    compared: tuple[Compared, ...]
    tuned: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    """Dotted key to the values tried; each arm that is tuned tries every combination, so the budget is the same."""

    def cut(self, arms: Collection[str], *, tuned: bool) -> Design:
        """Return the design with the arms named (none named = all), and with nothing to tune where not `tuned`."""
        names = {arm.name for arm in self.arms if not arms or arm.name in arms}
        others = {arm.name for arm in self.arms} - names
        compared = tuple(pair for pair in self.compared if not {pair.arm, pair.less} & others)
        cut = [replace(arm, tuned_as=arm.tuned_as if arm.tuned_as in names else None) for arm in self.arms]
        chosen = tuple(arm for arm in cut if arm.name in names)
        return replace(self, arms=chosen, compared=compared, tuned=self.tuned if tuned else {})

    def num_trainings(self, seeds: int) -> int:
        """Return how many trainings the study takes with `seeds` reported ones an arm, those that choose included."""
        tuned = {arm.tuned_as or arm.name for arm in self.arms}
        return len(tuned) * len(self.settings()) + len(self.arms) * seeds

    def to_json(self) -> dict[str, Any]:
        """Return the design as a JSON document."""
        return {
            "study": self.name,
            "title": self.title,
            "question": self.question,
            "arms": [
                vars(arm) | {"changes": dict(arm.changes), "tuned_as": arm.tuned_as or arm.name} for arm in self.arms
            ],
            "tuned": {key: list(values) for key, values in self.tuned.items()},
            "compared": [dict(vars(pair)) for pair in self.compared],
        }

    def settings(self) -> list[dict[str, Any]]:
        """Return every combination of the tuned values; none where nothing is tuned."""
        points = itertools.product(*self.tuned.values()) if self.tuned else ()
        return [dict(zip(self.tuned, values, strict=True)) for values in points]
