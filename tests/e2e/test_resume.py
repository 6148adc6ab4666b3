"""A killed run goes on to the same bytes as one that was never killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from segue.errors import FormatError, InputError, Interrupted
from segue.runs import RunFolder
from segue.training import FitOptions, fit
from support.killed_training import recipe, table_norm
from support.small_recipes import small_recipe
from support.stores import tiny_store

CPU = FitOptions(device="cpu", precision="fp32")
RESUME = FitOptions(device="cpu", precision="fp32", resume=True)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tiny_store(tmp_path_factory.mktemp("resume") / "store")


def same_bytes(one: Path, other: Path) -> None:
    """Assert that two runs hold the same weights and metrics."""
    for name in ("best/weights.safetensors", "last/weights.safetensors", "metrics.jsonl", "config.toml", "state.json"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


class Stop:
    """Progress that interrupts after the `at`-th report of `stage`."""

    def __init__(self, stage: str, at: int, error: type[BaseException]) -> None:
        self.stage, self.left, self.error = stage, at, error

    def __call__(self, step) -> None:
        self.left -= step.stage == self.stage
        if self.left == 0:
            raise self.error("stop")


TRAINED = [
    ("paper-cloze-s-plus-session", "per_session"),
    ("paper-causal-s-plus-track", "per_session"),
    ("paper-causal-s-plus-session", "shared"),
    ("paper-cloze-s-plus-track", "shared"),
    ("paper-causal-s-plus-track", "full"),
    ("paper-cloze-s-plus-session", "mixed"),
    ("segue", "full"),
    ("segue", "mixed"),
]


@pytest.mark.parametrize(("name", "kind"), TRAINED)
@pytest.mark.parametrize(("stage", "at"), [("epoch", 1), ("epoch", 3), ("train", 2), ("train", 7), ("train", 3)])
def test_ctrl_c_saves_and_resuming_reaches_the_same_bytes(store, tmp_path, name, kind, stage, at):
    fit(store, tmp_path / "whole", recipe(name, kind), CPU, table_norm)
    with pytest.raises(Interrupted, match="resume") as caught:
        fit(store, tmp_path / "cut", recipe(name, kind), CPU, table_norm, Stop(stage, at, KeyboardInterrupt))
    assert caught.value.exit_code == 130
    assert RunFolder.open(tmp_path / "cut").state()["status"] == "interrupted"
    torch.manual_seed(99)
    fit(store, tmp_path / "cut", recipe(name, kind), RESUME, table_norm)
    same_bytes(tmp_path / "whole", tmp_path / "cut")


@pytest.mark.parametrize("kind", ["gru4rec", "nextitnet", "caser"])
@pytest.mark.parametrize("next_track", ["shared", "full"])
def test_other_encoders_resume_to_the_same_bytes(store, tmp_path, kind, next_track):
    wanted = recipe(f"{kind}-s-plus-session", next_track)
    fit(store, tmp_path / "whole", wanted, CPU, table_norm)
    with pytest.raises(Interrupted):
        fit(store, tmp_path / "cut", wanted, CPU, table_norm, Stop("train", 7, KeyboardInterrupt))
    torch.manual_seed(99)
    fit(store, tmp_path / "cut", wanted, RESUME, table_norm)
    same_bytes(tmp_path / "whole", tmp_path / "cut")


@pytest.mark.parametrize(("stage", "at"), [("epoch", 2), ("train", 8), ("train", 1)])
def test_a_crash_goes_back_to_the_last_checkpoint_and_reaches_the_same_bytes(store, tmp_path, stage, at):
    fit(store, tmp_path / "whole", recipe(), CPU, table_norm)
    with pytest.raises(MemoryError):
        fit(store, tmp_path / "cut", recipe(), CPU, table_norm, Stop(stage, at, MemoryError))
    fit(store, tmp_path / "cut", recipe(), RESUME, table_norm)
    same_bytes(tmp_path / "whole", tmp_path / "cut")


def test_a_run_may_be_killed_again_and_again(store, tmp_path):
    fit(store, tmp_path / "whole", recipe(), CPU, table_norm)
    with pytest.raises(Interrupted):
        fit(store, tmp_path / "cut", recipe(), CPU, table_norm, Stop("train", 4, KeyboardInterrupt))
    for at in (1, 3, 2):
        with pytest.raises(Interrupted):
            fit(store, tmp_path / "cut", recipe(), RESUME, table_norm, Stop("train", at, KeyboardInterrupt))
    fit(store, tmp_path / "cut", recipe(), RESUME, table_norm)
    same_bytes(tmp_path / "whole", tmp_path / "cut")


def test_sigkill_in_the_middle_of_an_epoch_loses_nothing(store, tmp_path):
    fit(store, tmp_path / "whole", recipe(), CPU, table_norm)
    tests = Path(__file__).parents[1]
    command = [sys.executable, str(tests / "support" / "killed_training.py"), str(store.path), str(tmp_path / "cut")]
    paths = os.pathsep.join([str(tests), str(tests.parent / "src")])
    environment = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert RunFolder.open(tmp_path / "cut").state()["epoch"] >= 1
    fit(store, tmp_path / "cut", recipe(), RESUME, table_norm)
    same_bytes(tmp_path / "whole", tmp_path / "cut")


def test_resuming_a_finished_run_changes_nothing(store, tmp_path):
    first = fit(store, tmp_path / "run", recipe(), CPU, table_norm)
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert fit(store, tmp_path / "run", recipe(), RESUME, table_norm) == first
    assert before == {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}


def test_a_finished_run_keeps_no_optimiser_state(store, tmp_path):
    fit(store, tmp_path / "run", recipe(), CPU, table_norm)
    assert sorted(path.name for path in (tmp_path / "run" / "last").iterdir()) == ["weights.safetensors"]


def test_a_run_resumes_with_its_own_recipe_and_store_only(store, tmp_path):
    fit(store, tmp_path / "run", recipe(), CPU, table_norm)
    with pytest.raises(InputError, match="another recipe"):
        fit(store, tmp_path / "run", small_recipe(), RESUME, table_norm)
    with pytest.raises(InputError, match="another store"):
        fit(tiny_store(tmp_path / "other", seed=5), tmp_path / "run", recipe(), RESUME, table_norm)
    with pytest.raises(FormatError, match="not a run"):
        fit(store, tmp_path / "nothing", recipe(), RESUME, table_norm)


def test_resuming_elsewhere_warns(store, tmp_path):
    with pytest.raises(Interrupted):
        fit(store, tmp_path / "run", recipe(), CPU, table_norm, Stop("train", 2, KeyboardInterrupt))
    with pytest.warns(UserWarning, match="precision: fp32 -> bf16"):
        fit(store, tmp_path / "run", recipe(), FitOptions("cpu", "bf16", resume=True), table_norm)


def test_an_existing_run_is_replaced_only_when_asked(store, tmp_path):
    fit(store, tmp_path / "run", recipe(), CPU, table_norm)
    with pytest.raises(InputError, match="exists already"):
        fit(store, tmp_path / "run", recipe(), CPU, table_norm)
    fit(store, tmp_path / "run", recipe(), FitOptions("cpu", "fp32", overwrite=True), table_norm)
    assert RunFolder.open(tmp_path / "run").state()["status"] == "finished"
