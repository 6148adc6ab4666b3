"""Workers: processes that do tasks, one at a time each, and what they tell while they do."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from segue.errors import Interrupted, SegueError
from segue.output import INTERRUPTED
from segue.studies.cells import Task

_GONE: Final = "gone"
_PATIENCE_S: Final = 60.0
"""What an interrupted worker is given to save its run."""


@dataclass
class _Worker:
    """One process."""

    place: int
    """Index of its device."""
    process: subprocess.Popen[str]
    listener: threading.Thread = field(default_factory=threading.Thread)
    busy: Task | None = None

    def begin(self, task: Task) -> None:
        assert self.process.stdin is not None, "opened with pipes"
        self.busy = task
        self.process.stdin.write(json.dumps({**task.to_json(), "place": self.place}) + "\n")
        self.process.stdin.flush()


class Crew:
    """So many workers, spread over devices; used as a context manager."""

    def __init__(self, jobs: int, devices: int, threads: int, held: int) -> None:
        """`devices`: CUDA devices they are spread over, 0 = the CPU; `threads` of each; `held`: a descriptor they keep
        open."""
        self._told: queue.Queue[tuple[_Worker, dict[str, Any] | str]] = queue.Queue()
        environment = os.environ | {"SEGUE_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
        environment |= {"OPENBLAS_NUM_THREADS": str(threads)}  # NumPy's own products
        command = [sys.executable, "-m", "segue.studies.worker"]
        self._workers = []
        for place in range(jobs):
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                env=environment,
                pass_fds=(held,),
                start_new_session=True,  # a terminal's Ctrl-C goes to the study, which passes on one: two save nothing
            )
            worker = _Worker(place % max(devices, 1), process)
            worker.listener = threading.Thread(target=self._listen, args=(worker,), daemon=True)
            worker.listener.start()
            self._workers.append(worker)

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *error: object) -> None:
        for worker in self._workers:
            assert worker.process.stdin is not None, "opened with pipes"
            worker.process.stdin.close()
            if error[0] is not None:  # what they do is saved, then they end
                worker.process.send_signal(signal.SIGTERM if worker.busy is None else signal.SIGINT)
        for worker in self._workers:
            try:
                worker.process.wait(_PATIENCE_S)
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()
            worker.listener.join()
            assert worker.process.stdout is not None, "opened with pipes"
            worker.process.stdout.close()

    def work(self, ready: Callable[[], Iterable[Task]], heard: Callable[[str, dict[str, Any]], None]) -> None:
        """Do tasks until none is ready or running.

        `ready` is asked whenever a worker is free, for what could be begun now (tasks in work are passed over);
        `heard(task name, line)` is called with each line that a worker writes.

        Raises:
            SegueError: a task failed; those in work are ended first.
            Interrupted: Ctrl-C.
        """
        try:
            while self._hand_out(ready):
                self._take(heard)
        except KeyboardInterrupt:
            raise Interrupted("interrupted; the same command goes on from here") from None

    def _hand_out(self, ready: Callable[[], Iterable[Task]]) -> bool:
        """Begin what can be begun; return whether anything is in work."""
        running = {worker.busy.name for worker in self._workers if worker.busy}
        waiting = (task for task in ready() if task.name not in running)
        for worker in self._workers:
            if worker.busy is None and (task := next(waiting, None)) is not None:
                worker.begin(task)
        return any(worker.busy for worker in self._workers)

    def _take(self, heard: Callable[[str, dict[str, Any]], None]) -> None:
        worker, line = self._told.get()
        if worker.busy is None:
            return
        if isinstance(line, str):
            raise SegueError(f"the process that worked on {worker.busy.name} ended unasked (out of memory?)")
        if "error" in line:
            if line["exit_code"] == INTERRUPTED:
                raise Interrupted("interrupted; the same command goes on from here")
            raise _TaskError(f"{line['task']}: {line['error']}", line["exit_code"])
        heard(line["task"], line)
        if "done" in line:
            worker.busy = None

    def _listen(self, worker: _Worker) -> None:
        assert worker.process.stdout is not None, "opened with pipes"
        for line in worker.process.stdout:
            self._told.put((worker, json.loads(line)))
        self._told.put((worker, _GONE))


class _TaskError(SegueError):
    """A task failed; the exit code is the worker's."""

    def __init__(self, text: str, exit_code: int) -> None:
        super().__init__(text)
        self.exit_code = exit_code
