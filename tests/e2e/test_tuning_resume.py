"""A search that was killed or interrupted goes on: no trial is made twice or lost, and the results are the same."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from segue.errors import FormatError, InputError, Interrupted
from segue.files import read_json
from segue.progress import Step
from segue.recipes import load_recipe
from segue.studies.trials import trial_folder
from segue.studies.trials.optuna_search import OptunaSearch
from segue.studies.trials.space import search_space
from segue.studies.trials.trial import Outcome, Trial, Tried
from segue.studies.trials.trial_folder import TrialFolder
from segue.studies.trials.tuning import Tuning
from support.killed_tuning import CHANGES, POINTS, RECIPE, TRIALS, grid_folder, search
from support.small_recipes import small_recipe
from support.stores import tiny_store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tiny_store(tmp_path_factory.mktemp("tuning") / "store").path


@pytest.fixture(scope="module")
def whole(store, tmp_path_factory):
    """Searches that were never interrupted, by kind: their trials without times."""
    folder = tmp_path_factory.mktemp("whole")
    return {kind: timeless(search(store, folder / kind, kind)) for kind in TRIALS}


def timeless(result) -> list[dict]:
    """Return the trials of a result without their wall times."""
    return [{key: value for key, value in trial.items() if key != "seconds"} for trial in result["trials"]]


def times(out: Path) -> dict[Path, int]:
    """Return when the files of trials that have ended were written."""
    return {path: path.stat().st_mtime_ns for path in out.glob("trials/*/trial.json")}


def test_sigkill_makes_no_trial_twice_and_changes_nothing(store, whole, tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, "-m", "segue", "tune", store, out, "--trials", str(TRIALS["optuna"]), "--device", "cpu"]
    command += [
        "--precision",
        "fp32",
        "--recipe",
        RECIPE,
        *(word for k, v in CHANGES.items() for word in ("--set", f"{k}={v}")),
    ]
    begun = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    until = time.monotonic() + 90
    while not (out / "trials" / "00001").is_dir() and begun.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    begun.send_signal(signal.SIGKILL)
    begun.communicate()
    with TrialFolder.open(out, "tune").locked():  # what the killed command left at work has ended
        before = times(out)
    assert 2 <= len(before) < TRIALS["optuna"]
    result = search(store, out, "optuna", resume=True)
    assert timeless(result) == whole["optuna"]
    assert before.items() <= times(out).items()
    study = OptunaSearch(out / "optuna.jsonl", search_space(small_recipe()), 0)
    assert study.importance(tried_of(out)) == result["importance"]
    assert [path.name for path in (out / "runs").iterdir()] == [f"{result['best']['number']:05d}"]


def tried_of(out: Path) -> list[Tried]:
    """Return the trials of a search's folder."""
    folder, ended = TrialFolder(out), sorted(path.parent.name for path in times(out))
    return [Tried(int(name), trial.settings, outcome) for name in ended for trial, outcome in [folder.trial(name)]]


def test_the_searches_hold_what_these_tests_need(whole):
    assert [trial["parameters"] for trial in whole["grid"]] == POINTS
    states = {trial["state"] for trial in whole["optuna"]}
    assert len(whole["optuna"]) == TRIALS["optuna"]
    assert states <= {"finished", "pruned"}
    own = {d.name: d.default for d in search_space(load_recipe(RECIPE))}
    assert whole["optuna"][0]["parameters"] == pytest.approx(own)


def raising(error: BaseException, ended: int):
    """Return a progress that raises once so many trials have ended."""

    def progress(step: Step) -> None:
        if step.done == ended:
            raise error

    return progress


