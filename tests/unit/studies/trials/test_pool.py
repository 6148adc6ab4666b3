"""Trials in processes of their own: one process judges them, and stops all when one of them fails."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection
from pathlib import Path

import pytest

from segue.errors import InputError, SegueError
from segue.progress import silent
from segue.studies.trials.pool import Devices, Pool, Schedule
from segue.studies.trials.trial import Trial
from support import side_by_side

COMMAND = (sys.executable, side_by_side.__file__)


class Fates(Schedule):
    """Trials 0, 1, ... with a fate each; trial 2 ends after its second epoch."""

    def __init__(self, home: Path, *fates: int) -> None:
        self.home, self.fates, self.ended, self.reported = home, fates, set[str](), []

    def next_trial(self, running: Collection[str]) -> Trial | None:
        waiting = (n for n in range(len(self.fates)) if str(n) not in self.ended and str(n) not in running)
        return next((Trial(str(n), {}, {"fate": self.fates[n]}) for n in waiting), None)

    def report(self, name: str, epoch: int, value: float) -> bool:
        self.reported.append((int(name), epoch, value))
        return (name, epoch) == ("2", 2)

    def end(self, name: str) -> None:
        self.ended.add(name)
        (self.home / f"{name}.ended").touch()

    @property
    def counts(self) -> tuple[int, int]:
        return len(self.ended), len(self.fates)


def make(home: Path, *fates: int) -> Fates:
    schedule, lock = Fates(home, *fates), os.open(home, os.O_RDONLY)
    try:
        with Pool(Devices(2), home, Path(), lock, COMMAND) as pool:
            pool.make(schedule, silent)
    finally:
        os.close(lock)
    return schedule


def test_trials_are_judged_by_one_process_and_shared_by_two(tmp_path: Path) -> None:
    schedule = make(tmp_path, *[side_by_side.TRAINS] * 5)
    assert schedule.ended == set("01234")
    epochs = [int((tmp_path / f"{n}.trained").read_text()) for n in range(5)]
    assert epochs == [4, 4, 2, 4, 4]
    reported = [(n, e, 0.1 * e + 0.01 * n) for n, last in enumerate(epochs) for e in range(1, last + 1)]
    assert sorted(schedule.reported) == reported
    begun = [(tmp_path / f"{n}.begun").read_text().split() for n in range(5)]
    assert all(len(processes) == 1 for processes in begun)
    assert len({processes[0] for processes in begun}) == 2


def test_where_one_dies_the_others_save_and_nothing_begins(tmp_path: Path) -> None:
    fates = (*[side_by_side.TRAINS] * 2, side_by_side.DIES, side_by_side.WAITS, side_by_side.TRAINS)
    with pytest.raises(SegueError, match=r"process of 2 died \(exit code 3\)"):
        make(tmp_path, *fates)
    assert (tmp_path / "3.saved").exists()
    assert not (tmp_path / "4.begun").exists()


def test_a_trial_that_fails_gives_its_message_and_exit_code(tmp_path: Path) -> None:
    with pytest.raises(SegueError, match="1: not a number") as error:
        make(tmp_path, side_by_side.WAITS, side_by_side.FAILS)
    assert error.value.exit_code == 7
    assert (tmp_path / "0.saved").exists()


def test_there_is_at_least_one_job() -> None:
    with pytest.raises(InputError, match="at least 1"):
        Devices.choose("cpu", "auto", -1)
    assert Devices.choose("cpu", "auto", 0, each=2).jobs == 1
