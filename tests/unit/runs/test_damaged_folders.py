"""A damaged run or store is refused in plain words: never a traceback, never a wrong answer."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from segue.errors import FormatError, SegueError
from segue.runs import RunFolder
from segue.verbs.inspect import inspect
from segue.verbs.recommender import load
from segue.verbs.train import TrainOptions, train
from support.small_recipes import SMALL
from support.stores import tiny_store

SHORT = TrainOptions("paper-causal-s-plus-track", SMALL | {"training.epochs": 1}, device="cpu")
Damage = Callable[[Path], object]
RUN_FILES = (
    "run.json",
    "config.toml",
    "environment.json",
    "state.json",
    "candidates.npy",
    "training_counts.npy",
    "vocabulary/bytes.npy",
    "vocabulary/offsets.npy",
    "best/weights.safetensors",
)
STORE_FILES = ("manifest.json", "shard-00000/tracks.npy", "shard-00000/offsets.npy", "vocabulary/offsets.npy")


def _as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES: dict[str, Damage] = {
    "gone": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "a JSON list": lambda path: path.write_text("[]"),
    "a JSON object": lambda path: path.write_text("{}"),
    "noise": lambda path: path.write_bytes(b"\xff" * path.stat().st_size),
    "a folder": _as_folder,
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store and a run of one epoch."""
    folder = tmp_path_factory.mktemp("damaged")
    tiny_store(folder / "store")
    train(folder / "store", folder / "run", SHORT)
    return folder


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", RUN_FILES)
def test_a_damaged_run_is_refused_in_plain_words(made: Path, tmp_path: Path, name: str, damage: str) -> None:
    run = tmp_path / "run"
    shutil.copytree(made / "run", run)
    DAMAGES[damage](run / name)
    refused = 0
    for verb in (
        lambda: load(run),
        lambda: train(made / "store", run, TrainOptions(resume=True, device="cpu")),
    ):
        try:
            verb()
        except SegueError as error:  # a verb may also do without the file
            refused += 1
            assert str(run) in str(error)  # noqa: PT017
    assert refused


def test_candidates_outside_the_vocabulary_are_refused(made: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(made / "run", run)
    candidates = np.load(run / "candidates.npy")
    for wrong in (candidates + 1000, -candidates, candidates[::-1], candidates.astype(np.float64)):
        np.save(run / "candidates.npy", wrong)
        with pytest.raises(FormatError, match="candidates"):
            load(run)


def test_torn_metrics_stop_a_resume_in_plain_words(made: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(made / "run", run)
    (run / "metrics.jsonl").write_text('{"epoch": 1}\n{"epo')
    assert RunFolder.open(run).lines() == [{"epoch": 1}]
    (run / "metrics.jsonl").write_bytes(b"\xff\xfe\n")
    with pytest.raises(FormatError, match="metrics"):
        RunFolder.open(run).lines()


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", STORE_FILES)
def test_a_damaged_store_is_refused_in_plain_words(made: Path, tmp_path: Path, name: str, damage: str) -> None:
    store = tmp_path / "store"
    shutil.copytree(made / "store", store)
    DAMAGES[damage](store / name)
    with pytest.raises(SegueError, match=str(store)):
        train(store, tmp_path / "run", SHORT)
    if not name.startswith("vocabulary"):  # what is counted needs no ids
        with pytest.raises(SegueError, match=str(store)):
            inspect(store)
