"""Preparings that are killed, for the tests of what they leave: some at a step that touches a file, some at any time.

usage: killed_preparing.py OLD NEW FOLDER NUM_TIMED

Prepares the log OLD and then NEW over it into FOLDER/k/store, and dies at a step of NEW below FOLDER/k; then NUM_TIMED
more into FOLDER/timed-k/store, killed after a random time.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random

from segue.verbs.prepare import PrepareOptions, prepare

STEPS = ("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.chmod")
"""Audit events of what touches a file."""


def stop_at(step: int, kinds: tuple[str, ...], folder: Path) -> None:
    """Kill this process at a step of some kinds below `folder`."""
    left = step

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        if event in kinds and str(arguments[0]).startswith(str(folder)):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)


def prepare_twice(logs: tuple[str, str], folder: Path, stop: Callable[[], None] | None) -> int:
    """Return the status of a child that prepares logs below `folder`; `stop` is called before the second (None: the
    child is killed after a random time)."""
    folder.mkdir()
    child = os.fork()
    if child == 0:
        prepare(logs[0], folder / "store", PrepareOptions(source="table", max_rejected=0.5))
        if stop is not None:
            stop()
        prepare(logs[1], folder / "store", PrepareOptions(source="table", max_rejected=0.5, overwrite=True))
        os._exit(0)
    if stop is None:
        time.sleep(0.05 + Random(folder.name).random() * 0.2)
        os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1]


def main(logs: tuple[str, str], root: Path, num_timed: int) -> None:
    """Run the preparings; see above."""
    for kinds, apart in ((STEPS, 8), (("os.rename",), 1)):
        for step in range(1, 1000, apart):
            folder = root / f"{len(kinds)}-{step}"
            if not os.WIFSIGNALED(prepare(logs, folder, partial(stop_at, step, kinds, folder))):
                break
    for number in range(num_timed):
        prepare_twice(logs, root / f"timed-{number}", None)


if __name__ == "__main__":
    main((sys.argv[1], sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
