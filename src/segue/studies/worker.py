"""`python -m segue.studies.worker`: does the tasks that come as JSON lines on stdin, and tells of them on stdout.

Lines out: `{"task": name, "note": text}` about once a second, then `{"task": name, "done": true}` or
`{"task": name, "error": text, "exit_code": n}`. Ends with stdin, or when whoever started it is gone.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from typing import Any, Final

import torch

from segue.errors import Interrupted
from segue.output import FAILED, failure, speak_utf8
from segue.progress import Step
from segue.studies.cells import Desk, Task

EVERY_S: Final = 1.0
"""Seconds between two notes."""


class _Notes:
    """Progress of one task as lines; ends the task when the parent is gone."""

    def __init__(self, task: str, parent: int) -> None:
        self._task, self._parent, self._last = task, parent, 0.0

    def __call__(self, step: Step) -> None:
        if os.getppid() != self._parent:
            raise Interrupted("the study that asked for this is gone")
        now = time.monotonic()
        if now - self._last < EVERY_S:
            return
        self._last = now
        of = "" if step.total is None else f"/{step.total}"
        tell({"task": self._task, "note": f"{step.stage} {step.done}{of} {step.note}".rstrip()})


def tell(document: dict[str, Any]) -> None:
    """Write one line."""
    print(json.dumps(document), flush=True)


def main() -> int:
    """Return the exit code."""
    speak_utf8()
    parent, desk = os.getppid(), Desk()
    if "SEGUE_THREADS" in os.environ:
        torch.set_num_threads(int(os.environ["SEGUE_THREADS"]))
    for line in sys.stdin:
        given = json.loads(line)
        place = given.pop("place")
        task = Task(**given)
        if task.device == "cuda":
            torch.cuda.set_device(place)
        try:
            desk.do(task, _Notes(task.name, parent))
            tell({"task": task.name, "done": True})
        except (Exception, KeyboardInterrupt) as error:
            found = failure(error)
            if found is None:
                traceback.print_exception(error)
                found = f"{type(error).__name__}: {error}", FAILED
            tell({"task": task.name, "error": found[0], "exit_code": found[1]})
            return found[1]
    return 0


if __name__ == "__main__":
    sys.exit(main())
