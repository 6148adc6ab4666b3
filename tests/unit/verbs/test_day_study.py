"""A study by days trains each recipe with each seed, and measures all on the same days."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from segue.cli.main import main
from segue.errors import FormatError, InputError
from segue.evaluation import DayEvaluation
from segue.ranking.baselines import Markov
from segue.studies.study_options import StudyOptions
from segue.verbs import day_study
from segue.verbs.evaluator import Evaluator
from segue.verbs.study import report, study
from support.day_stores import day_store

SMALL: dict[str, Any] = {
    "encoder.width": 16,
    "encoder.heads": 2,
    "data.next_day.until": 0,
    "data.next_day.train_days": 0,
    "training.epochs": 1,
    "evaluation.resamples": 20,
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("days")
    day_store(folder, sessions=120, listeners=12, tracks=60)
    study(folder / "store", folder / "out", options())
    return folder


def options(**changes: Any) -> StudyOptions:
    return StudyOptions(**{"recipe": "yambda-50m", "seeds": 2, "overrides": SMALL, "device": "cpu"} | changes)


def test_rows_are_those_of_the_evaluation_of_all_seeds(made: Path) -> None:
    result = json.loads((made / "out" / "result.json").read_text())
    assert list(result["arms"]) == ["segue", "sasrec"]
    for arm, document in result["arms"].items():
        runs = [made / "out" / "runs" / f"{arm}-{seed}" for seed in (0, 1)]
        found = Evaluator(made / "store", device="cpu").evaluate_seeds(runs).to_json()
        model, *others = (row for row in json.loads(json.dumps(found))["rows"] if row["name"] != "model, lambda 0")
        assert document["rows"][0] == model
        assert document["counts"]["runs"] == 2
        assert any(row["kind"] == "baseline" for row in document["rows"]) == (arm == "segue")
        assert "own-plays" in {row["name"] for row in others}
    assert result["arms"]["sasrec"]["changes"]["data.history"] == 200
    assert result["arms"]["sasrec"]["changes"]["data.next_day.gap_minutes"] == 30


def test_the_reports_have_each_row_once_and_say_simulated(made: Path, tmp_path: Path) -> None:
    text = (made / "out" / "report.md").read_text()
    for name in ("segue", "SASRec over the last 200 plays", "own-plays", "bpr", "ials"):
        assert text.count(f"\n| {name} |") == 3
    page = (made / "out" / "report.html").read_text()
    assert "SASRec over the last 200 plays" in page
    document = json.loads((made / "out" / "result.json").read_text())
    document["arms"]["segue"]["title"] = "<script>alert(1)</script>"
    document["arms"]["segue"]["simulated"] = {"world": "full"}
    document["arms"]["segue"]["published"] = {"SASRec": {"yambda-ndcg@10": 0.0748}}
    (tmp_path / "result.json").write_text(json.dumps(document))
    report(tmp_path / "result.json", tmp_path / "again")
    assert "<script>" not in (tmp_path / "again" / "report.html").read_text()
    again = (tmp_path / "again" / "report.md").read_text()
    assert again.count("Simulated data. ") == 1
    assert again.count("| SASRec, published | 0.0748 |") == 1


def test_what_is_trained_is_not_trained_again(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path: path.read_bytes() for path in (made / "out" / "runs").rglob("metrics.jsonl")}
    assert len(before) == 4
    result = study(made / "store", made / "out", options())
    assert {path: path.read_bytes() for path in before} == before
    assert result["report"] == str(made / "out" / "report.html")
    with pytest.raises(InputError, match="another recipe"):
        study(made / "store", made / "out", options(overrides=SMALL | {"encoder.blocks": 1}))


def test_named_baselines_alone_are_fitted(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Markov, "__init__", None)
    stages = list[str]()
    result = study(
        made / "store",
        made / "out",
        options(baseline=("bpr", "popularity")),
        progress=lambda step: stages.append(step.stage),
    )
    rows = result["arms"]["segue"]["rows"]
    assert [row["name"] for row in rows if row["kind"] == "baseline"] == ["popularity", "bpr"]
    assert {"fit popularity", "fit bpr", "fit baselines"} <= set(stages)


def test_an_interrupted_rerun_keeps_the_result_of_before(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study(made / "store", made / "out", options(baseline=("popularity",)))
    before, evaluate = (made / "out" / "result.json").read_bytes(), Evaluator.evaluate_seeds

    def interrupted(self: Evaluator, runs: list[Path], **given: Any) -> DayEvaluation:
        if "sasrec" in runs[0].name:
            raise KeyboardInterrupt
        return evaluate(self, runs, **given)

    monkeypatch.setattr(Evaluator, "evaluate_seeds", interrupted)
    with pytest.raises(KeyboardInterrupt):
        study(made / "store", made / "out", options(baseline=("popularity",)))
    assert (made / "out" / "result.json").read_bytes() == before
    with pytest.raises(KeyboardInterrupt):
        study(made / "store", made / "new", options(seeds=1, baseline=("popularity",)))
    assert list(json.loads((made / "new" / "result.json").read_text())["arms"]) == ["segue"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tuning_trials": 3}, "leave --tuning-trials"),
        ({"baseline": ("popularty",)}, "no baseline 'popularty'.*popularity"),
        ({"seeds": 0}, "at least one training"),
        ({"arm": ("sasrek",)}, "no arm 'sasrek'; it has segue, sasrec"),
    ],
)
def test_options_it_does_not_have_are_refused(made: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        study(made / "store", made / "elsewhere", options(**changes))


def test_a_file_that_is_no_result_is_refused(tmp_path: Path) -> None:
    for text in ('{"study": "yambda-50m"}', '{"study": "yambda-50m", "arms": {}}'):
        (tmp_path / "result.json").write_text(text)
        with pytest.raises(FormatError, match="not a result of segue study"):
            report(tmp_path / "result.json", tmp_path / "out")


def test_the_command_prints_the_tables(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = [f"--set={key}={value}" for key, value in SMALL.items()]
    command = ["study", str(made / "store"), str(made / "out"), "--recipe", "yambda-50m", "--seeds", "2", "--quiet"]
    assert main([*command, "--device", "cpu", *given]) == 0
    assert "| own-plays |" in capsys.readouterr().out
    assert main(["studies"]) == 0
    assert all(name in capsys.readouterr().out for name in day_study.DAY_STUDIES)
