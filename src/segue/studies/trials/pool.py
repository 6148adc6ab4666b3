"""Worker processes over devices: each makes one trial at a time; both sides write JSON lines."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

import torch

from segue.errors import InputError, Interrupted, SegueError
from segue.output import INTERRUPTED
from segue.progress import Progress, Step
from segue.studies.trials.making import Workplace
from segue.studies.trials.schedule import Schedule
from segue.studies.trials.trial import Trial
from segue.training.device import choose_device, choose_precision

_PATIENCE_S: Final = 60.0
"""How long an interrupted worker may take to save its run."""
COMMAND: Final = (sys.executable, "-m", "segue.studies.trials.worker")


@dataclass(frozen=True)
class Devices:
    """How many trials are made at a time, and where."""

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

    @property
    def threads(self) -> int:
        """Threads of each worker."""
        return max(torch.get_num_threads() // self.jobs, 1)


@dataclass
class _Worker:
    """One process."""

    process: subprocess.Popen[str]
    listener: threading.Thread = field(default_factory=threading.Thread)
    trial: Trial | None = None
    note: str = ""

    def write(self, document: Mapping[str, Any]) -> None:
        assert self.process.stdin is not None, "opened with pipes"
        self.process.stdin.write(json.dumps(document) + "\n")
        self.process.stdin.flush()


class Pool:
    """At most so many workers, spread over devices; a context manager, at whose end they have ended."""

    def __init__(self, devices: Devices, workplace: Workplace, lock: int, command: Sequence[str] = COMMAND) -> None:
        """`lock`: a descriptor that the workers keep open; `command`: what starts a worker."""
        self._lines: queue.Queue[tuple[_Worker, dict[str, Any] | None]] = queue.Queue()
        self._devices, self._lock, self._command, self._workers = devices, lock, command, list[_Worker]()
        self._workplace = replace(
            workplace,
            device=devices.device,
            precision=devices.precision,
            threads=devices.threads,
            command=os.getpid(),
        )

    def _started(self) -> _Worker:
        """Return a new worker, on the next device."""
        workplace = replace(self._workplace, index=len(self._workers) % max(self._devices.count, 1))
        threads = str(workplace.threads)
        process = subprocess.Popen(
            [*self._command, json.dumps(workplace.to_json())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env=os.environ | {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads},  # torch's, and NumPy's
            pass_fds=(self._lock,),
            start_new_session=True,  # a terminal's Ctrl-C goes to the command alone, which passes it on once
        )
        worker = _Worker(process)
        worker.listener = threading.Thread(target=self._listen, args=(worker,), daemon=True)
        worker.listener.start()
        self._workers.append(worker)
        return worker

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *error: object) -> None:
        for worker in self._workers:
            assert worker.process.stdin is not None, "opened with pipes"
            if error[0] is not None:  # a trial is saved, then its worker ends
                worker.process.send_signal(signal.SIGTERM if worker.trial is None else signal.SIGINT)
            try:
                worker.process.stdin.close()
            except BrokenPipeError:
                continue  # it has ended
        for worker in self._workers:
            try:
                worker.process.wait(_PATIENCE_S)
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()
            worker.listener.join()
            assert worker.process.stdout is not None, "opened with pipes"
            worker.process.stdout.close()

    def make(self, schedule: Schedule, progress: Progress) -> None:
        """Make the trials of `schedule` until none can begin and none is made.

        Raises:
            SegueError: a trial failed or its worker died; those at work are saved first.
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
        """Begin what can begin; return whether any trial is made."""
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
        assert worker.process.stdout is not None, "opened with pipes"
        for line in worker.process.stdout:
            self._lines.put((worker, json.loads(line)))
        self._lines.put((worker, None))


class TrialError(SegueError):
    """A trial failed; the exit code is its worker's."""

    def __init__(self, text: str, exit_code: int) -> None:
        super().__init__(text)
        self.exit_code = exit_code
