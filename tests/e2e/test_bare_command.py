"""`python -m segue` with the options of a bare GPU machine: torch, NumPy, SciPy, safetensors and cyclopts alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from segue.cli.main import main
from segue.runs import RunFolder
from support.small_recipes import SMALL
from support.stores import tiny_store

SOURCE = Path(__file__).parents[2] / "src"
BLOCKED = """
import sys
class Without:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, path=None, target=None):
        missing = ("polars", "msgspec", "uvicorn", "optuna", "matplotlib", "tensorboard")
        return None if name.partition(".")[0] in missing else self.finder.find_spec(name, path, target)
sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
from segue.cli.main import main
sys.exit(main(sys.argv[1:]))
"""
CHANGES = {key: value for key, value in SMALL.items() if not key.startswith("next_track")} | {"training.patience": 9}
SETS = [part for key, value in CHANGES.items() for part in ("--set", f"{key}={value}")]


def bare(*given: object) -> subprocess.CompletedProcess[str]:
    """Run the command where the other packages are not installed."""
    environment = os.environ | {"PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", BLOCKED, *map(str, given)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=False)


def test_a_bare_machine_simulates_trains_and_evaluates(tmp_path: Path) -> None:
    given = ("--sessions", 60, "--tracks", 300, "--store", "--json", "--quiet")
    done = bare("simulate", tmp_path / "store", *given)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["schema_version"] == 1
    store = (tmp_path / "store", "--device", "cpu")
    done = bare("train", store[0], tmp_path / "run", "--seed", 3, *store[1:], "--json", *SETS)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["schema_version"], document["epochs"], document["stopped"]) == (1, 4, "cap")
    assert {"hr@1", "hr@10", "ndcg@20", "loss"} <= set(document["metrics"])
    recipe = (tmp_path / "run" / "config.toml").read_text().splitlines()
    assert {"seed = 3", 'name = "segue"'} <= set(recipe), "the recipe that nobody named"
    done = bare("evaluate", tmp_path / "run", *store, "--quiet", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["schema_version"] == 1
    assert any(row["name"] == "model" for row in document["listening"]), "its figure alone needs Matplotlib"
    assert done.stderr == ""


def test_scores_that_are_no_numbers_print_null_and_exit_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny_store(tmp_path / "store")
    short = [*SETS, "--set", "training.epochs=1", "--device", "cpu", "--quiet"]
    assert main(["train", str(tmp_path / "store"), str(tmp_path / "made"), *short]) == 0
    capsys.readouterr()
    shutil.copytree(tmp_path / "made", tmp_path / "run")
    run = RunFolder.open(tmp_path / "run")
    weights, document = run.weights("best")
    broken = {
        name: torch.full_like(value, np.nan) if value.is_floating_point() else value for name, value in weights.items()
    }
    run.save_weights("best", broken, document)
    given = ["evaluate", str(run.path), str(tmp_path / "store"), "--quiet", "--json", "--protocol", "full"]
    code, shown = main(given), capsys.readouterr()
    assert code == 1
    assert "NaN" not in shown.out
    assert json.loads(shown.out)["rows"][0]["nan_scores"] > 0
    assert "NaN score" in shown.err
    assert "Traceback" not in shown.err
