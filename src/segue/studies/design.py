"""What a study asks: its arms, what is tuned, and which arms are compared."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from segue.ranking import BASELINE_NAMES
from segue.recipes import Recipe, load_recipe

TUNING_SEED: Final = 1000
"""Seed of the trainings that choose settings: none of the seeds 0, 1, ... that are reported."""


@dataclass(frozen=True)
class Arm:
    """One column: a recipe with changes."""

    name: str
    """Plain name: it is part of file names."""
    title: str
    """For people."""
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

    def arm(self, name: str) -> Arm:
        """Return the arm called `name`."""
        return next(arm for arm in self.arms if arm.name == name)

    def cut(self, arms: Collection[str], *, tuned: bool) -> Design:
        """Return the design with the arms named (none named = all), and with nothing to tune where not `tuned`."""
        kept = tuple(arm for arm in self.arms if not arms or arm.name in arms)
        names = {arm.name for arm in kept}
        known = {*names, *BASELINE_NAMES}
        compared = tuple(pair for pair in self.compared if {pair.arm, pair.less} <= known)
        own = tuple(replace(arm, tuned_as=arm.tuned_as if arm.tuned_as in names else None) for arm in kept)
        return replace(self, arms=own, compared=compared, tuned=self.tuned if tuned else {})

    def tuning_cells(self, arm: Arm) -> list[Cell]:
        """Return the trainings that choose an arm's settings; none where nothing is tuned."""
        return [Cell(arm.tuned_as or arm.name, TUNING_SEED, settings, True) for settings in self.settings() if settings]

    def num_trainings(self, seeds: int) -> int:
        """Return how many trainings the study takes with `seeds` reported ones an arm, those that choose included."""
        tuning = {cell.name for arm in self.arms for cell in self.tuning_cells(arm)}
        return len(tuning) + len(self.arms) * seeds

    def to_json(self) -> dict[str, Any]:
        """Return what the study asks as a JSON document."""
        return {
            "study": self.name,
            "title": self.title,
            "question": self.question,
            "arms": [
                {"name": arm.name, "title": arm.title, "recipe": arm.recipe, "changes": dict(arm.changes)}
                | {"tuned_as": arm.tuned_as or arm.name}
                for arm in self.arms
            ],
            "tuned": {key: list(values) for key, values in self.tuned.items()},
            "compared": [dict(vars(pair)) for pair in self.compared],
        }

    def settings(self) -> list[dict[str, Any]]:
        """Return every combination of the tuned values; a single empty one where nothing is tuned."""
        return [dict(zip(self.tuned, values, strict=True)) for values in itertools.product(*self.tuned.values())]


@dataclass(frozen=True)
class Cell:
    """One training of a study: an arm, its settings and a seed."""

    arm: str
    seed: int
    settings: Mapping[str, Any]
    """Tuned keys to values."""
    tuning: bool
    """True: it chooses settings, on validation targets alone; False: it is reported."""

    @property
    def name(self) -> str:
        """Return the cell's name as a plain file name."""
        values = "".join(f"--{key.rpartition('.')[2]}-{value}" for key, value in self.settings.items())
        return f"{self.arm}{values}--{'tuning' if self.tuning else 'seed'}-{self.seed}"


@dataclass(frozen=True)
class Plan:
    """A design, how often, with what laid over it, and the settings chosen so far."""

    design: Design
    seeds: int
    overrides: Mapping[str, Any]
    chosen: Mapping[str, Mapping[str, Any]]
    """Settings of each arm whose tuning is finished."""
    tuning_epochs: int = 0
    """Epoch cap of the trainings that choose settings; 0 = the recipe's."""

    def reported(self, arm: str) -> list[Cell]:
        """Return the trainings of an arm that are reported; its tuning must be finished."""
        return [Cell(arm, seed, self.chosen[arm], False) for seed in range(self.seeds)]

    def cells(self) -> list[Cell]:
        """Return all trainings that can be named by now: of tuning, and of the arms whose tuning is finished."""
        tuning = {cell.name: cell for arm in self.design.arms for cell in self.design.tuning_cells(arm)}
        return [*tuning.values(), *(cell for arm in self.chosen for cell in self.reported(arm))]

    @property
    def total(self) -> int:
        """How many trainings there will be."""
        return self.design.num_trainings(self.seeds)
