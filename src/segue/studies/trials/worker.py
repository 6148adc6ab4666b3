"""`python -m segue.studies.trials.worker WORKPLACE`: makes the trials that come as JSON lines on stdin.

In: `{"trial": {...}}`, and `{"end": true or false}` for each epoch reported. Out: `{"note": text}` about once a second,
`{"epoch": n, "value": v}` after each epoch of a trial that a search judges, then `{"ended": true}`; or
`{"error": text, "exit_code": n}`, and the worker ends. It also ends when its stdin closes, or when the process that
started it has ended.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Mapping
from typing import Any, Final

import torch

from segue.config import build
from segue.errors import Interrupted
from segue.output import FAILED, failure, speak_utf8
from segue.progress import Step
from segue.studies.trials.making import Maker, Workplace
from segue.studies.trials.trial import WATCHED, Trial

EVERY_S: Final = 1.0
"""Seconds between two notes."""


class Notes:
    """Progress of a trial as lines. The trial is saved and ends if the command that started this process has ended."""

    def __init__(self, command: int) -> None:
        """`command`: process id of the command."""
        self._command, self._last = command, 0.0

    def __call__(self, step: Step) -> None:
        if os.getppid() != self._command:
            raise KeyboardInterrupt
        now = time.monotonic()
        if now - self._last >= EVERY_S:
            self._last = now
            of = "" if step.total is None else f"/{step.total}"
            write({"note": f"{step.stage} {step.done}{of} {step.note}".rstrip()})


def ask(epoch: int, metrics: Mapping[str, Any]) -> bool:
    """Report an epoch and return whether to end the trial there.

    Raises:
        Interrupted: no answer came. The epoch is not saved: it is trained, and reported, once more.
    """
    write({"epoch": epoch, "value": metrics.get(WATCHED)})
    answer = sys.stdin.readline()
    if not answer:
        raise Interrupted("the command that started this worker has ended")
    return bool(json.loads(answer)["end"])


def write(document: Mapping[str, Any]) -> None:
    """Write one line."""
    print(json.dumps(document), flush=True)


def main() -> int:
    """Return the exit code."""
    speak_utf8()
    workplace = Workplace(**json.loads(sys.argv[1]))
    notes = Notes(workplace.command)
    torch.set_num_threads(workplace.threads)
    if workplace.device == "cuda":
        torch.cuda.set_device(workplace.index)
    maker = Maker(workplace)
    for line in iter(sys.stdin.readline, ""):
        trial = build(Trial, json.loads(line)["trial"], "trial")
        try:
            maker.make(trial, ask if trial.judged else None, notes)
            write({"ended": True})
        except (Exception, KeyboardInterrupt) as error:
            foreseen = failure(error)
            if foreseen is None:
                traceback.print_exception(error)
            text, code = foreseen or (f"{type(error).__name__}: {error}", FAILED)
            write({"error": text, "exit_code": code})
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
