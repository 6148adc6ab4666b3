"""A search that was killed or interrupted goes on: nothing is trained twice, lost, or found otherwise."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch

from killed_tuning import POINTS, TRIALS, Noting, grid_folder, search
from segue.errors import FormatError, InputError, Interrupted
from segue.recipes import load_recipe
from segue.tuning import Trial, TuneFolder, search_space
from segue.tuning.optuna_search import OptunaSearch
from small_recipes import small_recipe
from stores import tiny_store

TESTS = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tiny_store(tmp_path_factory.mktemp("tuning") / "store").path


@pytest.fixture(scope="module")
def whole(store, tmp_path_factory):
    """Searches that were never interrupted, by kind: their trials without times."""
    folder = tmp_path_factory.mktemp("whole")
    return {kind: timeless(search(store, folder / kind, kind, Noting(folder / "log"))) for kind in TRIALS}


def timeless(result) -> list[dict]:
    """Return the trials of a result without their wall times."""
    return [{key: value for key, value in trial.items() if key != "seconds"} for trial in result["trials"]]


def batches(log: Path) -> dict[int, list[int]]:
    """Return the batches that were trained of each trial."""
    found: dict[int, list[int]] = {}
    before = None
    for line in log.read_text().splitlines():
        _, trial, done = line.split()
        if (trial, done) != before:  # an epoch's report repeats its last batch
            found.setdefault(int(trial), []).append(int(done))
        before = (trial, done)
    return found


def check_counts(logs: list[Path], trials: list[dict], redone: int) -> None:
    """Assert that each trial was trained once over all logs, but for `redone` batches after the last checkpoint."""
    found = [batches(log) for log in logs]
    for earlier, later in itertools.pairwise(found):
        assert max(earlier) <= min(later)  # a trial that has ended is never begun again
    counted = Counter((number, batch) for done in found for number in done for batch in done[number])
    wanted = {(trial["number"], batch) for trial in trials for batch in range(1, 3 * trial["epochs"] + 1)}
    assert set(counted) == wanted
    assert counted.total() - len(wanted) == redone


def test_sigkill_trains_nothing_twice_and_changes_nothing(store, whole, tmp_path):
    logs = [tmp_path / "first", tmp_path / "second"]
    paths = os.pathsep.join([str(TESTS), str(TESTS.parent / "src")])
    environment = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    words = [TESTS / "killed_tuning.py", store, tmp_path / "out", logs[0], "optuna", 2, 5]
    command = [sys.executable, *map(str, words)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert sorted(TuneFolder.open(tmp_path / "out").trials()) == [0, 1]
    result = search(store, tmp_path / "out", "optuna", Noting(logs[1]), resume=True)
    assert timeless(result) == whole["optuna"]
    check_counts(logs, result["trials"], redone=2)  # batches 4 and 5 came after the first epoch's checkpoint
    study = OptunaSearch(tmp_path / "out" / "optuna.jsonl", search_space(small_recipe()), 0)
    assert study.importance([Trial(**{**t, "curve": ()}) for t in result["trials"]]) == result["importance"]
    assert [path.name for path in (tmp_path / "out" / "runs").iterdir()] == [f"{result['best']['number']:05d}"]


def test_the_searches_hold_what_these_tests_need(whole):
    assert [trial["parameters"] for trial in whole["grid"]] == POINTS
    states = {trial["state"] for trial in whole["optuna"]}
    assert len(whole["optuna"]) == TRIALS["optuna"]
    assert states <= {"finished", "pruned"}
    own = {d.name: d.own for d in search_space(load_recipe("paper-causal-s-plus-track"))}
    assert whole["optuna"][0]["parameters"] == pytest.approx(own)


def test_ctrl_c_says_how_to_go_on_a_crash_repeats_and_a_finished_search_stays_as_it_is(store, whole, tmp_path):
    out, logs = tmp_path / "out", [tmp_path / "first", tmp_path / "second", tmp_path / "third", tmp_path / "fourth"]
    with pytest.raises(Interrupted, match=r"after 1 of 3 trials.*--resume") as caught:
        search(store, out, "grid", Noting(logs[0], ("trial 1", 4), KeyboardInterrupt()))
    assert caught.value.exit_code == 130
    with pytest.raises(MemoryError):  # before the first checkpoint of trial 2
        search(store, out, "grid", Noting(logs[1], ("trial 2", 2), MemoryError()), resume=True)
    result = search(store, out, "grid", Noting(logs[2]), resume=True)
    assert timeless(result) == whole["grid"]
    check_counts(logs[:3], result["trials"], redone=2)
    before = (out / "result.json").read_bytes()
    logs[3].touch()
    search(store, out, "grid", Noting(logs[3]), resume=True)
    assert batches(logs[3]) == {}
    assert (out / "result.json").read_bytes() == before


def test_runs_of_ended_trials_go_but_the_best_and_those_at_work_stay(store, tmp_path):
    folder = grid_folder(store, tmp_path / "out")
    for number, value in enumerate((0.2, 0.4, 0.3)):
        folder.run(number).mkdir()
        folder.keep(told(number, value, {}))
    folder.run(3).mkdir()
    begun = tmp_path / "out" / "runs" / ".00004.x.part"  # another process makes it, and will rename it
    begun.mkdir()
    folder.drop_runs()
    left = {path.name for path in begun.parent.iterdir()}
    assert left == {"00001", "00003", begun.name}
    folder.sweep()
    assert {path.name for path in begun.parent.iterdir()} == left - {begun.name}


def test_one_process_at_a_time(store, tmp_path):
    folder = grid_folder(store, tmp_path / "out")
    with folder.locked(), pytest.raises(InputError, match="at work"), TuneFolder.open(tmp_path / "out").locked():
        pass
    with folder.locked():
        pass


def journal(path: Path, seed: int = 0) -> OptunaSearch:
    return OptunaSearch(path / "optuna.jsonl", search_space(load_recipe("paper-causal-s-plus-track")), seed)


def told(number: int, value: float, point: dict[str, float], state="finished"):
    return Trial(number, point, state, value, 5, 5, True, 1.0)


def test_a_journal_opened_again_proposes_what_it_would_have(tmp_path):
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    once, points = journal(tmp_path / "one"), []
    for number in range(14):  # past the random ones
        points.append(once.propose(number))
        once.end(told(number, 0.1 * (number % 4), points[-1]))
    for number in range(14):
        again = journal(tmp_path / "other")
        assert again.propose(number) == points[number]
        again = journal(tmp_path / "other")  # killed while the trial ran
        assert again.propose(number) == points[number]
        again.end(told(number, 0.1 * (number % 4), points[number]))
        again.end(told(number, 0.9, points[number]))  # killed between ledger and journal: heard twice, counted once
    assert len({tuple(point.values()) for point in points}) == 14
    assert journal(tmp_path / "other").importance([]) == journal(tmp_path / "one").importance([])


def test_a_torn_journal_is_mended_and_a_stale_lock_taken_away(tmp_path):
    search = journal(tmp_path)
    point = search.propose(0)
    search.end(told(0, 0.5, point))
    second = search.propose(1)
    path = tmp_path / "optuna.jsonl"
    path.write_bytes(path.read_bytes() + b'{"op_code": 4, "work')
    os.symlink(path, tmp_path / "optuna.jsonl.lock")
    again = journal(tmp_path)
    assert again.propose(1) == second
    again.end(told(1, 0.4, second))
    assert journal(tmp_path).propose(2)
    path.write_text("no journal\n" * 2)
    with pytest.raises(FormatError, match="no journal"):
        journal(tmp_path)


def test_the_median_prunes_late_and_as_it_did_before_a_kill(tmp_path):
    search = journal(tmp_path)
    for number in range(6):
        point = search.propose(number)
        for epoch in range(1, 6):
            assert not search.report(number, epoch, 0.1 * epoch + 0.01 * number)
        search.end(told(number, 0.5 + 0.01 * number, point))
    search.propose(6)
    answers = [search.report(6, epoch, 0.01) for epoch in range(1, 5)]
    assert answers == [False, False, True, True]  # never before three epochs
    again = journal(tmp_path)
    again.propose(6)
    assert [again.report(6, epoch, 0.01) for epoch in range(1, 5)] == [False, False, False, True]
    good = journal(tmp_path)
    good.end(told(6, 0.01, {}, "pruned"))
    good.propose(7)
    assert not any(good.report(7, epoch, 0.2 * epoch) for epoch in range(1, 6))
