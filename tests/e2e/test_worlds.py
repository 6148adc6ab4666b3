"""Worlds through the whole pipeline: where skips say nothing, nothing may gain from them; where they move, it shows.

Seeds are fixed, and every statement is over several. World `full` shows that the tests could see a difference.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse, stats

from segue import skips
from segue.batch import Batch
from segue.batches.split import DataConfig, split_store
from segue.columns import ORACLE_P_LISTEN
from segue.evaluation import Evaluation, contrast, make_scene
from segue.evaluation.bootstrap import Bootstrap, Estimate
from segue.ranking.baselines import ListenRate, Markov, TrainingRows, last_track
from segue.recipes import EvaluationConfig
from segue.simulation import SimulatedLog, SimulationConfig, config_of, write_store
from segue.simulation import simulate as simulate_log
from segue.store import Store
from segue.verbs.evaluate import EvaluateOptions, evaluate
from segue.verbs.simulate import SimulateOptions, simulate
from segue.verbs.train import TrainOptions, train
from support.evaluated import evaluate_scorers
from support.small_recipes import small_recipe

TRACKS = 20_000
"""Fewer would leave most plays to one track: what top tracks cover is calibrated."""


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Tests beside this one have the other cores: threads that wait for each other made this file 20 times slower."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# --- null: skips at random ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def null_arms(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Evaluation], list[Evaluation]]:
    """Evaluations of S+ by seed: true strengths, and strengths permuted over all rows of the same tracks."""
    true, permuted = [], []
    for seed in (0, 1, 2):
        folder = tmp_path_factory.mktemp(f"null{seed}")
        simulate(folder / "true", SimulateOptions(sessions=1200, tracks=TRACKS, seed=1, world="null", store=True))
        log = simulate_log(config_of(1200, TRACKS, 1, "null"))
        shuffled = np.random.default_rng(seed).permutation(log.strength)
        write_store(dataclasses.replace(log, strength=shuffled), folder / "permuted")
        true.append(_trained(folder, "true", seed))
        permuted.append(_trained(folder, "permuted", seed))
    return true, permuted


def _trained(folder: Path, name: str, seed: int) -> Evaluation:
    recipe = small_recipe(
        training__batch_size=64,
        training__epochs=3,
        training__seed=seed,
        next_track__negatives=50,
        data__max_len=20,
        evaluation__candidates=100,
        evaluation__resamples=400,
    )
    train(folder / name, folder / f"run-{name}", TrainOptions(recipe=recipe, device="cpu"))
    options = EvaluateOptions(protocol="sampled", model_only=True, device="cpu")
    return evaluate(folder / f"run-{name}", folder / name, options)


def test_in_null_the_true_skips_are_worth_no_more_than_permuted_ones(
    null_arms: tuple[list[Evaluation], list[Evaluation]],
) -> None:
    true, permuted = null_arms
    assert true[0].row("model", "sampled").metrics["hr@10"].value > 0.2  # of 101: it has learnt something
    assert contrast(true, permuted, "sampled", 10).verdict != "gain"


def test_in_null_no_listen_rate_foretells_what_is_listened_to(tmp_path: Path) -> None:
    simulate(tmp_path / "store", SimulateOptions(sessions=1200, tracks=TRACKS, seed=1, world="null", store=True))
    store, config = Store(tmp_path / "store"), DataConfig()
    split = split_store(store, config)
    scene = make_scene(store, split, config, EvaluationConfig(candidates=100, resamples=400), "test", "cpu")
    rows = evaluate_scorers(scene, [ListenRate(TrainingRows.of(store, split))], ("sampled",)).rows
    found = rows[0].metrics["pair-auc"]
    assert found.low <= 0.5 <= found.high
    assert found.high - found.low < 0.12


def test_in_null_the_oracle_is_constant(tmp_path: Path) -> None:
    simulate(tmp_path / "store", SimulateOptions(sessions=300, tracks=TRACKS, world="null", store=True))
    truth = np.asarray(Store(tmp_path / "store").side(ORACLE_P_LISTEN))
    assert truth.min() == truth.max()


# --- no-reaction: what comes next ignores skips ----------------------------------------------------------------


class FeedbackMarkov(Markov):
    """Markov that counts transitions after a skip and after a listen apart, added to those after any (its back-off)."""

    name = "feedback-markov"
    reads_feedback = True

    def fitted(self, data: TrainingRows) -> FeedbackMarkov:
        """Return itself with the transitions after each feedback of `data`."""
        within = data.session[1:] == data.session[:-1]
        before, after = data.tracks[:-1][within], data.tracks[1:][within]
        skipped = skips.skipped(data.strength[:-1][within])
        shape = (len(data.counts), len(data.counts))
        self._after = [
            sparse.csr_matrix((np.ones(int(own.sum())), (before[own], after[own])), shape=shape)
            for own in (~skipped, skipped)
        ]
        self._after_any = self._after[0] + self._after[1]
        return self

    def _session_scores(self, batch: Batch) -> Any:
        last, was_skipped = last_track(batch), skips.skipped(batch.feedback[batch.last].numpy())[:, None]
        own = [self._after[i][last].multiply(was_skipped == bool(i)) for i in (0, 1)]
        return (self._after_any[last] + own[0] + own[1]).tocsr()


def _gain_of_feedback(folder: Path, world: str, cutoff: int) -> Estimate:
    """Return the gain in HR of knowing the last feedback, over the sessions of three seeds."""
    gains = []
    for seed in (1, 2, 3):
        place = folder / f"{world}-{cutoff}-{seed}"
        simulate(place, SimulateOptions(sessions=8000, tracks=TRACKS, seed=seed, world=world, store=True))
        store, config = Store(place), DataConfig()
        split = split_store(store, config)
        data = TrainingRows.of(store, split)
        scene = make_scene(store, split, config, EvaluationConfig(candidates=300, resamples=0), "test", "cpu")
        aware, plain = evaluate_scorers(scene, [FeedbackMarkov(data).fitted(data), Markov(data)], ("sampled",)).rows
        gains.append((aware.ranks <= cutoff) * 1.0 - (plain.ranks <= cutoff))
    gain = np.concatenate(gains)
    bootstrap = Bootstrap(np.arange(len(gain)), 1000, 0)
    return bootstrap.estimate({"gain": (gain, np.ones(len(gain)))})["gain"]


def test_in_no_reaction_knowing_the_last_feedback_does_not_raise_the_hit_rate_of_markov(tmp_path: Path) -> None:
    assert _gain_of_feedback(tmp_path, "no-reaction", 10).low <= 0


def test_in_full_knowing_the_last_feedback_raises_the_first_hit_of_markov(tmp_path: Path) -> None:
    assert _gain_of_feedback(tmp_path, "full", 1).low > 0


SEEDS = 20


def _shift(log: SimulatedLog) -> tuple[float, float]:
    """Return z, and the difference, of staying in the leaf after a skip rather than a listen.

    Mantel and Haenszel (1959), strata by last track: which track it was moves both, and that is no reaction.
    """
    session = np.repeat(np.arange(len(log.offsets) - 1), np.diff(log.offsets))
    row = np.flatnonzero(session[1:] == session[:-1])
    track, leaf = log.track[row], log.catalogue.leaf
    skipped, stays = skips.skipped(log.strength[row]), leaf[track] == leaf[log.track[row + 1]]
    size = len(log.track_ids)
    num, num_skipped, num_stays, both = (
        np.bincount(track, weight, size) for weight in (None, skipped, stays, skipped & stays)
    )
    many = num > 1
    num, num_skipped, num_stays, both = (c[many].astype(np.float64) for c in (num, num_skipped, num_stays, both))
    expected = num_skipped * num_stays / num
    variance = expected * (num - num_skipped) * (num - num_stays) / (num * (num - 1))
    return float((both - expected).sum() / np.sqrt(variance.sum())), stays[skipped].mean() - stays[~skipped].mean()


@pytest.mark.parametrize("world", ["null", "no-reaction"])
def test_where_skips_move_nothing_staying_does_not_depend_on_them_over_many_seeds(world: str) -> None:
    z = [_shift(simulate_log(SimulationConfig(4000, 2000, seed, world)))[0] for seed in range(100, 100 + SEEDS)]
    spread = np.std(z, ddof=1) / np.sqrt(SEEDS)
    assert abs(np.mean(z)) < stats.t.ppf(0.995, SEEDS - 1) * spread
    assert max(map(abs, z)) < 5


def test_in_full_sessions_stay_after_a_listen_and_leave_after_a_skip() -> None:
    z, difference = _shift(simulate_log(SimulationConfig(4000, 2000, 1, "full")))
    assert z < -50
    assert difference < -0.2
