"""What the pages under docs show runs: Python from top to bottom, shell lines through the commands themselves."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from segue.cli.main import main, make_app
from support.shown_code import NAMED, blocks, command_lines, write_plays, write_ratings
from support.small_recipes import SMALL

LINK = re.compile(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)")
"""Pages whose lines may be longer: made from the code, or rewritten with the help texts."""
DOCS = Path(__file__).parents[2] / "docs"
SETS = [word for key, value in (SMALL | {"training.epochs": 1}).items() for word in ("--set", f"{key}={value}")]


def page(name: str) -> str:
    """Return the text of a page."""
    return (DOCS / name).read_text(encoding="utf-8")


def test_the_python_of_the_first_page_runs_from_top_to_bottom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_plays(tmp_path / "plays.csv")
    names: dict[str, object] = {}
    exec("\n".join(blocks(page("start.md"), "python")), names)  # noqa: S102 - our own page
    assert "never heard of" in capsys.readouterr().out


def test_every_page_stands_in_the_index_and_every_link_leads_to_a_file() -> None:
    pages = [*DOCS.glob("*.md"), *(DOCS.parent / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md"))]
    links = {path: LINK.findall(path.read_text(encoding="utf-8")) for path in pages}
    dead = [f"{path.name}: {link}" for path in pages for link in links[path] if not (path.parent / link).exists()]
    assert not dead
    assert {path.name for path in DOCS.glob("*.md")} - set(links[DOCS / "index.md"]) == {"index.md"}


def test_lines_of_prose_are_at_most_120_characters() -> None:
    pages = [*DOCS.glob("*.md"), *DOCS.parent.glob("*.md")]
    long = [
        f"{path.name}:{number}"
        for path in pages
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if len(line) > 120 and not line.startswith("|")
    ]
    assert not long


def test_every_shell_line_of_every_page_parses() -> None:
    app, verbs = make_app(), set()
    for path in sorted(DOCS.glob("*.md")):
        for words in command_lines(path.read_text(encoding="utf-8")):
            if words[0] == "segue":
                app.parse_args(words[1:], print_error=False, exit_on_error=False)  # what does not parse raises
                verbs.add(words[1])
    assert {"simulate", "prepare", "train", "evaluate", "recommend"} <= verbs, "the pages show shell lines"


def test_the_shell_lines_of_the_command_lines_page_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_plays(tmp_path / "plays.csv", NAMED)
    write_ratings(tmp_path / "ratings.csv")
    (tmp_path / "new-tracks.csv").write_text("track_id,acousticness,danceability\nnew,.5,.25\n", encoding="utf-8")
    text = page("command-line.md")
    (tmp_path / "session.json").write_text(blocks(text, "json")[0], encoding="utf-8")
    verbs = set()
    for words in command_lines(text):
        verb, *rest = words[1:]
        verbs.add(verb)
        if verb == "demo":  # `tests/e2e/test_demo.py` runs it
            continue
        small = SETS if verb in ("train", "study", "tune") and "--resume" not in rest else []
        assert main([verb, *rest, *small]) == 0, (words, capsys.readouterr().err)
    data, models = (
        {"simulate", "sources", "prepare", "inspect"},
        {"train", "tune", "evaluate", "recommend", "extend", "recipes", "export"},
    )
    assert verbs == data | models | {"study", "studies", "report", "demo"}
