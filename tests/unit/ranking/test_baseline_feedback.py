"""Baselines read the feedback that models read: the recipe's border of a skip, and nothing that `skip_share` hides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from segue.batches.split import DataConfig, Split, split_store
from segue.evaluation import make_scene
from segue.evaluation.listening import baseline_predictions
from segue.ranking import fit_baselines
from segue.recipes import EvaluationConfig
from segue.store import Store
from support.stores import tiny_store

CONFIGS = [
    DataConfig(max_len=8, skip_at_least=at_least, skip_share=share)
    for at_least, share in ((1, 0.0), (2, 0.0), (3, 0.0), (2, 0.15), (1, 0.2))
]
Counts = tuple[int, int]


def heard(store: Store, split: Split, config: DataConfig, rows: range | np.ndarray) -> Counts:
    """Return how many plays of known feedback `rows` hold, and how many were listened to, one row after another."""
    plays = listens = 0
    hidden = set(split.hidden.tolist())
    for row in rows:
        strength = int(store.strength[row])
        if row not in hidden and strength != 255:
            plays += 1
            listens += strength < config.skip_at_least
    return plays, listens


def rates(store: Store, split: Split, config: DataConfig) -> np.ndarray:
    """Return (listens + 2.5) / (plays + 5) of each table row."""
    rows = split.training_rows
    each = [heard(store, split, config, rows[store.tracks[rows] == track]) for track in range(store.num_tracks + 3)]
    return np.array([(listens + 2.5) / (plays + 5) for plays, listens in each])


@pytest.mark.parametrize("config", CONFIGS)
def test_the_listen_rate_ranks_by_the_feedback_that_models_read(tmp_path: Path, config: DataConfig) -> None:
    store = tiny_store(tmp_path / "store", sessions=60)
    split = split_store(store, config)
    assert bool(len(split.hidden)) == bool(config.skip_share)
    scene = make_scene(store, split, config, EvaluationConfig(), "test", "cpu")
    scorer = next(one for one in fit_baselines(store, split) if one.name == "listen-rate")
    scores = scorer.score_all(next(scene.contexts.blocks(4))[1]).numpy()[:, split.candidates]
    wanted = np.round(rates(store, split, config)[split.candidates] * 2**20)
    np.testing.assert_array_equal(np.floor(scores), np.tile(wanted, (len(scores), 1)))


@pytest.mark.parametrize("config", CONFIGS)
def test_p_listen_without_a_model_reads_the_feedback_that_models_read(tmp_path: Path, config: DataConfig) -> None:
    store = tiny_store(tmp_path / "store", sessions=60)
    split = split_store(store, config)
    scene = make_scene(store, split, config, EvaluationConfig(), "test", "cpu")
    found, cases = baseline_predictions(scene), scene.contexts.cases
    plays, listens = heard(store, split, config, split.training_rows)
    share = listens / plays
    np.testing.assert_allclose(found["share"], share)
    np.testing.assert_allclose(found["track-rate"], rates(store, split, config)[store.tracks[cases.target]])
    own = [heard(store, split, config, range(b, t)) for b, t in zip(cases.begin, cases.target, strict=True)]
    wanted = [(listens + 5 * share) / (plays + 5) for plays, listens in own]
    np.testing.assert_allclose(found["session-rate"], wanted)
