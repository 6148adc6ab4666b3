"""Scores for a target never depend on the target's own row: track, strength and every side column of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from segue import columns
from segue.batches.split import Cases, DataConfig, Split, SplitName, split_store
from segue.encoders import build_encoder
from segue.encoders.causal import CausalConfig
from segue.encoders.cloze import ClozeConfig
from segue.evaluation import make_scene
from segue.ranking import ModelScorer, Scorer, fit_baselines
from segue.recipes import EvaluationConfig
from segue.session_batch import SessionBatch
from segue.store import Store
from segue.store.manifest import SideColumn
from stores import SIDE, rewritten, tiny_store, values_of

SCORERS = ("causal", "cloze", "popularity", "repeat-last", "markov", "v-sknn", "listen-rate")
CONTEXTS = ("catalog", "charts", "radio")
EVENT_SIDE = (
    SideColumn(columns.CONTEXT_TYPE, "uint8", categories=CONTEXTS),
    SideColumn(columns.SHUFFLE, "bool"),
    SideColumn(columns.HOUR, "uint8"),
    SideColumn(columns.PREMIUM, "bool"),
    SideColumn(columns.TIED, "bool"),
    SideColumn(columns.AT, "int64"),
    SideColumn("seeks_forward", "int16"),
    SideColumn(columns.ORACLE_P_LISTEN, "float32"),
    SideColumn(columns.ORACLE_P_LISTEN_COMMON, "float32"),
)
"""Event columns of every kind that the sources and the simulator write, beside `inferred`."""
ARMS = [("leave-last-two-out", "training"), ("leave-last-two-out", "transductive"), ("temporal", "training")]


def drawn(column: SideColumn, size: int, generator: np.random.Generator) -> NDArray[np.generic]:
    """Return random values of a column's dtype."""
    if column.dtype == "float32":
        return generator.random(size, np.float32)
    highest = len(column.categories) or {"bool": 2, "uint8": 24}.get(column.dtype, 30_000)
    return generator.integers(0, highest, size).astype(column.dtype)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A tiny store with event columns of every kind."""
    folder = tmp_path_factory.mktemp("leakage")
    tiny = tiny_store(folder / "tiny", sessions=60)
    generator = np.random.default_rng(1)
    values = values_of(tiny) | {column.name: drawn(column, tiny.num_rows, generator) for column in EVENT_SIDE}
    return rewritten(folder / "store", tiny, values, SIDE + EVENT_SIDE)


def randomised(store: Store, path: Path, cases: Cases, split: Split) -> Store:
    """Return `store` with every column of the targets' rows, and of what follows them, drawn anew.

    Tracks are drawn among those with a training row and change only where the old one has one too, so that no
    candidate comes or goes in a transductive vocabulary.
    """
    generator = np.random.default_rng(2)
    rows = np.concatenate(
        [np.arange(t, store.offsets[s + 1]) for s, t in zip(cases.session, cases.target, strict=True)]
    )
    values = values_of(store)
    for column in store.manifest.side:
        if column.level == "event":
            values[column.name][rows] = drawn(column, len(rows), generator)
    values["strength"][rows] = generator.choice(np.array([0, 1, 2, 3, 255], np.uint8), len(rows))
    trained = np.flatnonzero(split.training_counts)
    old = values["tracks"][rows]
    new = generator.choice(trained, len(rows)).astype(np.int32)
    values["tracks"][rows] = np.where(np.isin(old, trained), new, old)
    return rewritten(path, store, values)


def scorers(store: Store, split: Split) -> Iterator[tuple[str, Scorer]]:
    """Yield both encoders, alike each time, and every baseline fitted to `split`."""
    for name, config in (("causal", CausalConfig(width=16, heads=2)), ("cloze", ClozeConfig(width=16, heads=2))):
        generator = torch.Generator().manual_seed(3)
        encoder = build_encoder(config, store.num_tracks, 8, generator=generator)
        with torch.no_grad():  # as initialised, states hardly differ; so scaled, each input counts
            encoder.table.weight.mul_(50)
        yield name, ModelScorer(encoder, split.candidates)
    for baseline in fit_baselines(store, split):
        yield baseline.name, baseline


def asked(store: Store, data: DataConfig, which: SplitName, later: int = 0) -> tuple[Split, SessionBatch]:
    """Return the split and the contexts of its targets; `later` > 0 lets a context see so many rows too many."""
    split = split_store(store, data)
    scene = make_scene(store, split, data, EvaluationConfig(candidates=5), which, "cpu")
    cases = scene.held.cases
    moved = Cases(cases.session, cases.begin, cases.target + later)
    return split, scene.held.data.context_batch(moved, np.arange(len(cases)), data.max_len)


@pytest.mark.parametrize("which", ["test", "validation"])
@pytest.mark.parametrize(("kind", "vocabulary"), ARMS)
def test_scores_keep_their_bytes_when_the_target_row_is_randomised(
    store: Store, tmp_path: Path, which: SplitName, kind: str, vocabulary: str
) -> None:
    data = DataConfig(split=kind, vocabulary=vocabulary, max_len=8)  # type: ignore[arg-type]
    before, contexts = asked(store, data, which)
    changed = randomised(store, tmp_path / "changed", before.cases[which], before)
    after, changed_contexts = asked(changed, data, which)
    assert set(SCORERS) == {name for name, _ in scorers(store, before)}
    assert before.candidates.tobytes() == after.candidates.tobytes()
    for (name, one), (_, other) in zip(scorers(store, before), scorers(changed, after), strict=True):
        first, second = one.score_all(contexts), other.score_all(changed_contexts)
        assert first.numpy().tobytes() == second.numpy().tobytes(), name
    target = before.cases[which].target
    assert not np.array_equal(store.tracks[target], changed.tracks[target])
    for column in (column for column in store.manifest.side if column.level == "event"):
        assert not np.array_equal(store.side(column.name)[target], changed.side(column.name)[target]), column.name


@pytest.mark.parametrize("name", ["causal", "cloze", "repeat-last", "markov", "v-sknn"])
def test_a_context_that_holds_its_target_would_be_noticed(store: Store, tmp_path: Path, name: str) -> None:
    data = DataConfig(max_len=8)
    split, contexts = asked(store, data, "test", later=1)
    changed = randomised(store, tmp_path / "changed", split.cases["test"], split)
    scorer = dict(scorers(store, split))[name]
    _, changed_contexts = asked(changed, data, "test", later=1)
    assert not torch.equal(scorer.score_all(contexts), scorer.score_all(changed_contexts))