def test_ctrl_c_says_how_to_go_on_a_crash_repeats_and_a_finished_search_stays_as_it_is(store, whole, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(Interrupted, match=r"after 1 of 3 trials.*--resume") as caught:
        search(store, out, "grid", progress=raising(KeyboardInterrupt(), 1))
    assert caught.value.exit_code == 130
    first = times(out)
    assert len(first) == 1
    with pytest.raises(MemoryError):
        search(store, out, "grid", resume=True, progress=raising(MemoryError(), 2))
    result = search(store, out, "grid", resume=True)
    assert timeless(result) == whole["grid"]
    assert first.items() <= times(out).items()
    before, kept = times(out), (out / "result.json").read_bytes()
    search(store, out, "grid", resume=True)
    assert times(out) == before
    assert (out / "result.json").read_bytes() == kept


def test_runs_of_ended_trials_go_but_the_best_and_those_at_work_stay(store, tmp_path):
    folder = grid_folder(store, tmp_path / "out")
    search = OptunaSearch(tmp_path / "journal", search_space(small_recipe()), 0)
    for number, value in enumerate((0.2, 0.4, 0.3)):
        name = f"{number:05d}"
        folder.run(name).mkdir(parents=True)
        ended = ending(number, value, search.propose(number))
        folder.finish(Trial(name, {}, dict(ended.parameters)), ended.outcome)
    folder.run("00003").mkdir()
    begun = tmp_path / "out" / "runs" / ".00004.x.part"  # another process makes it, and will rename it
    begun.mkdir()
    Tuning(folder, search, 4, lambda _: small_recipe(), keep_weights=False)
    left = {path.name for path in begun.parent.iterdir()}
    assert left == {"00001", "00003", begun.name}
    folder.sweep()
    assert {path.name for path in begun.parent.iterdir()} == left - {begun.name}


def test_one_process_at_a_time(store, tmp_path, monkeypatch):
    monkeypatch.setattr(trial_folder, "_PATIENCE_S", 0.2)
    folder = grid_folder(store, tmp_path / "out")
    again = TrialFolder.open(tmp_path / "out", "tune")
    with folder.locked(), pytest.raises(InputError, match="at work"), again.locked():
        pass
    with folder.locked():
        pass


def test_a_damaged_trial_is_named(store, tmp_path):
    folder = grid_folder(store, tmp_path / "out")
    folder.finish(Trial("00000", {}), Outcome())
    path = tmp_path / "out" / "trials" / "00000" / "trial.json"
    path.write_text(path.read_text().replace('"epochs"', '"epoch"'))
    with pytest.raises(FormatError, match=r"trial\.json is damaged .*epoch.* trained again"):
        folder.trial("00000")
    marker = tmp_path / "out" / "tune.json"
    marker.write_text(marker.read_text().replace('"tune_version": 2', '"tune_version": 1'))
    with pytest.raises(FormatError, match="tune_version 1"):
        TrialFolder.open(tmp_path / "out", "tune")
    assert read_json(marker)["tune_version"] == 1


def journal(path: Path, seed: int = 0) -> OptunaSearch:
    return OptunaSearch(path / "optuna.jsonl", search_space(load_recipe(RECIPE)), seed)


def ending(number: int, value: float, point: dict[str, float], state="finished") -> Tried:
    return Tried(number, point, Outcome(state, {"ndcg@20": value}, 5, 5, True, 1.0))


def test_a_journal_opened_again_proposes_what_it_would_have(tmp_path):
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    once, points = journal(tmp_path / "one"), []
    for number in range(14):  # past the random ones
        points.append(once.propose(number))
        once.end(ending(number, 0.1 * (number % 4), points[-1]))
    for number in range(14):
        again = journal(tmp_path / "other")
        assert again.propose(number) == points[number]
        again = journal(tmp_path / "other")  # killed while the trial ran
        assert again.propose(number) == points[number]
        again.end(ending(number, 0.1 * (number % 4), points[number]))
        again.end(ending(number, 0.9, points[number]))  # killed between ledger and journal: told twice, counted once
    assert len({tuple(point.values()) for point in points}) == 14
    assert journal(tmp_path / "other").importance([]) == journal(tmp_path / "one").importance([])


@pytest.mark.parametrize("missing", [1, 2, 3, 4])
def test_a_point_killed_between_two_of_its_values_is_the_one_it_would_have_been(tmp_path, missing):
    space = search_space(small_recipe())
    whole = OptunaSearch(tmp_path / "whole", space, 3).propose(0)
    lines = (tmp_path / "whole").read_bytes().splitlines(keepends=True)
    (tmp_path / "killed").write_bytes(b"".join(lines[: len(lines) - min(missing, len(space))]))
    assert OptunaSearch(tmp_path / "killed", space, 3).propose(0) == whole
    points = [OptunaSearch(tmp_path / "whole", space, 3).propose(number) for number in (1, 2)]
    lines = (tmp_path / "whole").read_bytes().splitlines(keepends=True)
    (tmp_path / "killed").write_bytes(b"".join(lines[: len(lines) - min(missing, len(space))]))
    assert OptunaSearch(tmp_path / "killed", space, 3).propose(2) == points[1]


def test_a_torn_journal_is_mended_and_a_stale_lock_taken_away(tmp_path):
    search = journal(tmp_path)
    point = search.propose(0)
    search.end(ending(0, 0.5, point))
    second = search.propose(1)
    path = tmp_path / "optuna.jsonl"
    path.write_bytes(path.read_bytes() + b'{"op_code": 4, "work')
    os.symlink(path, tmp_path / "optuna.jsonl.lock")
    again = journal(tmp_path)
    assert again.propose(1) == second
    again.end(ending(1, 0.4, second))
    assert journal(tmp_path).propose(2)
    path.write_text("no journal\n" * 2)
    with pytest.raises(FormatError, match="not an Optuna journal"):
        journal(tmp_path)


def test_the_median_prunes_late_and_as_it_did_before_a_kill(tmp_path):
    search = journal(tmp_path)
    for number in range(6):
        point = search.propose(number)
        for epoch in range(1, 6):
            assert not search.report(number, epoch, 0.1 * epoch + 0.01 * number)
        search.end(ending(number, 0.5 + 0.01 * number, point))
    search.propose(6)
    answers = [search.report(6, epoch, 0.01) for epoch in range(1, 5)]
    assert answers == [False, False, True, True]  # never before three epochs
    again = journal(tmp_path)
    again.propose(6)
    assert [again.report(6, epoch, 0.01) for epoch in range(1, 5)] == [False, False, False, True]
    good = journal(tmp_path)
    good.end(ending(6, 0.01, {}, "pruned"))
    good.propose(7)
    assert not any(good.report(7, epoch, 0.2 * epoch) for epoch in range(1, 6))
