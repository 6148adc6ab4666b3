"""Ctrl-C reaches the whole group of processes of a terminal: what trains is saved, and nothing is a traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from segue.runs import RunFolder
from support.small_recipes import SMALL
from support.stores import tiny_store

ARMS = ("causal-s-minus", "causal-s-plus-track", "cloze-s-minus")
OVERRIDES = {**SMALL, "next_track.kind": "shared", "training.epochs": 5000, "training.patience": 5000}


def test_ctrl_c_saves_what_trains_and_says_how_to_go_on(tmp_path: Path) -> None:
    tiny_store(tmp_path / "store", sessions=80)
    out = tmp_path / "study"
    command = [sys.executable, "-m", "segue", "study", str(tmp_path / "store"), str(out), "--seeds", "1"]
    command += ["--device", "cpu", "--no-tune", "--jobs", "2", *(part for arm in ARMS for part in ("--arm", arm))]
    command += [part for key, value in OVERRIDES.items() for part in ("--set", f"{key}={value}")]
    begun = subprocess.Popen(
        command,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 90
    while len(list(out.glob("runs/*/tensorboard"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(1)
    os.killpg(begun.pid, signal.SIGINT)
    _, said = begun.communicate(timeout=100)
    assert begun.returncode == 130, said
    assert "Traceback" not in said
    assert "goes on from here" in said
    runs = list(out.glob("runs/*"))
    assert len(runs) == 2
    for run in runs:
        folder = RunFolder.open(run)
        assert folder.state()["status"] == "interrupted"
        assert folder.checkpoint() is not None
