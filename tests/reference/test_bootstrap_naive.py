"""Bootstrap sums equal plain resampling, whatever the blocks; weights are drawn once; listeners are what is drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from segue.batches.split import DataConfig, split_store
from segue.columns import USER
from segue.evaluation import Evaluation, Question, contrasts, evaluate_scorers, make_scene
from segue.evaluation import bootstrap as module
from segue.evaluation.bootstrap import Bootstrap
from segue.evaluation.listening import baseline_predictions
from segue.evaluation.scene import Scene
from segue.model.encoders.causal import CausalConfig
from segue.ranking import ModelScorer, fit_baselines
from segue.recipes import EvaluationConfig
from support.small_models import encoder_of
from support.stores import rewritten, tiny_store, values_of

RESAMPLES = 21
UNIT = np.array([7, 7, 2, 9, 9, 9, 4, 11, 11, 3, 5, 6, 8, 30])  # listeners of one to three targets, not in order


def columns(num: int) -> list[np.ndarray]:
    """Return hits, members, halves, gains, log-ranks, large and negative values, zeros."""
    generator = np.random.default_rng(3)
    ranks = generator.integers(2, 2000, num) / 2
    return [
        (ranks < 300).astype(np.float64),
        ranks < 500,
        generator.choice([0.0, 0.5, 1.0], num),
        1 / np.log2(1 + ranks),
        np.log(ranks),
        generator.normal(size=num) * 1e6,
        np.zeros(num),
        generator.integers(0, 2**23, num).astype(np.float64),  # whole, but no sum of it is exact in float32
    ]


def naive(unit: np.ndarray, parts: list[np.ndarray], resamples: int, seed: int) -> np.ndarray:
    """Return the sums of the targets of units drawn one by one."""
    units = sorted(set(unit.tolist()))
    generator = np.random.default_rng([seed, 0xB007])
    rows = [[float(part.sum()) for part in parts]]
    for _ in range(resamples):
        drawn = [units[i] for i in generator.integers(len(units), size=len(units)).tolist()]
        chosen = [place for one in drawn for place in np.flatnonzero(unit == one).tolist()]
        rows.append([float(sum(part[chosen].tolist())) for part in parts])
    return np.array(rows)


@pytest.mark.parametrize("unit", [UNIT, np.arange(14), np.arange(14)[::-1], np.zeros(14, np.int64)])
def test_sums_equal_those_of_resampled_targets(unit: np.ndarray) -> None:
    parts = columns(14)
    found = Bootstrap(unit.astype(np.int64), RESAMPLES, 5).sums(parts)
    assert found == pytest.approx(naive(unit, parts, RESAMPLES, 5), rel=1e-12)
    assert np.array_equal(found[:, 0], naive(unit, parts, RESAMPLES, 5)[:, 0])  # counts are exact


def test_the_estimates_of_a_ratio_are_percentiles_of_resampled_ratios() -> None:
    over, under = columns(14)[3], columns(14)[1]
    found = Bootstrap(UNIT, 200, 1).estimate({"x": (over * under, under)})[0]["x"]
    sums = naive(UNIT, [over * under, under], 200, 1)
    with np.errstate(invalid="ignore"):
        values = sums[:, 0] / sums[:, 1]
    resampled = values[1:][~np.isnan(values[1:])]
    assert found.value == pytest.approx(values[0])
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(resampled, (2.5, 97.5))))


@pytest.mark.parametrize(("block", "tile", "width"), [(1, 1, 1), (2, 3, 5), (4, 100, 2), (1000, 7, 1000)])
@pytest.mark.parametrize("held", [0, 2**30])
def test_no_bit_hangs_on_the_blocks(
    block: int, tile: int, width: int, held: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = np.random.default_rng(0)
    unit, parts = generator.integers(0, 40, 300), columns(300)
    whole = Bootstrap(unit, RESAMPLES, 0).sums(parts)
    for name, size in {"BLOCK": block, "TILE": tile, "COLUMNS": width, "MOST_CACHED": held}.items():
        monkeypatch.setattr(module, name, size)
    in_blocks = Bootstrap(unit, RESAMPLES, 0)
    assert np.array_equal(in_blocks.sums(parts), whole)
    assert np.array_equal(in_blocks.sums(parts[::-1]), whole[:, ::-1])  # again, with the weights it kept or drew anew


def test_weights_are_drawn_once_for_a_whole_table(monkeypatch: pytest.MonkeyPatch) -> None:
    draws = []
    drawn = Bootstrap._drawn
    monkeypatch.setattr(Bootstrap, "_drawn", lambda self: draws.append(1) or drawn(self))
    monkeypatch.setattr(module, "COLUMNS", 2)
    table = Bootstrap(UNIT, RESAMPLES, 0)
    for _ in range(3):
        table.sums(columns(14))
    assert len(draws) == 1


def test_a_unit_drawn_more_than_255_times_keeps_its_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    class OneUnit:
        def integers(self, num: int, size: int, dtype: type) -> np.ndarray:
            return np.full(size, 1, dtype)

    monkeypatch.setattr(np.random, "default_rng", lambda seed: OneUnit())
    found = Bootstrap(np.arange(400), 2, 0).sums([np.arange(400.0)])
    assert found[:, 0].tolist() == [400 * 399 / 2, 400, 400]


def test_no_targets_and_no_resamples_give_no_intervals() -> None:
    nothing = np.zeros(0)
    found = Bootstrap(nothing.astype(np.int64), 5, 0).estimate({"x": (nothing, nothing)})[0]["x"]
    assert all(np.isnan([found.value, found.low, found.high]))
    found = Bootstrap(np.arange(4), 0, 0).estimate({"x": (np.ones(4), np.ones(4))})[0]["x"]
    assert found.value == 1
    assert np.isnan(found.low)


CONFIG = EvaluationConfig(candidates=8, resamples=60, seed=3)


def listened_scene(path: Path, *, listeners: bool) -> Scene:
    """Return the test scene of a store of 60 sessions, with or without its 14 listeners, of 1 to 11 sessions each.

    The sessions of a listener do not stand side by side, and listeners not in the order of their sessions.
    """
    tiny = tiny_store(path / "tiny", sessions=60)
    drawn = np.random.default_rng(1).integers(0, 200, 60).astype(np.int32)
    values = values_of(tiny) | {USER: 97 - np.sqrt(drawn).astype(np.int32)}
    side = tuple(column for column in tiny.manifest.side if listeners or column.name != USER)
    store, data = rewritten(path / "store", tiny, values, side), DataConfig()
    assert (store.side_column(USER) is not None) == listeners
    return make_scene(store, split_store(store, data), data, CONFIG, "test", "cpu")


def model(scene: Scene, seed: int) -> ModelScorer:
    generator = torch.Generator().manual_seed(seed)
    encoder = encoder_of(CausalConfig(width=16, heads=2), scene.store.num_tracks, 20, generator)
    return ModelScorer(encoder, scene.split.candidates)


def units_of(scene: Scene) -> np.ndarray:
    """Return the listener of each target, one after another; its session where nobody is named."""
    session = scene.contexts.cases.session.tolist()
    if scene.store.side_column(USER) is None:
        return np.array(session)
    return np.array([int(scene.store.side(USER)[one]) for one in session])


def resampled(unit: np.ndarray, over: np.ndarray, under: np.ndarray) -> np.ndarray:
    """Return the mean of `over` where `under` holds in each resample of units."""
    sums = naive(unit, [over * under, under], CONFIG.resamples, CONFIG.seed)[1:]
    return sums[:, 0] / sums[:, 1]


def bounds(values: np.ndarray) -> tuple[float, float]:
    low, high = np.percentile(values, (2.5, 97.5)).tolist()
    return low, high


@pytest.mark.parametrize("listeners", [True, False])
def test_an_evaluation_resamples_listeners_where_there_are_any_and_else_sessions(
    tmp_path: Path, listeners: bool
) -> None:
    scene = listened_scene(tmp_path, listeners=listeners)
    found, unit = evaluate_scorers(scene, [model(scene, 1), *fit_baselines(scene.store, scene.split)]), units_of(scene)
    assert len(set(unit.tolist())) == (14 if listeners else 60)
    assert found.unit.tolist() == unit.tolist()
    target = scene.contexts.cases.target
    heard, passed, everyone = scene.listened(target), scene.skipped(target), np.ones(len(unit), np.bool_)
    for row in found.rows:
        hits, name = (row.ranks <= 10).astype(np.float64), f"{row.name}, {row.protocol}"
        reciprocal, of_heard = resampled(unit, 1 / row.ranks, everyone), resampled(unit, hits, heard)
        wanted = {"mrr": reciprocal, "hr@10.listened": of_heard, "delta": of_heard - resampled(unit, hits, passed)}
        for metric, values in wanted.items():
            estimate = row.metrics[metric]
            assert (estimate.low, estimate.high) == pytest.approx(bounds(values)), (name, metric)
        member = scene.contexts.cases.target - scene.contexts.cases.begin <= 5
        early = row.strata["position=1-5"]
        assert (early.low, early.high) == pytest.approx(bounds(resampled(unit, hits, member))), name
        if listeners:
            by_session = bounds(resampled(np.arange(len(unit)), 1 / row.ranks, everyone))
            assert bounds(reciprocal) != pytest.approx(by_session), "the two are told apart"
    for listening in found.listening:
        p = baseline_predictions(scene)[listening["name"]]
        losses = -np.log(np.where(heard, p, 1 - p))
        assert listening["log-loss"][1:] == pytest.approx(bounds(resampled(unit, losses, heard | passed)))


@pytest.mark.parametrize("listeners", [True, False])
def test_a_contrast_resamples_listeners_where_there_are_any_and_else_sessions(tmp_path: Path, listeners: bool) -> None:
    scene = listened_scene(tmp_path, listeners=listeners)

    def arm(*seeds: int) -> list[Evaluation]:
        return [evaluate_scorers(scene, [model(scene, seed)]) for seed in seeds]

    first, second, unit = arm(1, 2), arm(3, 4), units_of(scene)
    target, whole = scene.contexts.cases.target, np.ones(len(unit), np.bool_)
    asked = [Question("full", "mrr"), Question("sampled", "mrr", "listened"), Question("sampled", "mrr", "skipped")]
    for question, member in zip(asked, (whole, scene.listened(target), scene.skipped(target)), strict=True):
        ranks = [[one.row("model", question.protocol).ranks for one in part] for part in (first, second)]
        difference = np.mean([1 / mine - 1 / other for mine, other in zip(*ranks, strict=True)], axis=0)
        values = resampled(unit, difference, member)
        for shared in (None, first[0].bootstrap()):
            over_units = contrasts(first, second, [question], shared)[0].over_units
            assert (over_units.low, over_units.high) == pytest.approx(bounds(values))
        if listeners:
            assert bounds(values) != pytest.approx(bounds(resampled(np.arange(len(unit)), difference, member)))
