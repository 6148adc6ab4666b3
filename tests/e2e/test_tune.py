"""`segue tune` on simulated sessions: what it prints and writes, what it refuses, and that it reads no test target."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from segue.cli.main import main
from segue.config import parse_override
from segue.errors import InputError, Interrupted
from segue.files import read_json
from segue.recipes import load_recipe
from segue.store import Store
from segue.verbs.evaluate import EvaluateOptions, evaluate
from segue.verbs.simulate import SimulateOptions, simulate
from segue.verbs.tune import TuneOptions, tune
from support.small_recipes import SMALL
from support.stores import tiny_store

RECIPE = "paper-causal-s-plus-track"
CHANGES = SMALL | {"training.epochs": 2, "training.batch_size": 32, "training.checkpoint_minutes": 5.0}
SETS = [word for key, value in CHANGES.items() if key != "training.epochs" for word in ("--set", f"{key}={value}")]
SETS += ["--recipe", RECIPE, "--device", "cpu", "--epochs", "2"]


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with a simulated store and the grid's search, interrupted in its first trial."""
    folder = tmp_path_factory.mktemp("tune")
    simulate(folder / "store", SimulateOptions(sessions=200, tracks=300, store=True))

    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(Interrupted, match="after 0 of 44 trials"):
        tune(
            folder / "store",
            folder / "cut",
            TuneOptions(RECIPE, grid="paper", overrides=CHANGES, device="cpu"),
            progress=interrupt,
        )
    return folder


def test_the_command_finds_a_recipe_and_says_simulated(place, capsys):
    given = ["tune", str(place / "store"), str(place / "out"), "--trials", "3", "--quiet", *SETS]
    assert main(given) == 0
    shown = capsys.readouterr()
    result = read_json(place / "out" / "result.json")
    assert shown.out.startswith("Data: simulated, world full.")
    assert result["simulated"]["world"] == "full"
    assert [trial["number"] for trial in result["trials"]] == [0, 1, 2]
    assert all(len(trial["curve"]) == trial["epochs"] == 2 for trial in result["trials"])
    best = result["best"]
    assert best["value"] == max(trial["value"] for trial in result["trials"] if trial["state"] == "finished")
    assert not best["converged"]
    assert any("not converged" in note for note in result["notes"])
    assert [path.name for path in (place / "out" / "runs").iterdir()] == [f"{best['number']:05d}"]
    text = (place / "out" / "best.toml").read_text()
    assert "simulated" in text.splitlines()[0]
    for figure in ("history", "importance"):
        assert "simulated" in (place / "out" / f"{figure}.svg").read_text()
        assert (place / "out" / f"{figure}.png").read_bytes()[:4] == b"\x89PNG"
    recipe = load_recipe(place / "out" / "best.toml")
    assert recipe.training.learning_rate == best["parameters"]["learning_rate"]
    words = shlex.split(best["command"])
    assert words[:4] == ["segue", "train", str(place / "store"), "RUN"]
    sets = dict(parse_override(words[i + 1]) for i, word in enumerate(words) if word == "--set")
    assert load_recipe(words[words.index("--recipe") + 1], sets | {"name": recipe.name}) == recipe
    assert best["command"] in shown.out
    assert main([*given[:3], "--resume", "--json", "--quiet"]) == 0
    assert json.loads(capsys.readouterr().out) == result


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("new", "--grid paper .* --trials N"),
        ("new --grid paper --trials 3", "--grid paper .* --trials N"),
        ("new --grid papre", "paper"),
        ("new --trials 0", "at least 1"),
        ("new --trials 2 --jobs 0", "at least 1"),
        ("new --trials 2 --recipe paper-casual-s-minus", "did you mean"),
        ("new --trials 2 --set training.epoch=3", "did you mean"),
        ("new --grid paper --set training.learning_rate=0.1", "leave its --set out"),
        ("cut --grid paper", "exists already"),
        ("store --grid paper --overwrite", "no tune.json"),
        ("cut --resume --overwrite", "leave one of them out"),
        ("cut --resume --trials 50", "leave --grid and --trials out"),
        ("cut --resume --seed 3", "keeps its recipe"),
        ("cut --resume --recipe paper-causal-s-minus", "another recipe"),
        ("store --resume", "has no tune.json"),
    ],
)
def test_what_cannot_be_searched_exits_2_and_says_why(place, capsys, words, message):
    out, *rest = words.split()
    code = main(["tune", str(place / "store"), str(place / out), "--quiet", *rest])
    shown = capsys.readouterr()
    assert (code, shown.out) == (2, "")
    assert "Traceback" not in shown.err
    assert re.search(message, " ".join(shown.err.split()))
    assert not (place / "new").exists()


def test_without_optuna_trials_name_the_extra_and_the_grid_begins(place, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert main(["tune", str(place / "store"), str(place / "new"), "--trials", "3", "--quiet"]) == 2
    assert "extra 'tune'" in capsys.readouterr().err
    assert not (place / "new").exists()


def test_a_search_goes_on_on_its_own_store_only(place, tmp_path):
    tiny_store(tmp_path / "other")
    with pytest.raises(InputError, match="another store"):
        tune(tmp_path / "other", place / "cut", TuneOptions(resume=True))


def poisoned(path: Path, source: Path, place: int) -> None:
    """Write the store `source` to `path` with each test target replaced by its session's track at `place`.

    Its feedback is turned round. A session's own tracks are never its candidates, so that those stay the same as long
    as the new target is one of them (method, section 5).
    """
    shutil.copytree(source, path)
    offsets = np.asarray(Store(path).offsets)
    for name in ("tracks", "strength"):
        values = np.load(path / "shard-00000" / f"{name}.npy")
        last = offsets[1:] - 1
        values[last] = values[offsets[:-1] + place] if name == "tracks" else (0, 3)[place]
        np.save(path / "shard-00000" / f"{name}.npy", values)


def test_no_test_target_is_read(tmp_path, monkeypatch):
    tiny_store(tmp_path / "source")
    found, tested = [], []
    for place in (0, 1):
        folder = tmp_path / str(place)
        folder.mkdir()
        monkeypatch.chdir(folder)  # so that the paths in the result are the same
        poisoned(Path("store"), tmp_path / "source", place)
        given = {"recipe": RECIPE, "overrides": CHANGES, "device": "cpu", "precision": "fp32", "keep_weights": True}
        result = tune("store", "out", TuneOptions(trials=2, **given))
        assert sorted(path.name for path in Path("out/runs").iterdir()) == ["00000", "00001"]
        kept = read_json(Path("out/result.json"))
        assert all(trial.pop("seconds") > 0 for trial in kept["trials"])
        files = [Path("out", name).read_bytes() for name in ("best.toml", "history.svg", "importance.svg")]
        weights = Path(result["best"]["run"], "best", "weights.safetensors").read_bytes()
        found.append((json.dumps(kept), files, weights))
        rows = evaluate(result["best"]["run"], "store", EvaluateOptions(model_only=True, protocol="sampled")).to_json()[
            "rows"
        ]
        tested.append(rows[0]["mrr"])
    assert found[0] == found[1]
    assert tested[0] != tested[1]  # the poison is one: whoever looks at test targets sees other numbers
