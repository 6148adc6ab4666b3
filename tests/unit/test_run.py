"""`python -m segue.run` does without Polars, cyclopts and msgspec."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from small_recipes import SMALL
from stores import tiny_store

TESTS = Path(__file__).parents[1]
BLOCKED = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("polars", "cyclopts", "msgspec"):
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Block())
from segue.run import main
sys.exit(main(sys.argv[1:]))
"""
SETS = [part for key, value in (SMALL | {"training.patience": 9}).items() for part in ("--set", f"{key}={value}")]


def segue_run(*given: object) -> subprocess.CompletedProcess[str]:
    """Run the module with those imports blocked."""
    environment = os.environ | {"PYTHONPATH": str(TESTS.parent / "src"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", BLOCKED, *map(str, given)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=False)


def test_a_bare_machine_trains_and_evaluates(tmp_path):
    tiny_store(tmp_path / "store")
    done = segue_run("train", tmp_path / "store", tmp_path / "run", "--device", "cpu", "--seed", 3, *SETS)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["schema_version"], document["epochs"], document["stopped"]) == (1, 4, "cap")
    assert "hr@10" in document["metrics"]
    assert "seed = 3" in (tmp_path / "run" / "config.toml").read_text()
    assert "train:" in done.stderr
    done = segue_run("evaluate", tmp_path / "run", tmp_path / "store", "--quiet")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["schema_version"] == 1
    assert done.stderr == ""


def test_a_bare_machine_simulates_a_store(tmp_path):
    given = ("--sessions", 60, "--tracks", 300, "--store", "--quiet")
    done = segue_run("simulate", tmp_path / "store", *given)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["schema_version"] == 1
    assert (tmp_path / "store" / "manifest.json").is_file()


def test_bad_input_exits_2_with_one_line_and_no_traceback(tmp_path):
    for given in (("train", tmp_path / "none", tmp_path / "run"), ("simulate", tmp_path / "log"), ("trian",)):
        done = segue_run(*given)
        assert done.returncode == 2
        assert done.stdout == ""
        assert "Traceback" not in done.stderr
