"""Trials side by side in processes of their own: one process proposes, judges and keeps, the others train."""

from __future__ import annotations

import multiprocessing
import os
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Final

import torch

from segue.errors import InputError, SegueError
from segue.progress import Progress, Step
from segue.tuning.runner import Keep, Report, Train, train_trial
from segue.tuning.trial import Task, Trial

SHOW_EVERY_S: Final = 0.5
"""Seconds between two reports of a process: each also looks whether to stop, and whether it is still wanted."""
_STOP: Final = "stop"


@dataclass(frozen=True)
class Places:
    """How many trials train at a time, and where."""

    jobs: int = 1
    devices: int = 0
    """CUDA devices that they are dealt out to; 0: all share what the process has."""
    threads: int = 1
    """Of all of them together, on a CPU."""

    def __post_init__(self) -> None:
        if self.jobs < 1:
            raise InputError(f"--jobs is {self.jobs}, expected at least 1")


@dataclass
class _Worker:
    """A process, and what it is at; it trains one trial after another, so that torch is imported once."""

    process: BaseProcess
    task: Task | None = None
    note: str = ""


def train_side_by_side(
    train: Train, tasks: Iterator[Task], places: Places, report: Report, keep: Keep, progress: Progress
) -> None:
    """Train `tasks`, `places.jobs` at a time; return when all are kept.

    Raises:
        KeyboardInterrupt: Ctrl-C; every process has saved its run and ended.
        SegueError: what a trial raised, or its process died; the others have saved theirs.
    """
    desk = _Desk(train, places, report, keep, progress)
    try:
        while desk.fill(tasks):
            for connection in wait(list(desk.workers)):
                assert isinstance(connection, Connection)
                desk.hear(connection)
    finally:
        desk.stop_all()


class _Desk:
    """What the proposing process knows of the training ones."""

    def __init__(self, train: Train, places: Places, report: Report, keep: Keep, progress: Progress) -> None:
        self.train, self.places = train, places
        self.report, self.keep, self.progress = report, keep, progress
        self.workers: dict[Connection, _Worker] = {}
        self.kept = 0
        self.context = multiprocessing.get_context("spawn")  # CUDA does not survive a fork

    def fill(self, tasks: Iterator[Task]) -> bool:
        """Hand out tasks while places are free and tasks are left; return whether any process is at work."""
        busy = sum(worker.task is not None for worker in self.workers.values())
        while busy < self.places.jobs and (task := next(tasks, None)) is not None:
            connection = self._free()
            self.workers[connection].task = task
            connection.send(task)
            busy += 1
        return busy > 0

    def hear(self, connection: Connection) -> None:
        """Answer one message of a process."""
        worker = self.workers[connection]
        try:
            message = connection.recv()
        except EOFError:
            self._drop(connection)
            raise SegueError(
                f"the process of {_title(worker)} died (exit code {worker.process.exitcode}); with too little memory, "
                "lower --jobs; add --resume to go on"
            ) from None
        if isinstance(message, BaseException):
            self._drop(connection)
            raise message
        if isinstance(message, Step):
            worker.note = f"{_title(worker)}: {message.note}"
        elif isinstance(message, Trial):
            worker.task, worker.note = None, ""
            self.keep(message)
            self.kept += 1
        else:
            connection.send(self.report(*message))
        notes = "; ".join(worker.note for worker in self.workers.values() if worker.note)
        self.progress(Step("trials", self.kept, None, "kept", notes))

    def stop_all(self) -> None:
        """Tell every process to save and end; wait until it has."""
        for connection in self.workers:
            try:
                connection.send(_STOP)
            except OSError:
                continue
        for connection in list(self.workers):
            self._drain(connection)
            self._drop(connection)

    def _drain(self, connection: Connection) -> None:
        """Read what a process still says, so that it is not held up, until it ends."""
        try:
            while True:
                connection.recv()
        except (EOFError, OSError):
            return

    def _free(self) -> Connection:
        """Return the connection to a process that is at nothing, a new one if need be."""
        for connection, worker in self.workers.items():
            if worker.task is None:
                return connection
        here, there = self.context.Pipe()
        given = (there, self.train, self.places, len(self.workers))
        process = self.context.Process(target=_work, args=given)
        process.start()
        there.close()
        self.workers[here] = _Worker(process)
        return here

    def _drop(self, connection: Connection) -> None:
        worker = self.workers.pop(connection)
        worker.process.join()
        connection.close()


def _title(worker: _Worker) -> str:
    return "no trial" if worker.task is None else f"trial {worker.task.number}"


def _work(connection: Connection, train: Train, places: Places, place: int) -> None:
    """Train one task after another and say what came of each; the body of a process."""
    if places.devices:
        os.environ["CUDA_VISIBLE_DEVICES"] = _visible(place % places.devices)
    else:
        torch.set_num_threads(max(1, places.threads // places.jobs))
    try:
        while isinstance(task := connection.recv(), Task):
            connection.send(train_trial(train, task, _asking(connection), _showing(connection)))
    except (KeyboardInterrupt, SegueError) as error:
        connection.send(error)
    except (BrokenPipeError, EOFError):
        return  # nobody listens any more: what is on disk is gone on with later
    except BaseException:
        connection.send(RuntimeError(traceback.format_exc()))
    finally:
        connection.close()


def _visible(device: int) -> str:
    """Return the name that CUDA knows the `device`-th visible device by."""
    names = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return names.split(",")[device] if names else str(device)


def _asking(connection: Connection) -> Report:
    def report(number: int, epoch: int, value: float) -> bool:
        connection.send((number, epoch, value))
        answer: Any = connection.recv()
        if answer == _STOP:
            raise KeyboardInterrupt
        return bool(answer)

    return report


def _showing(connection: Connection) -> Progress:
    """Return a progress that is sent on now and then, and that ends the training when told to."""
    shown_at = 0.0

    def show(step: Step) -> None:
        nonlocal shown_at
        if time.monotonic() - shown_at < SHOW_EVERY_S:
            return
        shown_at = time.monotonic()
        connection.send(step)
        if connection.poll():
            connection.recv()  # nothing but the word to stop comes unasked
            raise KeyboardInterrupt

    return show
