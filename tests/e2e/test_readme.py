"""What README and docs/start.md show runs: Python as it stands, shell lines through the command itself."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
import torch

import segue
from segue.cli.main import main, make_app
from support.exports import spotify
from support.shown_code import NAMED, blocks, command_lines, write_plays
from support.small_recipes import SMALL

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
START = (ROOT / "docs" / "start.md").read_text(encoding="utf-8")
NUMBER = re.compile(r"\d+\.\d+")
TOLERANCE = 0.05
"""Hit rates of the README's short training differ between processors and versions of torch."""
PUBLIC = {"simulate", "prepare", "Store", "train", "evaluate", "load", "objectives"}
"""The verbs of a first session; the other public names are records of their options."""
RECORDS = {"SimulateOptions", "PrepareOptions", "TableColumns", "Cutting", "TrainOptions", "EvaluateOptions"}
SHORT = SMALL | {"training.epochs": 1}


def segue_lines(*pages: str) -> list[list[str]]:
    """Return the words after `segue` of every shell line of the pages that calls it."""
    return [words[1:] for page in pages for words in command_lines(page) if words[0] == "segue"]


def test_the_public_names_are_those_of_the_design() -> None:
    assert set(segue.__all__) == PUBLIC | RECORDS
    assert all(getattr(segue, name) is not None for name in PUBLIC)
    assert callable(segue.objectives.skip_contrastive_loss)


def test_the_citation_names_this_version() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {segue.__version__}\n" in citation
    assert citation.startswith("cff-version: 1.2.0\n")


def test_the_python_of_the_readme_prints_what_the_readme_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (code,), (shown,) = blocks(README, "python"), blocks(README, "text")
    assert len(code.splitlines()) <= 10
    exec(code, {})  # noqa: S102 - our own README
    printed = capsys.readouterr().out
    assert NUMBER.sub("x", printed) == NUMBER.sub("x", shown)
    assert [*map(float, NUMBER.findall(printed))] == pytest.approx([*map(float, NUMBER.findall(shown))], abs=TOLERANCE)


def test_the_foreign_model_trains_in_under_twenty_lines() -> None:
    (code,) = [block for block in blocks(START, "python") if "nn.GRU" in block]
    assert len([line for line in code.splitlines() if line.strip()]) < 20
    names: dict[str, object] = {"__name__": "foreign"}
    exec(code, names)  # noqa: S102 - our own page
    torch.manual_seed(0)
    model = names["Foreign"](50, 16)  # type: ignore[operator]
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    tracks = torch.randint(1, 51, (12, 9))
    tracks[0, 4:] = 0
    skipped = (torch.rand(12, 9) < 0.4) & (tracks > 0)
    skipped[1], skipped[2] = False, True  # one session without skips, one all skips
    losses = []
    for _ in range(12):
        optimiser.zero_grad()
        loss = model.loss(tracks, skipped, (tracks > 0) & ~skipped)
        loss.backward()
        assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())
        optimiser.step()
        losses.append(loss.item())
    assert all(map(math.isfinite, losses))
    assert losses[-1] < losses[0]


def test_every_shell_line_parses() -> None:
    calls = segue_lines(README, START)
    assert {words[0] for words in calls} >= {"demo", "prepare", "inspect", "train", "evaluate", "recommend"}
    app = make_app()
    for words in calls:
        app.parse_args(words, print_error=False, exit_on_error=False)


def test_the_shell_lines_on_ones_own_log_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_plays(tmp_path / "plays.csv", NAMED)
    spotify.write(tmp_path)
    sets = [word for key, value in SHORT.items() for word in ("--set", f"{key}={value}")]
    for words in segue_lines(README, START):
        if words[0] not in ("demo", "serve"):  # test_demo.py and test_serve.py run them
            short = sets if words[0] in ("train", "study") and "segue" not in words else []
            mixed = [w.replace("next_track.negatives", "next_track.uniform") for w in sets]
            given = mixed if words[0] == "train" and not short else short
            assert main([*words, *given]) == 0, capsys.readouterr().err
    shown = capsys.readouterr().out
    assert "HR@10" in shown
    assert "rank  track" in shown
