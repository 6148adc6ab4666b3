"""Targets that their listener has played before are told from new ones as a loop does it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from segue import columns
from segue.batches.split import DataConfig, split_store
from segue.evaluation.evaluation_scene import make_scene
from segue.evaluation.strata import target_groups
from segue.recipes import EvaluationConfig
from segue.store import Store
from support.stores import rewritten, tiny_store, values_of


@pytest.fixture
def store(tmp_path: Path) -> Store:
    tiny = tiny_store(tmp_path / "tiny", sessions=60, tracks=40)
    user, day = (np.arange(60) % 4).astype(np.int32), (17_800 + np.arange(60)[::-1] // 3).astype(np.int32)
    return rewritten(tmp_path / "store", tiny, values_of(tiny) | {columns.USER: user, columns.DATE: day})


@pytest.mark.parametrize("kind", ["chronological", "temporal"])
def test_replayed_and_new_are_those_of_a_loop(store: Store, kind: str) -> None:
    data = DataConfig(split=kind, max_len=3)  # type: ignore[arg-type]
    split = split_store(store, data)
    scene = make_scene(store, split, data, EvaluationConfig(), "test", "cpu")
    groups = target_groups(scene)
    user, day = np.asarray(store.side(columns.USER)), np.asarray(store.side(columns.DATE))
    tracks, offsets, cases = np.asarray(store.tracks), np.asarray(store.offsets), scene.contexts.cases
    expected = []
    for begin, row, s in zip(cases.begin, cases.target, cases.session, strict=True):
        before = [o for o in range(60) if user[o] == user[s] and (day[o], o) < (day[s], s)]
        heard = {int(t) for o in before for t in tracks[offsets[o] : offsets[o + 1]]}
        heard |= set(tracks[max(begin, row - 3) : row].tolist())
        expected.append(int(tracks[row]) in heard)
    assert groups["replayed"].tolist() == expected
    assert groups["new"].tolist() == [not one for one in expected]
    assert 0 < sum(expected) < len(expected)


def test_without_earlier_sessions_there_are_no_such_groups(store: Store) -> None:
    data = DataConfig(split="leave-last-two-out")
    scene = make_scene(store, split_store(store, data), data, EvaluationConfig(), "test", "cpu")
    assert not {"replayed", "new"} & target_groups(scene).keys()
