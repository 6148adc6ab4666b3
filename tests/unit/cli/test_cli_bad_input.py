"""Bad input through the command: exit 2, nothing on stdout, and a message that says what, where and what to do."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from segue.cli.main import main
from segue.simulation import config_of
from segue.simulation import simulate as simulate_log
from segue.verbs.train import TrainOptions, train
from support.small_recipes import SMALL
from support.stores import tiny_store

SHORT = TrainOptions("paper-causal-s-plus-track", SMALL | {"training.epochs": 1}, device="cpu")
PLAYS = {"session": ["a"] * 5, "track": list("vwxyz")}
NESTED = [[1]] * 5
COLUMNS: dict[str, dict[str, Any]] = {
    "session": {"session": NESTED},
    "track": {"track": [b"\xff"] * 5},
    "position": {"position": NESTED},
    "time": {"time": [datetime.timedelta(seconds=i) for i in range(5)]},
    "skipped": {"skipped": [{"a": 1}] * 5},
    "listened": {"listened": NESTED},
    "strength": {"strength": NESTED},
    "played": {"played": NESTED, "duration": [1] * 5},
    "duration": {"duration": [datetime.time(1, 2, i) for i in range(5)], "played": [1] * 5},
    "side": {"mood": [b"\xff"] * 5},
}
"""Role -> columns of a type that it cannot be."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store and a run of one epoch."""
    folder = tmp_path_factory.mktemp("made")
    tiny_store(folder / "store")
    train(folder / "store", folder / "run", SHORT)
    return folder


def refused(capsys: pytest.CaptureFixture[str], *argv: object) -> str:
    """Return what a refused command says."""
    assert main([str(part) for part in argv]) == 2, capsys.readouterr()
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("segue: ")
    assert "Traceback" not in shown.err
    return shown.err


