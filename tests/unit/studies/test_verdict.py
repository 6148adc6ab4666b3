"""The answers in words follow from the numbers, and from nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from segue.errors import FormatError, InputError
from segue.files import read_json_object
from segue.studies.report import report_markdown
from segue.studies.result_file import by_column, read_result, records, rounded
from segue.studies.verdict import LEVEL, verdicts
from segue.verbs import day_study
from segue.verbs.study import report

BAR = {"hr@10": [0.6, 0.59, 0.61]}


def _record(**more: Any) -> dict[str, Any]:
    record = {
        "arm": "plus", "less": "minus", "about": "skips", "protocol": "sampled", "metric": "hr@10", "stratum": "",
        "primary": True, "difference": 0.01, "per_seed": [0.01, 0.01], "t_interval": [0.005, 0.015],
        "bootstrap_interval": [0.006, 0.014], "p_value": 0.01, "direction": "rise", "verdict": "gain", "holm": 0.02,
        "counts": True, "reasons": [],
    }  # fmt: skip
    return record | more


def _result(*records: dict[str, Any], levels: dict[str, list[float]] | None = None, world: str = "") -> dict[str, Any]:
    levels = levels or {"plus": [0.8, 0.81], "minus": [0.79, 0.8]}
    arms = {
        name: {
            "title": name.upper(),
            "tuning": [],
            "per_seed": {"sampled": {f"hr@{k}": values for k in (1, 5, 10, 20)}},
        }
        for name, values in levels.items()
    }
    return {
        "arms": arms,
        "contrasts": list(records),
        "baselines": [{"name": "popularity", "protocol": "sampled", **BAR}],
        "simulated": {"world": world} if world else {},
        "settings": {"tuning_epochs": 10},
    }


def _answer(result: dict[str, Any], start: str) -> dict[str, Any]:
    found = [answer for answer in verdicts(result) if answer["question"].startswith(start)]
    assert len(found) == 1, [answer["question"] for answer in verdicts(result)]
    return found[0]


@pytest.mark.parametrize(
    ("records", "answer"),
    [
        ([{}, {"metric": "hr@1"}], "yes, in every contrast"),
        ([{}, {"verdict": "none shown"}], "in 1 of 2 contrasts"),
        ([{}, {"verdict": "loss"}], "in 1 of 2 contrasts, and it loses in 1"),
        ([{"verdict": "loss"}, {"verdict": "none shown"}], "no: it loses in 1 of 2"),
        ([{"verdict": "none shown"}], "not shown"),
        ([{"holm": 0.05}], "not shown"),  # not below .05 after correction
        ([{"holm": None}], "not shown"),  # one seed
        ([{"counts": False}], "no verdict"),
        ([{"counts": False}, {"verdict": "none shown"}], "not shown"),
    ],
)
def test_the_primary_family(records: list[dict[str, Any]], answer: str) -> None:
    result = _result(*(_record(**more) for more in records))
    assert _answer(result, "Do skips help")["answer"] == answer


@pytest.mark.parametrize("holm", [None, 0.0499, 0.05, 0.0501, 0.9])  # one seed has none
@pytest.mark.parametrize("verdict", ["gain", "loss"])
def test_a_gain_or_a_loss_is_counted_where_holms_p_is_below_the_level(verdict: str, holm: float | None) -> None:
    shown = holm is not None and holm < LEVEL == 0.05
    alone = _answer(_result(_record(verdict=verdict, holm=holm)), "Do skips help")
    assert alone["answer"] == (
        "not shown" if not shown else {"gain": "yes, in every contrast", "loss": "no: it loses in 1 of 1"}[verdict]
    )
    gains, losses = (shown and verdict == one for one in ("gain", "loss"))
    told = {True: ("is 1 gain", "is 1 loss"), False: ("are 0 gains", "are 0 losses")}
    assert f"after Holm's correction there {told[gains][0]} and there {told[losses][1]} among them" in alone["why"]


@pytest.mark.parametrize("holm", [None, 0.05])
def test_a_loss_that_does_not_survive_holm_is_no_loss_beside_a_gain(holm: float | None) -> None:
    records = _record(), _record(metric="hr@1", verdict="loss", holm=holm), _record(metric="hr@5", verdict="none shown")
    found = _answer(_result(*records), "Do skips help")
    assert found["answer"] == "in 1 of 3 contrasts"
    assert "there are 0 losses" in found["why"]


@pytest.mark.parametrize(
    ("found", "answer"),
    [
        (["gain", "gain"], "yes"),
        (["loss", "loss"], "no, the other way round"),
        (["gain", "loss"], "it depends"),
        (["gain", "none shown"], "in part"),
        (["none shown", "loss"], "in part the other way round"),
        (["none shown", "none shown"], "not shown"),
    ],
)
def test_questions_without_a_family(found: list[str], answer: str) -> None:
    result = _result(*(_record(about="term", primary=False, verdict=one) for one in found))
    assert _answer(result, "Is the term better")["answer"] == answer
    for record in result["contrasts"]:
        record["counts"] = False
    assert _answer(result, "Is the term better")["answer"] == "no verdict"


def test_what_does_not_count_is_not_tallied() -> None:
    gain, loss = (_record(about="term", primary=False, verdict=verdict) for verdict in ("gain", "loss"))
    found = _answer(_result(gain, loss | {"counts": False}), "Is the term better")
    assert found["answer"] == "yes, where it counts"
    assert found["why"].startswith("1 of 2 differences count; there is 1 gain and there are 0 losses among them.")


def test_metrics_that_are_not_asked_about_change_no_answer() -> None:
    asked, other = _record(about="term", primary=False), _record(about="term", metric="hr@5", verdict="loss")
    assert _answer(_result(asked, other | {"primary": False}), "Is the term better")["answer"] == "yes"


def test_both_ranks_must_move_the_right_way() -> None:
    def ranks(heard: str, passed: str, counts: bool = True) -> dict[str, Any]:
        records = [
            _record(protocol="full", metric=f"log-rank.{kind}", direction=direction, primary=False, counts=counts)
            for kind, direction in (("listened", heard), ("skipped", passed))
        ]
        return _answer(_result(*records), "Does the listened track's rank")

    assert ranks("fall", "rise")["answer"] == "yes"
    assert ranks("fall", "fall")["answer"] == "not shown"
    assert ranks("rise", "rise")["answer"] == "not shown"
    assert ranks("fall", "rise", counts=False)["answer"] == "no verdict"


def test_why_a_contrast_does_not_count_is_told_once_with_its_protocol() -> None:
    below = [{"arm": "plus", "why": "does not beat markov"}]
    records = [_record(counts=False, reasons=below), _record(metric="hr@1", counts=False, reasons=below), _record()]
    assert _answer(_result(*records), "Do skips")["why"].endswith(
        " Some contrasts do not count (not above first-order Markov among 1000 sampled tracks: PLUS)."
    )
    tuned = {**_result(*records), "tuning_of_baselines": {"markov": {}}}
    assert "not above Markov among" in _answer(tuned, "Do skips")["why"]
    both = [*below, {"arm": "minus", "why": "does not beat markov"}]
    why = _answer(_result(_record(counts=False, reasons=both)), "Do skips")["why"]
    assert "among 1000 sampled tracks: every arm)" in why


def test_in_the_null_world_a_gain_is_called_regularisation() -> None:
    gain = _answer(_result(_record(), world="null"), "Do skips")
    assert "regularisation" in gain["why"]
    assert gain["details"][0].endswith("gain by regularisation")
    assert "regularisation" not in _answer(_result(_record(verdict="loss"), world="null"), "Do skips")["why"]
    assert "regularisation" not in json.dumps(verdicts(_result(_record(), world="full")))


def test_a_training_left_on_the_plateau_is_named_and_its_pair_is_left_out() -> None:
    levels = {"plus": [0.81, 0.80, 0.80], "minus": [0.80, 0.605, 0.82]}
    record = _record(per_seed=[0.01, 0.195, -0.02], verdict="none shown")
    found = _answer(_result(record, levels=levels), "Did every training leave")
    assert found["details"] == [
        "MINUS: seed 1 0.6050; its best seed 0.8200, popularity 0.6000",
        "PLUS less MINUS, HR@10 among 1000 sampled tracks, 2 of 3 seeds: -0.50 points (over seeds -19.56 to +18.56)",
    ]


def test_no_training_is_called_left_behind_where_all_are_level_or_popularity_is_near() -> None:
    for levels in ({"plus": [0.81, 0.80], "minus": [0.80, 0.79]}, {"plus": [0.64, 0.605], "minus": [0.62, 0.61]}):
        questions = [answer["question"] for answer in verdicts(_result(_record(), levels=levels))]
        assert not any(question.startswith("Did every") for question in questions)


def test_where_nothing_was_ranked_nothing_is_said_of_a_plateau() -> None:
    result = _result(_record(about="term", primary=False))
    result["baselines"][0]["hr@10"] = [None, None, None]
    assert not any(answer["question"].startswith("Did every") for answer in verdicts(result))


def test_tuning_that_saw_only_the_plateau_is_named() -> None:
    result = _result(_record(), levels={"plus": [0.8, 0.78], "minus": [0.61, 0.62], "other": [0.7, 0.7]})
    tried = {"plus": [0.61, 0.75], "minus": [0.6, 0.69], "other": [0.701, 0.2]}  # half way from .6 to .8 is .7
    for arm, scores in tried.items():
        result["arms"][arm]["tuning"] = [{"validation_hr@10": score} for score in scores]
    found = _answer(result, "Could the tuning")
    assert found["details"] == ["MINUS: 0.6000, 0.6900"]
    assert "given 10 epochs" in found["why"]
    assert "(0.6000) than to the best training (0.8000)" in found["why"]
    result["arms"]["minus"]["tuning"] = []  # not tuned: nothing to say
    assert not any(answer["question"].startswith("Could") for answer in verdicts(result))


def test_nothing_is_said_of_tuning_where_popularity_is_near_the_best() -> None:
    result = _result(_record(), levels={"plus": [0.64, 0.63], "minus": [0.61, 0.62]})
    result["arms"]["minus"]["tuning"] = [{"validation_hr@10": 0.6}]
    assert not any(answer["question"].startswith("Could") for answer in verdicts(result))


KEPT = Path(__file__).parents[3] / "studies" / "table1-ml-100k" / "result.json"


def test_reports_are_written_anew_from_a_result(tmp_path: Path) -> None:
    written = tmp_path / "new" / "folder"
    result = report(KEPT, written)
    assert (written / "result.json").read_bytes() == KEPT.read_bytes()
    assert read_result(written / "result.json") | {"report": str(written / "report.html")} == result
    assert (written / "report.md").read_bytes() == KEPT.with_name("report.md").read_bytes()
    page = (written / "report.html").read_text()
    assert page.startswith("<!")
    assert "validation HR@10 among 1000 sampled tracks" in page, "this result is older than validation among all tracks"
    document = json.loads(KEPT.read_text())
    (tmp_path / "evil.json").write_text(json.dumps(document | {"title": "<script>alert(1)</script>"}))
    report(tmp_path / "evil.json", written)
    assert "<script>alert" not in (written / "report.html").read_text()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"result_version": 2}', '{"result_version": 99, "contrasts": []}'])
def test_what_is_no_result_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(FormatError, match=r"result\.json"):
        report(tmp_path / "result.json", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="is a file"):
        report(KEPT, tmp_path / "file")


STORED = sorted(path.parent for path in KEPT.parents[1].rglob("report.md"))


@pytest.mark.parametrize("folder", STORED, ids=lambda folder: str(folder.relative_to(KEPT.parents[1])))
def test_a_stored_result_is_small_and_prints_its_report(folder: Path) -> None:
    assert (folder / "result.json").stat().st_size < 400_000  # the largest has 23 arms and 37 pairs
    if day_study.is_day_result(folder / "result.json"):
        printed = day_study.report_markdown(read_json_object(folder / "result.json"))
    else:
        printed = report_markdown(read_result(folder / "result.json"))
    assert printed == (folder / "report.md").read_text()


def test_a_number_is_cut_where_it_prints_as_it_did() -> None:
    assert rounded([0.123456789, 2.0, float("nan"), True, "x"]) == [0.123457, 2.0, None, True, "x"]
    assert rounded(0.802149999) == 0.802149999  # six digits would print .8022 for .8021


def test_columns_give_their_records_back() -> None:
    table = [{"arm": "causal", "span": [0.1 * i, None], "counts": i > 9} for i in range(20)]
    columns = by_column(table)
    assert columns["counts"] == {"values": [False, True], "rows": [0] * 10 + [1] * 10}
    assert isinstance(columns["span"], list)
    assert records(columns) == table
    assert records(by_column([])) == []
