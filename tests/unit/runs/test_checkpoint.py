"""Laws of the run folder: whole, versioned, without pickle, and enough to rank from."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from segue.batches.split import split_store
from segue.config import read_toml
from segue.errors import FormatError, InputError
from segue.runs import RunFolder, differences, load_run
from segue.runs.run_folder import read_tensors, write_tensors
from segue.training import FitOptions, fit
from support.small_recipes import small_recipe
from support.stores import tiny_store


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A finished run, beside its store."""
    folder = tmp_path_factory.mktemp("checkpoint")
    fit(tiny_store(folder / "store"), folder / "run", small_recipe(), FitOptions("cpu", "fp32"))
    return folder / "run"


@pytest.fixture
def run(trained, tmp_path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


def test_tensors_come_back_with_dtypes_document_and_equal_bytes(tmp_path):
    tensors = {"a": torch.arange(6).reshape(2, 3), "b": torch.tensor(2.5, dtype=torch.float64), "c": torch.empty(0)}
    document = {"epoch": 3, "loss": 0.1 + 0.2, "name": "Bärtschi"}
    write_tensors(tmp_path / "x", tensors, document)
    write_tensors(tmp_path / "y", dict(reversed(tensors.items())), dict(reversed(document.items())))
    back, read = read_tensors(tmp_path / "x")
    assert read == document
    assert all(torch.equal(back[name], value) and back[name].dtype == value.dtype for name, value in tensors.items())
    assert (tmp_path / "x").read_bytes() == (tmp_path / "y").read_bytes()


@pytest.mark.parametrize("keep", [0, 4, 40, -1])
def test_a_cut_file_is_refused(tmp_path, keep):
    write_tensors(tmp_path / "x", {"a": torch.arange(60)}, {"epoch": 1})
    whole = (tmp_path / "x").read_bytes()
    (tmp_path / "x").write_bytes(whole[:keep])
    with pytest.raises(FormatError, match="damaged"):
        read_tensors(tmp_path / "x")


def test_a_finished_run_holds_what_the_design_lists_and_nothing_pickled(trained):
    names = {str(path.relative_to(trained)) for path in trained.rglob("*") if path.is_file()}
    wanted = {
        "run.json",
        "config.toml",
        "environment.json",
        "state.json",
        "metrics.jsonl",
        "timings.jsonl",
        "best/weights.safetensors",
        "last/weights.safetensors",
        "training_counts.npy",
        "candidates.npy",
        "vocabulary/bytes.npy",
        "vocabulary/offsets.npy",
        "tracks/title/bytes.npy",
        "tracks/artist/bytes.npy",
    }
    assert wanted <= names
    assert not any(name.endswith((".pt", ".pth", ".pkl", ".part", ".old")) for name in names)
    assert any(name.startswith("tensorboard/") for name in names)
    assert read_toml(trained / "config.toml")["recipe_version"] == 3
    document = json.loads((trained / "run.json").read_text())
    assert (document["run_version"], sorted(document)) == (1, ["config", "run_version"])


def test_a_run_recommends_without_its_store(trained):
    loaded = load_run(trained)
    store = tiny_store(trained.parent / "same")
    split = split_store(store, loaded.recipe.data)
    assert loaded.recipe == small_recipe(data__split=split.kind)
    assert loaded.vocabulary.texts(range(3)) == store.vocabulary.texts(range(3))
    assert loaded.titles is not None
    assert loaded.artists is not None
    assert (loaded.titles.text(5), loaded.artists.text(5)) == ("Title 5", "Artist 1")
    assert np.array_equal(loaded.training_counts, split.training_counts)
    assert np.array_equal(loaded.candidates, split.candidates)
    assert not loaded.encoder.training
    assert not loaded.encoder.table.sparse


def test_the_environment_names_data_machine_and_seed(trained):
    environment = load_run(trained).environment
    assert environment["store"]["fingerprint"] == tiny_store(trained.parent / "again").manifest.fingerprint
    assert environment["torch"] == torch.__version__
    assert (environment["seed"], environment["device"], environment["simulated"]) == (0, "cpu", {})
    assert environment["threads"] == torch.get_num_threads()


def test_differences_name_what_decides_bytes():
    now = dict.fromkeys(("torch", "numpy", "processor", "device", "device_name", "precision", "threads"), 1)
    assert differences({**now, "cores": 3}, {**now, "cores": 4}) == []
    assert differences({**now, "threads": 2}, now) == ["threads: 2 -> 1"]


@pytest.mark.parametrize("document", ['{"run_version": 2}', "{}", "[]", "nonsense"])
def test_another_run_version_is_refused(run, document):
    (run / "run.json").write_text(document)
    with pytest.raises(FormatError):
        load_run(run)


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(FormatError, match="not a run"):
        load_run(tmp_path)


def test_weights_of_another_shape_are_refused(run):
    text = (run / "config.toml").read_text()
    (run / "config.toml").write_text(text.replace("width = 16", "width = 32"))
    with pytest.raises(FormatError, match="has changed since the run was made"):
        load_run(run)
    (run / "run.json").write_text('{"run_version": 1}')  # as older versions write it
    with pytest.raises(FormatError, match="does not fit"):
        load_run(run)


def test_a_config_that_is_cut_at_any_line_is_refused(run):
    lines = (run / "config.toml").read_text().splitlines(keepends=True)
    for size in range(len(lines)):
        (run / "config.toml").write_text("".join(lines[:size]))
        with pytest.raises((FormatError, InputError), match=r"config\.toml"):
            load_run(run)


def test_a_run_without_weights_says_so(run):
    shutil.rmtree(run / "best")
    with pytest.raises(FormatError, match="missing"):
        load_run(run)


def test_a_torn_last_line_is_passed_over_and_later_epochs_are_cut(run):
    folder = RunFolder.open(run)
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 5, "lo')
    assert [line["epoch"] for line in folder.lines()] == [1, 2, 3, 4]
    before = (run / "metrics.jsonl").read_bytes().split(b"\n")
    folder.keep_epochs(2)
    assert (run / "metrics.jsonl").read_bytes() == b"\n".join(before[:2]) + b"\n"


def test_too_little_disk_is_refused_with_the_amount(run):
    with pytest.raises(InputError, match=r"need 8000000000\.0 GB"):
        RunFolder.open(run).check_disk(10**18)
