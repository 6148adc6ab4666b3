"""The demo, small: every part is really made, and its page says what its numbers say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from segue.cli.main import main
from segue.ranking import BASELINE_NAMES


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("demo") / "demo"
    assert main(["demo", str(out), "--sessions", "300", "--tracks", "3000", "--quiet"]) == 0
    return out


def test_the_folder_holds_every_part(made: Path) -> None:
    names = {path.name for path in made.iterdir()}
    assert names == {"log", "store", "run-s-minus", "run-s-plus-track", "run-segue", "demo.json", "report.html"}


def test_every_model_and_every_baseline_stand_in_both_protocols(made: Path) -> None:
    rows = json.loads((made / "demo.json").read_text())["rows"]
    for protocol in ("sampled", "full"):
        names = {row["name"] for row in rows if row["protocol"] == protocol}
        assert set(BASELINE_NAMES) - {"own-plays"} <= names  # the simulator's sessions have dates, but no listeners
        assert len(names) == len(BASELINE_NAMES) - 1 + 3


def test_the_page_names_simulated_data_and_what_was_shortened(made: Path) -> None:
    page = (made / "report.html").read_text()
    assert "simulated" in page
    assert "next_track.negatives=100" in page
    assert "What was learnt" in page


def test_the_same_model_answers_from_the_shell(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lists = json.loads((made / "demo.json").read_text())["recommended"]
    session = json.dumps([{"track": row["track"], "feedback": row["feedback"]} for row in lists["session"]])
    (made.parent / "session.json").write_text(session)
    run = str(made / "run-segue")
    assert main(["recommend", run, "--session-json", str(made.parent / "session.json"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["recommended"]
    assert [row["track"] for row in found] == [row["track"] for row in lists["listened"]]


def test_a_demo_is_not_replaced_unasked(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", str(made)]) == 2
    assert "--overwrite" in capsys.readouterr().err


def test_it_ends_with_the_command_that_opens_the_page(made: Path) -> None:
    from segue.cli.tables import demo_text

    record = json.loads((made / "demo.json").read_text())
    text = demo_text({**record, "report": "r", "serve": "segue serve demo/run-segue demo/run-s-minus"})
    assert text.splitlines()[-1].startswith("Listen to these models, and skip: ")
    assert text.endswith("serve demo/run-segue demo/run-s-minus")
