"""A worker whose trainings take no time, for the tests of pools; a trial's setting `fate` says what befalls it."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

TRAINS, FAILS, DIES, WAITS = range(4)


def make(home: Path, number: int, fate: int) -> None:
    """Report four epochs of rising HR@10, and write the epochs that were trained."""
    with (home / f"{number}.begun").open("a") as file:
        file.write(f"{os.getpid()}\n")
    if fate == FAILS:
        wait_for(*(home / f"{n}.begun" for n in range(number)))  # a worker that still imports could not save
        write({"error": "not a number", "exit_code": 7})
        sys.exit(7)
    if fate == DIES:
        wait_for(*(home / f"{n}.ended" for n in range(number)), home / f"{number + 1}.waits")
        os._exit(3)
    if fate == WAITS:
        wait_for_the_signal(home, number)
    for epoch in range(1, 5):
        write({"epoch": epoch, "value": 0.1 * epoch + 0.01 * number})
        if json.loads(sys.stdin.readline())["end"]:
            break
    (home / f"{number}.trained").write_text(str(epoch))
    write({"ended": True})


def wait_for(*paths: Path) -> None:
    """Return when all of them exist."""
    until = time.monotonic() + 60.0
    while not all(path.exists() for path in paths):
        assert time.monotonic() < until
        time.sleep(0.02)


def wait_for_the_signal(home: Path, number: int) -> None:
    """Train until interrupted, then save as `fit` does."""
    try:
        (home / f"{number}.waits").touch()
        for step in range(600):
            time.sleep(0.1)
            write({"note": f"train {step}"})
    except KeyboardInterrupt:
        (home / f"{number}.saved").touch()
        write({"error": "saved", "exit_code": 130})
        sys.exit(130)


def write(document: dict[str, object]) -> None:
    """Write one line."""
    print(json.dumps(document), flush=True)


if __name__ == "__main__":
    for line in iter(sys.stdin.readline, ""):
        trial = json.loads(line)["trial"]
        make(Path(json.loads(sys.argv[1])["folder"]), int(trial["name"]), int(trial["settings"]["fate"]))
