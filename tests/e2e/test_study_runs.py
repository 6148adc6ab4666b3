"""A study trains what is missing, keeps what is finished, and says what its numbers say."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from segue.errors import InputError, SegueError
from segue.evaluation.metrics import hit
from segue.studies.result_file import rounded
from segue.studies.trials.trial_folder import TrialFolder
from segue.verbs.evaluate import EvaluateOptions, evaluate
from segue.verbs.study import StudyOptions, study
from segue.verbs.train import TrainOptions, train
from support.small_recipes import SMALL
from support.stores import tiny_store

ARMS = ("causal-s-minus", "causal-s-plus-track")
OVERRIDES: dict[str, Any] = {**SMALL, "next_track.kind": "shared", "training.epochs": 2, "training.patience": 9}


def _study(folder: Path, out: str = "study", **more: Any) -> dict[str, Any]:
    given = {"seeds": 2, "overrides": OVERRIDES, "arm": ARMS, "no_tune": True, "device": "cpu"} | more
    return study(folder / "store", folder / out, StudyOptions(**given))


def _times(out: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in (out / "trials").rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("study")
    tiny_store(folder / "store")
    return folder, _study(folder)


def test_a_trial_is_what_train_and_evaluate_give(made: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    folder, result = made
    overrides = OVERRIDES | {"training.seed": 1}
    train(
        folder / "store",
        tmp_path / "run",
        TrainOptions(recipe="paper-causal-s-plus-track", overrides=overrides, device="cpu"),
    )
    direct = evaluate(tmp_path / "run", folder / "store", EvaluateOptions(model_only=True, device="cpu"))
    for protocol in ("sampled", "full"):
        value = result["arms"]["causal-s-plus-track"]["per_seed"][protocol]["hr@10"][1]
        assert value == rounded(direct.row("model", protocol).metrics["hr@10"].value)


def test_a_stratum_counts_where_the_whole_does(made: tuple[Path, dict[str, Any]]) -> None:
    _, result = made
    assert result["strata"]
    for record in result["strata"]:
        (whole,) = (
            one for one in result["contrasts"]
            if all(one[key] == record[key] for key in ("arm", "less", "protocol", "metric"))
        )  # fmt: skip
        assert whole["reasons"], "two epochs do not converge"
        assert record["counts"] == whole["counts"]


def test_a_contrast_is_the_mean_of_the_seeds(made: tuple[Path, dict[str, Any]]) -> None:
    folder, result = made
    study = TrialFolder(folder / "study")
    found = {arm: [study.evaluation(f"{arm}--seed-{seed}") for seed in range(2)] for arm in ARMS}
    for protocol, cutoff in (("sampled", 1), ("sampled", 10), ("full", 20)):
        levels = {
            arm: [hit(one.row("model", protocol).ranks, cutoff).mean() for one in each] for arm, each in found.items()
        }
        (record,) = (r for r in result["contrasts"] if r["protocol"] == protocol and r["metric"] == f"hr@{cutoff}")
        wanted = [b - a for a, b in zip(*levels.values(), strict=True)]
        assert record["per_seed"] == pytest.approx(wanted, rel=1e-5)
        assert record["difference"] == pytest.approx(sum(wanted) / 2, rel=1e-5)
        assert record["holm"] is None or record["holm"] >= record["p_value"]
        low, high = record["bootstrap_interval"]
        assert low <= record["difference"] <= high


def test_a_capped_training_carries_no_verdict(made: tuple[Path, dict[str, Any]]) -> None:
    _, result = made
    assert not any(record["counts"] for record in result["contrasts"])
    assert {answer["answer"] for answer in result["verdict"]} == {"no verdict"}
    assert "met the epoch cap: every arm" in result["verdict"][0]["why"]


def test_a_split_without_pairs_and_a_bar_that_was_not_measured_are_answered_without_them(tmp_path: Path) -> None:
    tiny_store(tmp_path / "store", sessions=60)
    overrides = OVERRIDES | {"data.split": "temporal", "training.epochs": 1}
    result = _study(tmp_path, seeds=1, overrides=overrides, baseline=("popularity",))
    assert {row["name"] for row in result["baselines"]} == {"popularity"}
    reasons = {reason["why"] for record in result["contrasts"] for reason in record["reasons"]}
    assert "was not held against markov" in reasons
    assert not any(record["counts"] for record in result["contrasts"])
    metrics = {record["metric"] for record in result["contrasts"]}
    assert "hr@10" in metrics
    assert not {"pair-auc", "log-rank.listened"} & metrics
    assert "listened track" not in " ".join(answer["question"] for answer in result["verdict"])


def test_a_finished_study_is_not_run_again_and_says_the_same(made: tuple[Path, dict[str, Any]]) -> None:
    folder, result = made
    before = _times(folder / "study")
    assert _study(folder) == result
    assert result["left_out"] == {}
    assert _times(folder / "study") == before
    more = _study(folder, seeds=3)  # a seed more trains that seed alone
    assert set(before.items()) <= set(_times(folder / "study").items())
    assert more["settings"]["seeds"] == 3
    assert not (folder / "study" / "runs").exists() or not list((folder / "study" / "runs").iterdir())


def test_reports_hold_every_arm_and_escape_what_they_show(made: tuple[Path, dict[str, Any]]) -> None:
    from segue.studies.report import report_html, report_markdown

    _, result = made
    hostile = json.loads(json.dumps(result))
    hostile["simulated"] = {"world": "<script>alert(1)</script>"}
    hostile["arms"]["causal-s-minus"]["title"] = "<b>|x"
    page, text = report_html(hostile), report_markdown(hostile)
    assert "<script" not in page
    assert "<b>|x" not in page
    assert "&lt;b>\\|x" in text
    assert "simulated" in page
    assert "*Simulated*" in text
    for file in ("report.md", "report.html"):
        shown = (made[0] / "study" / file).read_text(encoding="utf-8")
        assert "causal S+ track" in shown
        assert "popularity" in shown


def test_another_study_in_the_same_place_is_refused(made: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = made
    with pytest.raises(InputError, match="holds another study"):
        _study(folder, overrides=OVERRIDES | {"training.epochs": 3})
    tiny_store(folder / "other", seed=5)
    with pytest.raises(InputError, match="holds another study"):
        study(folder / "other", folder / "study", StudyOptions(overrides=OVERRIDES, arm=ARMS, no_tune=True))


def test_an_arm_takes_the_settings_that_validation_chose(tmp_path: Path) -> None:
    tiny_store(tmp_path / "store")
    tuned = {"no_tune": False, "tuning_epochs": 1, "arm": ARMS[1:], "baseline": ("popularity",)}
    arm = _study(tmp_path, seeds=1, **tuned)["arms"][ARMS[1]]
    folder = TrialFolder(tmp_path / "study")
    assert len(arm["tuning"]) == 4
    tried = [folder.trial(f"{ARMS[1]}--tuning-{number:05d}") for number in range(4)]
    assert {outcome.epochs for _, outcome in tried} == {1}
    assert arm["settings"] in [trial.settings for trial, _ in tried]
    assert arm["seeds"][0]["epochs"] == 2  # what is reported has the recipe's cap
    best = max(one["validation_ndcg@20"] for one in arm["tuning"])
    first = next(one for one in arm["tuning"] if one["validation_ndcg@20"] == best)
    assert arm["settings"]["training.learning_rate"] == first["training.learning_rate"]


def test_optuna_may_choose_each_arms_settings(tmp_path: Path) -> None:
    tiny_store(tmp_path / "store")
    tuned = {"no_tune": False, "tuning_trials": 2, "tuning_epochs": 1, "baseline": ("popularity",)}
    result = _study(tmp_path, seeds=1, **tuned)
    for arm, keys in zip(ARMS, (0, 2), strict=True):
        record = result["arms"][arm]
        assert len(record["tuning"]) == 2
        assert len(record["settings"]) == 2 + keys  # rate and dropout; S+ has weight and temperature of its term
        assert record["settings"].items() <= max(record["tuning"], key=lambda one: one["validation_ndcg@20"]).items()
    assert _study(tmp_path, seeds=1, **tuned) == result
    with pytest.raises(InputError, match="where nothing is tuned"):
        _study(tmp_path, "other", tuning_trials=2)


def test_a_training_that_fails_ends_the_study_with_its_message(tmp_path: Path) -> None:
    tiny_store(tmp_path / "store")
    with pytest.raises(SegueError, match="NaN or infinite") as found:
        _study(tmp_path, overrides=OVERRIDES | {"training.learning_rate": 1e30})
    assert found.value.exit_code == 1


def test_a_killed_study_goes_on(tmp_path: Path) -> None:
    tiny_store(tmp_path / "store")
    command = [sys.executable, "-m", "segue", "study", tmp_path / "store", tmp_path / "study", "--seeds", "2"]
    command += ["--device", "cpu", "--no-tune", *(part for arm in ARMS for part in ("--arm", arm))]
    command += [part for key, value in OVERRIDES.items() for part in ("--set", f"{key}={value}")]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    begun = subprocess.Popen(list(map(str, command)), env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not list((tmp_path / "study").glob("trials/*/trial.json")) and time.monotonic() < deadline:
        time.sleep(0.05)
    begun.send_signal(signal.SIGKILL)
    begun.communicate()
    kept = _times(tmp_path / "study")
    assert kept
    result = _study(tmp_path)
    assert set(kept.items()) <= set(_times(tmp_path / "study").items())
    assert len(result["arms"]["causal-s-minus"]["seeds"]) == 2
