"""The options of a baseline are those that a search by coordinates finds on validation targets."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest

from segue.batches.split import DataConfig, Split, split_store
from segue.config import Config
from segue.ranking.baselines import Popularity, TrainingRows
from segue.ranking.baselines import tuning as module
from segue.ranking.baselines.baseline import Baseline, Grid
from segue.ranking.baselines.tuning import ValidationTargets, tuned
from segue.store import Store
from support.stores import tiny_store


@dataclass(frozen=True)
class Options(Config):
    """Two options."""

    a: int = 0
    b: int = 0


class Toy(Baseline):
    """A baseline whose criterion the tests make up."""

    name = "toy"
    config_type = Options
    grid: ClassVar[Grid] = {"a": (1, 0, 2, 3), "b": (1, 0, 2, 3)}


class FromTwoSides(Toy):
    """The same, searched from two sides."""

    starts = ({}, {"a": 3, "b": 3})


class Targets(ValidationTargets):
    """Validation targets with a made-up criterion of the options."""

    def __init__(self, value: Callable[[int, int], float], num: int = 5) -> None:
        self.num, self.asked = num, list[tuple[int, int]]()
        self._value = value

    def criterion(self, baseline: Baseline) -> float:
        """Return the made-up value."""
        self.asked.append((baseline.config.a, baseline.config.b))
        return float(self._value(*self.asked[-1]))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Split, TrainingRows]:
    store = tiny_store(tmp_path_factory.mktemp("tuning"), sessions=40, tracks=150)
    split = split_store(store, DataConfig())
    return store, split, TrainingRows.of(store, split)


def found(kind: type[Toy], place: tuple[Store, Split, TrainingRows], targets: Any) -> tuple[int, int]:
    config = tuned(kind, place[2], targets).config
    return config.a, config.b


@pytest.mark.full_tuning
def test_each_option_takes_its_best_value_and_nothing_is_tried_twice(place: Any) -> None:
    targets = Targets(lambda a, b: -((a - 2) ** 2) - (b - 3) ** 2)
    assert found(Toy, place, targets) == (2, 3)
    assert len(targets.asked) == len(set(targets.asked)) == 10  # 4 values of a, 3 more of b, and of a again


@pytest.mark.full_tuning
def test_an_option_is_looked_at_again_when_another_has_changed(place: Any) -> None:
    values = {(0, 0): 1.0, (0, 2): 2.0, (3, 2): 3.0}
    assert found(Toy, place, Targets(lambda a, b: values.get((a, b), 0.0))) == (3, 2)


@pytest.mark.full_tuning
def test_of_equal_values_the_defaults_stay(place: Any) -> None:
    assert found(FromTwoSides, place, Targets(lambda a, b: 1.0)) == (0, 0)


@pytest.mark.full_tuning
def test_the_best_of_all_starts_counts(place: Any) -> None:
    values = {(0, 0): 1.0, (3, 3): 2.0}
    peaks = Targets(lambda a, b: values.get((a, b), 0.0))
    assert found(Toy, place, peaks) == (0, 0)
    assert found(FromTwoSides, place, peaks) == (3, 3)


@pytest.mark.full_tuning
def test_what_was_tried_is_told(place: Any) -> None:
    record = tuned(Toy, place[2], Targets(lambda a, b: a + b)).tuning
    assert record is not None
    document = record.to_json()
    assert (document["chosen"], document["value"], document["value_of_defaults"]) == ({"a": 3, "b": 3}, 6, 0)
    assert (document["tried"], document["targets"]) == (10, 5)


def test_without_targets_or_a_grid_nothing_is_chosen(place: Any) -> None:
    targets = Targets(lambda a, b: a + b, num=0)
    assert found(Toy, place, targets) == (0, 0)
    assert targets.asked == []
    assert tuned(Popularity, place[2], Targets(lambda a, b: 0.0)).tuning is None


@pytest.mark.parametrize("cut", [20, 1000])
def test_the_criterion_is_the_mean_gain_and_a_target_that_cannot_be_ranked_has_none(
    place: Any, monkeypatch: pytest.MonkeyPatch, cut: int
) -> None:
    monkeypatch.setattr(module, "BATCH", 7)
    monkeypatch.setattr(module, "CUT", cut)
    store, split, data = place
    cases, candidates = split.cases["validation"], set(split.candidates.tolist())
    gains = []
    for row in cases.target.tolist():
        target, gain = int(store.tracks[row]), 0.0
        if target in candidates:
            plays = np.asarray([data.counts[each] for each in sorted(candidates)])
            rank = 1 + (plays > data.counts[target]).sum() + ((plays == data.counts[target]).sum() - 1) / 2
            gain = 1 / math.log2(1 + rank) if rank <= cut else 0.0
        gains.append(gain)
    assert 0 < np.mean(gains) < 1
    assert not set(store.tracks[cases.target].tolist()) <= candidates
    assert ValidationTargets(store, split, 8).criterion(Popularity(data)) == pytest.approx(np.mean(gains))
