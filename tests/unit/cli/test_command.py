"""A command is made from a verb: its arguments, options, help, and how its result is printed."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cyclopts import App, Parameter

from segue.cli.command import command_of
from segue.cli.terminal import Terminal
from segue.option_types import Overrides, Whole
from segue.progress import Progress, Step, silent


@dataclass(frozen=True)
class CountOptions:
    """Options of `count`."""

    at_least: Whole = 1
    """Shortest word that counts."""
    overrides: Overrides = field(default_factory=dict)
    """KEY=VALUE; repeat the option."""


def count(text: str | Path, options: CountOptions = CountOptions(), *, progress: Progress = silent) -> dict[str, Any]:
    """Count words.

    Args:
        text: the words.
    """
    words = [word for word in str(text).split() if len(word) >= options.at_least]
    progress(Step("count", len(words)))
    return {"words": len(words), "set": dict(options.overrides), "warnings": ["no words"] * (not words)}


def run(*argv: str) -> None:
    """Run `count ARGV` as the command line does."""
    app = App(name="words", default_parameter=Parameter(negative=()), help_format="plaintext")
    app.command(command_of(count))
    command, bound, _ = app.parse_args(["count", *argv], exit_on_error=False, print_error=False)
    command(*bound.args, **bound.kwargs, terminal=Terminal())


def test_options_are_the_fields_and_the_result_is_text_or_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    run("to be or not", "--at-least", "3", "--set", "a.b=1", "--set", "c=[2]", "--json")
    assert json.loads(capsys.readouterr().out) == {
        "schema_version": 1, "words": 1, "set": {"a.b": 1, "c": [2]}, "warnings": [],
    }  # fmt: skip
    run("to be")
    assert capsys.readouterr().out == "words  2\n"


def test_warnings_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    run("")
    shown = capsys.readouterr()
    assert shown.out == "words  0\n"
    assert "warning: no words" in shown.err


def test_help_is_the_docstrings(capsys: pytest.CaptureFixture[str]) -> None:
    app = App(name="words", help_format="plaintext")
    app.command(command_of(count))
    app(["count", "--help"], exit_on_error=False, result_action="return_value")
    shown = capsys.readouterr().out
    assert all(text in shown for text in ("Count words.", "the words.", "Shortest word that counts.", "KEY=VALUE"))
    assert "progress" not in shown


@pytest.mark.parametrize("text", ["1.5", "one"])
def test_a_whole_number_is_not_rounded(text: str) -> None:
    with pytest.raises(Exception, match="not a whole number"):
        run("to be", "--at-least", text)
