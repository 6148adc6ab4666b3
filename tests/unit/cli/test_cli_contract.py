"""Laws of the command line: what goes to stdout and stderr, and which exit code ends it."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import segue
from segue.cli import main as command
from segue.cli.main import main
from segue.errors import Interrupted, NonFiniteError, RejectedRowsError
from segue.output import os_message
from support.stores import tiny_store


def _table(path: Path) -> Path:
    rows = [f"s{s},t{(s + p) % 7},{int(p % 3 == 0)}" for s in range(8) for p in range(5)]
    path.write_text("session,track,skipped\n" + "\n".join(rows) + "\n")
    return path


@pytest.mark.parametrize("own", [None, "ACTIVE"])
def test_threads_that_wait_let_other_processes_work_unless_the_user_says_otherwise(
    own: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    if own is not None:
        monkeypatch.setenv("OMP_WAIT_POLICY", own)
    assert main(["recipes"]) == 0
    assert os.environ["OMP_WAIT_POLICY"] == (own or "PASSIVE")
    capsys.readouterr()


def test_version_and_help_go_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == segue.__version__
    assert main(["train", "--help"]) == 0
    shown = capsys.readouterr()
    assert "--print-config" in shown.out
    assert "\x1b" not in shown.out
    assert shown.err == ""


@pytest.mark.parametrize(
    "argv",
    [
        ["bogus"],
        ["train", "--bogus"],
        ["inspect"],
        ["inspect", "nowhere"],
        ["train"],
        ["recommend", "run"],
        ["recommend", "run", "--session", "a,,b"],
        ["recommend", "run", "--session", "a", "-k", "0"],
        ["simulate", "x", "--sessions", "many"],
        ["simulate", "x", "--world", "flat"],
        ["recipes", "show", "paper-casual-s-minus"],
        ["train", "--print-config", "--set", "training.epoch=3"],
        ["train", "--print-config", "--set", "nonsense"],
    ],
)
def test_usage_and_bad_input_exit_2_with_a_message_alone(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("segue: ")
    assert "Traceback" not in shown.err


def test_a_misspelt_name_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    main(["recipes", "show", "paper-casual-s-minus"])
    assert "did you mean 'paper-causal-s-minus'" in capsys.readouterr().err


def test_recipes_are_listed_and_shown_as_toml(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes", "--json"]) == 0
    names = json.loads(capsys.readouterr().out)["recipes"]
    assert "paper-cloze-s-plus-session" in names
    assert main(["recipes", "show", names[0]]) == 0
    assert "recipe_version = 3" in capsys.readouterr().out


def test_print_config_shows_what_set_and_seed_changed(capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--set", "training.epochs=3", "--set", "next_track.kind=full", "--seed", "7"]
    assert main(["train", "--print-config", *given]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(line in lines for line in ('name = "segue"', "epochs = 3", 'kind = "full"', "seed = 7"))


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "x/y"), 1, "x/y: No space left on device"),
        (PermissionError(errno.EACCES, "Permission denied", "z"), 1, "z: Permission denied"),
        (RejectedRowsError("too many"), 2, "too many"),
        (NonFiniteError("NaN"), 1, "NaN"),
        (Interrupted("saved"), 130, "saved"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (MemoryError(), 1, "out of memory"),
    ],
)
def test_a_failure_has_its_exit_code_and_message_even_when_quiet(
    error: BaseException, code: int, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def failing(*_: object) -> None:
        raise error

    monkeypatch.setattr(command, "_launch", failing)
    assert main(["--quiet"]) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert message in shown.err
    assert "Traceback" not in shown.err


def test_the_operating_systems_words_name_the_file() -> None:
    assert os_message(OSError("odd")) == "odd"
    assert os_message(OSError(errno.EXDEV, "Cross-device link", "a", None, "b")) == "a -> b: Cross-device link"


def test_a_table_becomes_a_store_and_json_is_one_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["prepare", "table", str(_table(tmp_path / "plays.csv")), str(tmp_path / "store")]
    argv += ["--session-column", "session", "--skipped-column", "skipped"]
    assert main([*argv, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["schema_version"], document["sessions"], document["rows"]) == (1, 8, 40)
    assert main(argv) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main([*argv, "--overwrite", "--quiet"]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    assert "rows" in shown.out


def test_overwrite_spares_a_folder_that_is_not_ours(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    argv = ["prepare", "table", str(_table(tmp_path / "plays.csv")), str(tmp_path / "mine"), "--overwrite"]
    assert main([*argv, "--session-column", "session"]) == 2
    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear"
    assert "not ours" in capsys.readouterr().err


def test_inspect_prints_text_or_one_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny_store(tmp_path / "store")
    assert main(["inspect", str(tmp_path / "store"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["schema_version"] == 1
    assert main(["inspect", str(tmp_path / "store"), "--figure", str(tmp_path / "f.svg")]) == 0
    assert "sessions" in capsys.readouterr().out
    assert (tmp_path / "f.svg").read_text().lstrip().startswith("<?xml")


def test_an_interrupted_verb_says_so_and_ends_with_130() -> None:
    program = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    program += "from segue.cli.main import main; sys.exit(main(sys.argv[1:]))"
    argv = [sys.executable, "-c", program, "recommend", "run", "--session-json", "-"]
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdin is not None
        process.stdin.write(" " * 500_000)  # more than a pipe holds: this returns when the verb reads its session
        process.stdin.flush()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (130, "", "segue: interrupted\n")


def test_a_reader_that_leaves_early_sees_no_traceback(tmp_path: Path) -> None:
    program = f"{sys.executable} -m segue recipes show paper-causal-s-minus | true"
    source = str(Path(command.__file__).parents[2])
    done = subprocess.run(
        program,
        shell=True,
        env={"PYTHONPATH": source, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
