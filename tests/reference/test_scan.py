"""The scan in 4 bits against float64 products with all rows: many states and few, padding, states of nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from segue.export.table_forms import in_four_bits, scan_order
from segue.exported import open_export
from segue.exported.folder import BLOCK, ExportFolder
from segue.serving.track_search import TOGETHER, Scan
from support.served import small_export

SIZES = (1, TOGETHER, 2 * TOGETHER + 1)
"""Numbers of states: in one product, and in several."""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> ExportFolder:
    return open_export(small_export(Path(tmp_path_factory.mktemp("scan"))))


def _export(small: ExportFolder, tracks: int, width: int, seed: int = 0) -> ExportFolder:
    """Return an export whose rows are random, but for what a scan does not read."""
    generator = np.random.default_rng(seed)
    table = generator.normal(size=(tracks + 3, width)) * generator.gamma(4.0, size=(tracks + 3, 1))
    rows = table.astype(np.float32)
    order = scan_order(np.arange(3, tracks + 3, dtype=np.int32))
    halves, step = in_four_bits(rows, order)
    return replace(small, table=rows, scan_order=order, scan_int4=halves, scan_step=step)


def _states(num: int, width: int) -> np.ndarray:
    return np.random.default_rng(num).normal(size=(num, width)).astype(np.float32)


@pytest.mark.parametrize("num", SIZES)
@pytest.mark.parametrize(("tracks", "width"), [(3000, 64), (2000, 20), (BLOCK, 300)])
def test_the_best_are_found(small: ExportFolder, num: int, tracks: int, width: int) -> None:
    export, states = _export(small, tracks, width), _states(num, width)
    found = Scan(export, 1).around(states, 40)
    assert len(found) == num
    exact = states.astype(np.float64) @ export.table[3:].T
    for scanned, scores in zip(found, exact, strict=True):
        assert 40 <= len(scanned.rows) == len(set(scanned.rows.tolist())) <= 40 + -tracks % BLOCK
        best = set((np.argsort(-scores)[:20] + 3).tolist())
        assert len(best & set(scanned.rows.tolist())) >= 19
        about = np.corrcoef(scanned.scores, scores[scanned.rows - 3])[0, 1]
        assert about > 0.9
        deepest = scanned.best(20)
        assert set(deepest.scores.tolist()) == set(np.sort(scanned.scores)[-20:].tolist())


@pytest.mark.parametrize("num", SIZES)
@pytest.mark.parametrize("tracks", [1, BLOCK, 5 * BLOCK - 7])
def test_whoever_asks_for_all_gets_all(small: ExportFolder, num: int, tracks: int) -> None:
    """Also where there are fewer blocks than tracks are asked for."""
    for scanned in Scan(_export(small, tracks, 16), 1).around(_states(num, 16), tracks):
        assert sorted(scanned.rows.tolist()) == list(range(3, tracks + 3))


def test_padding_takes_nobodys_place(small: ExportFolder) -> None:
    """Its rows are zeros: better than all tracks, where all are worse than nothing."""
    export = _export(small, BLOCK + 1, 16)
    state = -100.0 * np.ones((1, 16), np.float32)
    export = replace(export, table=np.abs(export.table))
    halves, step = in_four_bits(export.table, export.scan_order)
    (scanned,) = Scan(replace(export, scan_int4=halves, scan_step=step), 1).around(state, 30)
    assert len(scanned.rows) >= 30
    assert (scanned.rows > 0).all()
    assert (scanned.scores < 0).all()


def test_a_depth_reaches_over_blocks(small: ExportFolder) -> None:
    """The best by their scores in 4 bits, one by one, and not only the best of each block."""
    export = _export(small, 20 * BLOCK, 16)
    whole = Scan(export, 1)
    for num in (1, TOGETHER + 1):
        states = _states(num, 16)
        every = whole.around(states, 20 * BLOCK)
        for depth in (1, 7, 19, 20, 21, 500):
            for some, all_of_them in zip(whole.around(states, depth), every, strict=True):
                assert np.sort(some.scores).tolist() == np.sort(all_of_them.scores)[-depth:].tolist()


@pytest.mark.parametrize("num", SIZES)
def test_a_state_of_no_numbers_harms_no_other(small: ExportFolder, num: int) -> None:
    export, states = _export(small, 500, 16), _states(num + 2, 16)
    wanted = Scan(export, 1).around(states, 500)
    states[0], states[-1, 3] = 0.0, np.nan
    found = Scan(export, 1).around(states, 500)
    for place in (0, -1):
        assert set(found[place].scores.tolist()) == {0.0}
    for scanned, other in zip(found[1:-1], wanted[1:-1], strict=True):
        assert dict(zip(scanned.rows.tolist(), scanned.scores.tolist(), strict=True)) == dict(
            zip(other.rows.tolist(), other.scores.tolist(), strict=True)
        )


def test_no_candidates_no_tracks(small: ExportFolder) -> None:
    nothing = replace(small, scan_order=np.zeros(0, np.int32))
    assert [len(scanned.rows) for scanned in Scan(nothing, 1).around(_states(3, 16), 10)] == [0, 0, 0]