def log_of(path: Path, *lines: str) -> Path:
    """Return a text file of `lines`."""
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("role", COLUMNS)
def test_a_column_of_the_wrong_type_is_named(role: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pl.DataFrame(PLAYS | COLUMNS[role]).write_parquet(tmp_path / "log.parquet")
    side = ("--side", "mood") if role == "side" else ()
    message = refused(capsys, "prepare", "table", tmp_path / "log.parquet", tmp_path / "store", *side)
    assert f"log.parquet: column {next(iter(COLUMNS[role]))!r} is of type" in message
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("column", ["played", "duration"])
def test_a_length_that_is_no_number_is_a_bad_row(
    column: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = {"played": "soon,200", "duration": "3,3:45"}[column]
    log = log_of(tmp_path / "log.csv", "session,track,played,duration", "s,a,3,200", f"s,b,{odd}", "s,c,,200")
    message = refused(capsys, "prepare", "table", log, tmp_path / "store")
    assert "wrong-number 1; first: log.csv line 3" in message
    assert main(["prepare", "table", str(log), str(tmp_path / "store"), "--max-rejected", "0.5", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rejected"] == {"wrong-number": 1}


@pytest.mark.parametrize("option", [("--gap-minutes", "0"), ("--gap-minutes", "nan"), ("--max-length", "0")])
def test_a_cut_that_cannot_be_is_refused_even_where_sessions_are_given(
    option: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = log_of(tmp_path / "log.csv", "session,track", "s,a", "s,b", "s,c")
    assert "positive" in refused(capsys, "prepare", "table", log, tmp_path / "store", *option)


@pytest.mark.parametrize(
    "argv",
    [
        ("simulate", "x", "--sessions", "1.5"),
        ("simulate", "x", "--tracks", "200.4"),
        ("simulate", "x", "--seed", "0.5"),
        ("prepare", "table", "x", "y", "--max-length", "2.5"),
        ("train", "x", "y", "--seed", "1.5"),
        ("recommend", "x", "--session", "a", "-k", "1.5"),
        ("demo", "x", "--sessions", "20.5"),
    ],
)
def test_a_whole_number_is_not_rounded(
    argv: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "whole number" in refused(capsys, *argv)


def test_resume_and_overwrite_contradict(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    message = refused(capsys, "train", made / "store", made / "run", "--resume", "--overwrite")
    assert "--resume" in message
    assert "--overwrite" in message


@pytest.mark.parametrize("suffix", ["skpi", "SKIP", "listened", ""])
def test_a_misspelt_suffix_of_a_known_track_is_refused(
    suffix: str, made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = refused(capsys, "recommend", made / "run", "--session", f"t0001,t0002:{suffix}")
    assert f"'t0002:{suffix}'" in message
    assert "mostly, brief, skip, unknown" in message


def test_a_session_of_unknown_tracks_alone_says_so(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recommend", str(made / "run"), "--session", "nobody:knows,this:skip", "-k", "2"]) == 0
    shown = capsys.readouterr()
    assert "nobody:knows, this" in shown.err
    assert "no track of the session is known" in shown.err
    assert main(["recommend", str(made / "run"), "--session", "t0001,nobody", "-k", "2"]) == 0
    assert "no track" not in capsys.readouterr().err


def test_feedback_that_the_encoder_does_not_read_is_said_to_change_nothing(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lists = []
    for session in ("t0001,t0002", "t0001,t0002:skip"):
        assert main(["recommend", str(made / "run"), "--session", session, "-k", "5"]) == 0
        shown = capsys.readouterr()
        lists.append(shown.out)
        assert ("do not change the list" in shown.err) == (":skip" in session)
    assert lists[0] == lists[1]


def test_a_misspelt_key_of_a_session_file_is_refused(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    session = log_of(tmp_path / "s.json", '[{"track": "t0001", "feedbak": "skip"}]')
    message = refused(capsys, "recommend", made / "run", "--session-json", session)
    assert "'feedbak'; did you mean 'feedback'" in message


def test_what_recommend_prints_can_be_its_next_session(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["recommend", str(made / "run"), "-k", "3", "--json"]
    assert main([*argv, "--session", "t0001"]) == 0
    found = json.loads(capsys.readouterr().out)["recommended"]
    assert main([*argv, "--session-json", str(log_of(tmp_path / "s.json", json.dumps(found)))]) == 0


def test_a_surplus_word_is_named_with_the_verb_that_refused_it(capsys: pytest.CaptureFixture[str]) -> None:
    message = refused(capsys, "recipes", "paper-causal-s-minus")
    assert "'paper-causal-s-minus'" in message
    assert "segue recipes --help" in message
    assert "segue prepare --help" in refused(capsys, "prepare", "table", "--bogus")
    assert "segue --help" in refused(capsys, "tran")


def test_a_damaged_oracle_is_refused_in_plain_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from segue.data.mssd_writer import write_mssd

    write_mssd(simulate_log(config_of(20, 200, 1, "full")), tmp_path / "log")
    for damage in (b"zzz", (tmp_path / "log" / "oracle.parquet").read_bytes()[:-200]):
        (tmp_path / "log" / "oracle.parquet").write_bytes(damage)
        message = refused(capsys, "prepare", "mssd", tmp_path / "log", tmp_path / "store")
        assert str(tmp_path / "log" / "oracle.parquet") in message
    (tmp_path / "log" / "oracle.parquet").unlink()
    pl.DataFrame(
        {"session_id": ["x"], "session_position": [NESTED], "p_listen": [1], "p_listen_common": [1]}
    ).write_parquet(tmp_path / "log" / "oracle.parquet")
    assert "oracle.parquet" in refused(capsys, "prepare", "mssd", tmp_path / "log", tmp_path / "store")


def test_a_rating_that_is_not_there_is_unknown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = log_of(tmp_path / "r.csv", "user,item,rating,timestamp", "u,a,5,0", "u,b,,1", "u,c,1,2")
    assert main(["prepare", "ratings", str(log), str(tmp_path / "store")]) == 0
    assert main(["inspect", str(tmp_path / "store"), "--json"]) == 0
    strengths = json.loads(capsys.readouterr().out.splitlines()[-1])["strengths"]
    assert strengths["unknown"] == pytest.approx(1 / 3)
