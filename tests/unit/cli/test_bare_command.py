"""`python -m segue.run` does without Polars, cyclopts and msgspec, and keeps the command line's contract."""

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

import segue
from segue.checkpoint import RunFolder
from segue.run import main
from small_recipes import SMALL
from stores import tiny_store

TESTS = Path(__file__).parents[1]
BLOCKED = """
import sys
class Without:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, path=None, target=None):
        missing = ("polars", "cyclopts", "msgspec", "matplotlib", "tensorboard")
        return None if name.partition(".")[0] in missing else self.finder.find_spec(name, path, target)
sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
from segue.run import main
sys.exit(main(sys.argv[1:]))
"""
SETS = [part for key, value in (SMALL | {"training.patience": 9}).items() for part in ("--set", f"{key}={value}")]


def segue_run(*given: object) -> subprocess.CompletedProcess[str]:
    """Run the module where those packages, Matplotlib and TensorBoard are not installed."""
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


SHORT = [*SETS, "--set", "training.epochs=1", "--device", "cpu"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store, a run of one epoch, and a plain file."""
    folder = tmp_path_factory.mktemp("run")
    tiny_store(folder / "store")
    (folder / "file").write_text("dear")
    assert main(["train", str(folder / "store"), str(folder / "run"), "--quiet", *SHORT]) == 0
    return folder


def answer(capsys, *given: object) -> tuple[int, str, str]:
    """Return exit code, stdout and stderr of one verb."""
    try:
        code = main([str(word) for word in given])
    except SystemExit as exit_:  # argparse leaves by itself
        code = exit_.code
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def test_version_goes_to_stdout(capsys):
    assert answer(capsys, "--version") == (0, f"{segue.__version__}\n", "")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (2, "train {0}/none {0}/new"),
        (2, "train {0}/file {0}/new"),
        (2, "train {0}/store {0}/new --recipe paper-casual-s-minus"),
        (2, "train {0}/store {0}/new --recipe {0}/none.toml"),
        (2, "train {0}/store {0}/new --set training.epoch=3"),
        (2, "train {0}/store {0}/new --set nonsense"),
        (2, "train {0}/store {0}/new --device tpu"),
        (2, "train {0}/store {0}/run"),
        (2, "train {0}/store {0}/store --overwrite"),
        (2, "train {0}/store {0}/file/new"),
        (2, "evaluate {0}/none {0}/store"),
        (2, "evaluate {0}/run {0}/none"),
        (2, "evaluate {0}/run {0}/file"),
        (2, "simulate {0}/new"),
        (2, "simulate {0}/new --store --world flat"),
        (2, "simulate {0}/new --store --sessions 0"),
        (2, "simulate {0}/file --store"),
        (2, "simulate {0}/run --store --overwrite"),
        (2, "simulate {0}/file/new --store --sessions 30 --tracks 300"),
        (2, "trian"),
    ],
)
def test_what_cannot_be_done_has_its_code_and_its_words(made, capsys, code, words):
    found, out, err = answer(capsys, *words.format(made).split(), "--quiet")
    assert (found, out) == (code, "")
    assert "segue" in err.splitlines()[-1]
    assert "Traceback" not in err
    assert not (made / "new").exists()
    assert (made / "file").read_text() == "dear"


@pytest.mark.parametrize("words", ["--quiet train {0}/store {0}/{1}", "train {0}/store {0}/{1} --quiet"])
def test_quiet_and_verbose_stand_before_the_verb_or_after_it(made, capsys, words):
    place = words.index("--quiet")
    code, out, err = answer(capsys, *words.format(made, f"q{place}").split(), "--seed", 5, *SHORT)
    assert (code, err) == (0, "")
    assert json.loads(out)["epochs"] == 1
    assert "seed = 5" in (made / f"q{place}" / "config.toml").read_text()
    code, _, err = answer(capsys, *words.replace("quiet", "verbose").format(made, "run").split())
    assert code == 2
    assert "Traceback" in err


def test_control_codes_in_a_name_are_made_visible(made, capsys):
    code, _, err = answer(capsys, "train", made / "\x1b[31mred", made / "new")
    assert code == 2
    assert "\x1b" not in err


def test_scores_that_are_no_numbers_print_null_and_exit_1(made, tmp_path, capsys):
    shutil.copytree(made / "run", tmp_path / "run")
    run = RunFolder.open(tmp_path / "run")
    weights, document = run.weights("best")
    run.save_weights("best", {name: torch.full_like(value, np.nan) for name, value in weights.items()}, document)
    code, out, err = answer(capsys, "evaluate", run.path, made / "store", "--quiet", "--protocol", "full")
    assert code == 1
    assert "NaN" not in out
    assert json.loads(out)["rows"][0]["nan_scores"] > 0
    assert "no number" in err
    assert "Traceback" not in err


def test_an_interrupted_verb_exits_130(made):
    program = (
        "import signal, sys, segue.run as run\n"
        "from segue.progress import Step\n"
        "show = run.Lines.__call__\n"
        "def interrupting(self, step):\n    show(self, step); signal.raise_signal(signal.SIGINT)\n"
        "run.Lines.__call__ = interrupting\n"
        "sys.exit(run.main(sys.argv[1:]))\n"
    )
    command = [sys.executable, "-c", program, "simulate", str(made / "cut"), "--store", "--sessions", "60"]
    environment = os.environ | {"PYTHONPATH": str(TESTS.parent / "src"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 130, done.stderr
    assert done.stderr.splitlines()[-1] == "segue: interrupted"
    assert done.stdout == ""
    assert not (made / "cut").exists()
