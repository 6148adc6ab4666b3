"""The index by cells: with all cells looked into it is the scan, with few it finds less, and never what it may not."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from segue.errors import FormatError, InputError
from segue.export.table_forms import make_cells
from segue.exported import open_export
from segue.exported.folder import file_facts
from segue.serving import live_model
from segue.serving.kept_states import Session
from segue.serving.live_model import Asked, Filters, LiveModel
from segue.serving.models import Models, ServedModel
from support.served import small_export

SESSIONS = (Session((), ()), Session((5,), (3,)), Session((5, 9, 9, 30), (0, 3, 4, 1)))
ALL = 10_000


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    changes = {"training__epochs": 8, "training__learning_rate": 0.02}  # see test_live_model
    return small_export(tmp_path_factory.mktemp("cells"), tracks=300, index=True, **changes)


def _rows(model: LiveModel, asked: Asked) -> list[int]:
    (answer,) = model.next_tracks([asked])
    return [each.row for each in answer.suggestions]


@pytest.mark.parametrize("session", SESSIONS)
def test_all_cells_are_the_scan(export: Path, session: Session) -> None:
    opened = open_export(export)
    exact, by_cells = LiveModel(opened, threads=1), LiveModel(opened, threads=1, probes=ALL)
    codes = opened.artist_code
    assert codes is not None
    best = _rows(exact, Asked(session, 30))
    for filters in (
        Filters(),
        Filters(blocked=np.array(best[:9], np.int32)),
        Filters(allowed=np.array(best[5:20], np.int32)),
        Filters(artists=codes[best[:2]]),
        Filters(per_artist=1),
    ):
        asked = Asked(session, 20, filters)
        assert _rows(by_cells, asked) == _rows(exact, asked)
    several = [Asked(each, 10, explain=True) for each in SESSIONS]  # log p is over what was looked at, which may differ
    found, wanted = by_cells.next_tracks(several), exact.next_tracks(several)
    for answer, other in zip(found, wanted, strict=True):
        assert [(each.row, each.score, each.followed, each.near) for each in answer.suggestions] == [
            (each.row, each.score, each.followed, each.near) for each in other.suggestions
        ]


@pytest.mark.parametrize("session", SESSIONS)
def test_one_cell_gives_as_many_and_none_that_may_not(export: Path, session: Session) -> None:
    opened = open_export(export)
    exact, model = LiveModel(opened, threads=1), LiveModel(opened, threads=1, probes=1)
    blocked = np.array(_rows(exact, Asked(session, 5)), np.int32)
    for k in (1, 10, 250):  # more than a cell holds: all that the filters leave are looked at
        found = _rows(model, Asked(session, k, Filters(blocked=blocked)))
        assert len(found) == len(set(found)) == min(k, int(model.is_candidate.sum()) - len(blocked))
        assert model.is_candidate[found].all()
        assert not set(found) & set(blocked.tolist())


def test_a_candidate_lies_in_the_cell_whose_centre_is_nearest(export: Path) -> None:
    opened = open_export(export)
    cells = opened.cells
    assert cells is not None
    rows = np.flatnonzero(cells.of_row >= 0)
    assert set(rows.tolist()) == set(opened.scan_order.tolist()) - {0}
    apart = opened.table[rows].astype(np.float64)[:, None, :] - cells.centres[None]
    nearest = (apart**2).sum(2).argmin(1)
    assert (nearest == cells.of_row[rows]).mean() > 0.99  # but for ties in the last bit
    assert len(set(cells.of_row[rows].tolist())) > 1


def test_cells_are_the_same_each_time(export: Path) -> None:
    opened = open_export(export)
    candidates = np.sort(opened.scan_order[opened.scan_order != 0])
    once, again = (make_cells(np.asarray(opened.table), candidates) for _ in range(2))
    np.testing.assert_array_equal(once[0], again[0])
    np.testing.assert_array_equal(once[1], again[1])


def test_cells_that_do_not_fit_the_candidates_are_refused(export: Path, tmp_path: Path) -> None:
    for place, value in ((0, 0), (5, -1), (6, 9999)):
        spoilt = tmp_path / str(place)
        spoilt.mkdir()
        for path in export.rglob("*"):
            target = spoilt / path.relative_to(export)
            target.mkdir(exist_ok=True) if path.is_dir() else target.write_bytes(path.read_bytes())
        cell = np.load(spoilt / "index" / "cell.npy")
        cell[place] = value
        np.save(spoilt / "index" / "cell.npy", cell)
        manifest = json.loads((spoilt / "manifest.json").read_text())
        facts = file_facts(spoilt / "index" / "cell.npy")
        manifest["files"]["index/cell.npy"] = {"bytes": facts.bytes, "sha256": facts.sha256}
        (spoilt / "manifest.json").write_text(json.dumps(manifest))
        with pytest.raises(FormatError, match="does not fit the candidates"):
            open_export(spoilt)


def test_what_an_index_needs_is_said(export: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = np.zeros((10, 4), np.float32)
    with pytest.raises(InputError, match="leave --index out"):
        make_cells(table, np.arange(3, 10))
    with pytest.raises(InputError, match="segue export RUN DIR --index"):
        Models([small_export(tmp_path)], probes=4)
    opened = open_export(export)
    monkeypatch.setitem(sys.modules, "faiss", None)
    for use in (lambda: make_cells(table, np.arange(3, 10)), lambda: LiveModel(opened, probes=4)):
        with pytest.raises(InputError, match=r"pip install 'segue\[index\]'"):
            use()


@pytest.mark.parametrize("probes", [0, 1])
def test_what_takes_long_keeps_nobody_waiting(export: Path, probes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Filters may leave so few that all candidates are scored, with an index too: in a thread of its own."""
    opened = open_export(export)
    exact, session = LiveModel(opened, threads=1), SESSIONS[2]
    every = np.array(_rows(exact, Asked(session, 300)), np.int32)
    asked = {
        "little": Asked(session, 5),
        "much": Asked(session, 200),
        "allowed": Asked(session, 5, Filters(allowed=every[10:70])),
    }
    wanted = {name: _rows(exact, one) for name, one in asked.items()}
    monkeypatch.setattr(live_model, "SMALL", 50)
    with ThreadPoolExecutor(1, "beside") as worker:
        model = ServedModel(LiveModel(opened, probes=probes), worker)
        assert model.live.is_light == (probes > 0)
        where: list[str] = []
        answered = LiveModel._best
        monkeypatch.setattr(
            LiveModel, "_best", lambda *given: where.append(threading.current_thread().name) or answered(*given)
        )
        for name, one in asked.items():
            where.clear()
            answer = asyncio.run(model.next_tracks(one))
            found = [each.row for each in answer.suggestions]
            assert found == wanted[name] or (probes, name) == (1, "little")
            main = [thread for thread in where if not thread.startswith("beside")]
            assert bool(main) == (probes > 0)  # what takes long is begun there, and left
            assert len(where) - len(main) == (probes == 0 or name != "little")
