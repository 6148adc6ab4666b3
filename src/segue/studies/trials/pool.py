"""Worker processes over devices: each trains one trial at a time; both sides write JSON lines."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import torch

from segue.errors import InputError, Interrupted, SegueError
from segue.output import INTERRUPTED
from segue.progress import Progress, Step
from segue.studies.trials.making import Workplace
from segue.studies.trials.trial import Trial
from segue.training.device import choose_device, choose_precision

_PATIENCE_S: Final = 60.0
"""How long an interrupted worker may take to save its run."""
COMMAND: Final = (sys.executable, "-m", "segue.studies.trials.worker")


class Schedule(ABC):
    """The trials of a study or a search; the pool asks for the next one whenever a worker is free."""

    @abstractmethod
    def next_trial(self, running: Collection[str]) -> Trial | None:
        """Return a trial that can begin now and is not `running`; None where there is none yet, or none left."""

    @abstractmethod
    def report(self, name: str, epoch: int, value: float) -> bool:
        """Take the validation NDCG@20 of a trial's epoch (from 1); return whether the trial should end there."""

    @abstractmethod
    def end(self, name: str) -> None:
        """Take a trial that has ended; its outcome is in the folder."""

    @property
    @abstractmethod
    def counts(self) -> tuple[int, int]:
        """How many trials have ended, and how many there will be."""


@dataclass(frozen=True)
class Devices:
    """How many trials train at a time, and where."""

    jobs: int
    device: str = "cpu"
    count: int = 0
    """CUDA devices that the trials are spread over; 0 on a CPU."""
    precision: str = "auto"

    @classmethod
    def choose(cls, device: str, precision: str, jobs: int, each: int = 1) -> Devices:
        """Return the devices of `device`; `jobs` 0 = one on a CPU, `each` a CUDA device.

        Raises:
            InputError: an unknown device or precision, or a number of jobs below 0.
        """
        if jobs < 0:
            raise InputError(f"--jobs is {jobs}, expected at least 1")
        chosen = choose_device(device)
        choose_precision(precision, chosen)  # refused now, not in the first trial
        count = torch.cuda.device_count() if chosen.type == "cuda" else 0
        return cls(jobs or max(each * count, 1), chosen.type, count, precision)


@dataclass
class _Worker:
    """One process."""

    process: Any
    """A `subprocess.Popen` whose stdin and stdout are pipes of text."""
    trial: Trial | None = None
    note: str = ""

    def write(self, document: Mapping[str, Any]) -> None:
        self.process.stdin.write(json.dumps(document) + "\n")
        self.process.stdin.flush()


class Pool:
    """Workers over the devices of one folder of trials; a context manager, at whose end they have ended."""

    def __init__(
        self, devices: Devices, folder: Path, store: Path, lock: int, command: Sequence[str] = COMMAND
    ) -> None:
        """`lock`: a descriptor that the workers keep open; `command`: what starts a worker."""
        self._lines: queue.Queue[tuple[_Worker, dict[str, Any] | None]] = queue.Queue()
        self._devices, self._folder, self._store, self._lock = devices, str(folder), str(store), lock
        self._command, self._workers = command, list[_Worker]()

    def _started(self) -> _Worker:
        """Return a new worker, on the next device."""
        devices = self._devices
        threads = max(torch.get_num_threads() // devices.jobs, 1)
        index = len(self._workers) % max(devices.count, 1)
        workplace = Workplace(self._folder, self._store, devices.device, index, devices.precision, threads, os.getpid())
        process = subprocess.Popen(
            [*self._command, json.dumps(asdict(workplace))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env=os.environ | {"OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)},  # torch, NumPy
            pass_fds=(self._lock,),
            start_new_session=True,  # a terminal's Ctrl-C goes to the command alone, which passes it on once
        )
        worker = _Worker(process)
        threading.Thread(target=self._listen, args=(worker,), daemon=True).start()
        self._workers.append(worker)
        return worker

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *error: object) -> None:
        for worker in self._workers:
            if error[0] is not None:  # a trial is saved, then its worker ends
                worker.process.send_signal(signal.SIGTERM if worker.trial is None else signal.SIGINT)
            with contextlib.suppress(BrokenPipeError):  # it has ended
                worker.process.stdin.close()
        for worker in self._workers:
            try:
                worker.process.wait(_PATIENCE_S)
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()

    def make(self, schedule: Schedule, progress: Progress) -> None:
        """Make the trials of `schedule` until none can begin and none runs.

        Raises:
            SegueError: a trial failed or its worker died; the other running trials are saved first.
            Interrupted: Ctrl-C.
        """
        try:
            while self._hand_out(schedule):
                notes = "; ".join(f"{worker.trial.name}: {worker.note}" for worker in self._workers if worker.trial)
                progress(Step("trials", *schedule.counts, "ended", notes))
                self._take(schedule)
        except KeyboardInterrupt:
            raise Interrupted("interrupted; the same command goes on from here") from None

    def _hand_out(self, schedule: Schedule) -> bool:
        """Begin the trials that can begin; return whether any trial runs."""
        running = {worker.trial.name for worker in self._workers if worker.trial}
        while len(running) < self._devices.jobs and (trial := schedule.next_trial(running)) is not None:
            worker = next((worker for worker in self._workers if worker.trial is None), None) or self._started()
            worker.trial, worker.note = trial, "begins"
            worker.write({"trial": asdict(trial)})
            running.add(trial.name)
        return bool(running)

    def _take(self, schedule: Schedule) -> None:
        """Take one line of a worker."""
        worker, line = self._lines.get()
        name = worker.trial.name if worker.trial else "no trial"
        if line is None:
            code = worker.process.wait()
            raise SegueError(f"the process of {name} died (exit code {code}); with too little memory, lower --jobs")
        if "error" in line:
            if line["exit_code"] == INTERRUPTED:
                raise KeyboardInterrupt
            raise TrialError(f"{name}: {line['error']}", line["exit_code"])
        if "epoch" in line:
            worker.write({"end": schedule.report(name, line["epoch"], line["value"])})
        elif "ended" in line:
            worker.trial = None
            schedule.end(name)
        else:
            worker.note = line["note"]

    def _listen(self, worker: _Worker) -> None:
        with worker.process.stdout as lines:
            for line in lines:
                self._lines.put((worker, json.loads(line)))
        self._lines.put((worker, None))


class TrialError(SegueError):
    """A trial failed; the exit code is its worker's."""

    def __init__(self, text: str, exit_code: int) -> None:
        super().__init__(text)
        self.exit_code = exit_code
