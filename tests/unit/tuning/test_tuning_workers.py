"""Trials in processes of their own: judged by one process, kept by it, and stopped when one of them fails."""

from __future__ import annotations

import pytest

import side_by_side
from segue.errors import InputError, SegueError
from segue.progress import silent
from segue.tuning import Places, Task
from segue.tuning.workers import train_side_by_side
from small_recipes import small_recipe


def tasks(folder, *fates: int):
    return iter([Task(n, {"fate": float(fate)}, small_recipe(), folder / str(n)) for n, fate in enumerate(fates)])


def test_trials_are_judged_and_kept_by_one_process_and_where_one_dies_the_others_save(tmp_path):
    kept, reported = [], []

    def report(number: int, epoch: int, value: float) -> bool:
        reported.append((number, epoch, value))
        return number == 2 and epoch == 2

    def keep(trial) -> None:
        kept.append(trial)
        (tmp_path / f"{trial.number}.kept").touch()

    fates = tasks(tmp_path, *[side_by_side.TRAINS] * 3, side_by_side.FAILS, side_by_side.DIES, side_by_side.WAITS, 0)
    with pytest.raises(SegueError, match=r"trial 4 died \(exit code 3\).*--resume"):
        train_side_by_side(side_by_side.train, fates, Places(2), report, keep, silent)
    kept.sort(key=lambda trial: trial.number)
    ends = [(trial.number, trial.state, trial.epochs) for trial in kept]
    assert ends == [(0, "finished", 4), (1, "finished", 4), (2, "pruned", 2), (3, "failed", 1)]
    assert (kept[3].value, kept[3].why) == (None, "not a number")
    assert all(trial.seconds == 2.0 for trial in kept)
    wanted = [(n, e, 0.1 * e + 0.01 * n) for n, last in ((0, 4), (1, 4), (2, 2)) for e in range(1, last + 1)]
    assert sorted(reported) == wanted
    assert (tmp_path / "5.saved").exists()
    assert not (tmp_path / "6.begun").exists()
    begun = [(tmp_path / f"{n}.begun").read_text().split() for n in range(6)]
    assert all(len(processes) == 1 for processes in begun)
    assert len({processes[0] for processes in begun}) == 2


def test_there_is_at_least_one_place():
    with pytest.raises(InputError, match="at least 1"):
        Places(0)
