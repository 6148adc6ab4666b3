"""Laws of the terminal: no control codes where nobody watches, a line every 10 s, tables that align."""

from __future__ import annotations

import io
import json

import pytest

from segue.cli.tables import demo_text, facts_text, recommendation_text
from segue.cli.terminal import Terminal, clipped, display_width, table_text
from segue.output import json_text, printable
from segue.progress import Step
from support.demo_record import demo_record


class _Tty(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class _Clock:
    """A clock that the test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_without_a_terminal_a_line_every_ten_seconds_and_no_control_codes() -> None:
    clock, stream = _Clock(), io.StringIO()
    terminal = Terminal(stream, clock=clock)
    for second in range(35):
        clock.now = float(second)
        terminal(Step("training", second, 35, "steps", note="loss\x1b[2J"))
    terminal.close()
    lines = stream.getvalue().splitlines()
    assert len(lines) == 3
    assert all("training" in line and line.isprintable() for line in lines)


def test_on_a_terminal_the_bar_is_redrawn_and_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    clock, stream = _Clock(), _Tty()
    terminal = Terminal(stream, clock=clock)
    terminal(Step("reading", 1, 2))
    clock.now = 1.0
    terminal(Step("reading", 2, 2))
    terminal.say("done")
    assert stream.getvalue().count("\r") == 3
    assert stream.getvalue().endswith("\r\x1b[Kdone\n")


def test_quiet_says_nothing() -> None:
    clock, stream = _Clock(), io.StringIO()
    terminal = Terminal(stream, quiet=True, clock=clock)
    clock.now = 100.0
    terminal(Step("training", 1))
    terminal.say("hello")
    assert stream.getvalue() == ""


def test_a_step_of_unknown_total_or_beyond_it_is_shown() -> None:
    clock, stream = _Clock(), io.StringIO()
    terminal = Terminal(stream, clock=clock)
    for done, total in ((5, None), (5, 0), (7, 5)):
        clock.now += 11.0
        terminal(Step("s", done, total))
    assert len(stream.getvalue().splitlines()) == 3


@pytest.mark.parametrize("text", ["\x1b[31m", "a\nb", "\x9b", "\u202e", "\x00", "\r"])
def test_control_characters_are_made_visible(text: str) -> None:
    assert printable(text).isprintable()
    assert printable("Sigur Rós ✓ 椎名林檎") == "Sigur Rós ✓ 椎名林檎"


def test_columns_align_by_what_the_eye_sees() -> None:
    lines = table_text(["title", "plays"], [["椎名林檎", 12], ["ab", 12345]]).split("\n")
    assert len({display_width(line) for line in lines}) == 1
    assert lines[2].endswith("    12")


def test_a_clipped_text_fits() -> None:
    assert display_width(clipped("x" * 200, 79)) == 79
    assert display_width(clipped("椎" * 200, 79)) <= 79


def test_json_is_one_document_with_its_version_and_no_nan() -> None:
    document = json.loads(json_text({"a": float("nan"), "b": [float("inf"), 1.0], "c": {"d": None}}))
    assert document == {"schema_version": 1, "a": None, "b": [None, 1.0], "c": {"d": None}}


def test_facts_show_records_as_a_table() -> None:
    text = facts_text({"rows": 3, "by": [{"k": "a", "n": 1}, {"k": "b", "n": None}]})
    assert "k  n" in text
    assert text.splitlines()[-1].split() == ["b", "-"]


def test_recommended_titles_cannot_drive_the_terminal() -> None:
    text = recommendation_text([{"track": "t", "title": "\x1b[2J", "artist": None, "score": 1.0}])
    assert "\x1b" not in text


def test_the_demo_is_told_in_full() -> None:
    text = demo_text(demo_record())
    assert all(part in text for part in ("did better", "markov", "listened", "demo/report.html", "simulated"))
    assert text.splitlines()[-1].endswith("serve demo/run-segue")
    assert "\x1b" not in text
