"""Laws of sessions typed by hand: only a known last suffix counts."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from segue.errors import InputError
from segue.verbs.session_text import parse_session, read_session_json


def test_only_a_known_last_suffix_counts() -> None:
    tracks, feedback = parse_session("a, spotify:track:1:skip,c:d,e:brief,f:mostly,g:unknown,h:SKIP")
    assert tracks == ["a", "spotify:track:1", "c:d", "e", "f", "g", "h:SKIP"]
    assert feedback == ["listened", "skip", "listened", "brief", "mostly", "unknown", "listened"]


@pytest.mark.parametrize("text", ["", "a,,b", ":skip", "a,"])
def test_an_empty_id_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="empty track id"):
        parse_session(text)


def test_json_takes_any_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = ["a,b:skip", {"track": "x:skip", "feedback": "brief"}, {"track": ""}]
    (tmp_path / "s.json").write_text(json.dumps({"session": entries}))
    expected = ["a,b:skip", "x:skip", ""], ["listened", "brief", "listened"]
    assert read_session_json(str(tmp_path / "s.json")) == expected
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(entries)))
    assert read_session_json("-") == expected


@pytest.mark.parametrize(
    "text", ["{", "3", '{"session": 1}', "[1]", '[{"track": 1}]', '[{"track": "a", "feedback": "x"}]']
)
def test_another_shape_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "s.json").write_text(text)
    with pytest.raises(InputError, match="--session-json"):
        read_session_json(str(tmp_path / "s.json"))
