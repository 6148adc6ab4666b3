"""What the service refuses over HTTP, and that hostile text comes back as text."""

from __future__ import annotations

import random
from typing import Any

import pytest

from support.served import Call, begin, is_problem

MARKUP = "<img src=x onerror=alert(1)>\u202e'\"\\"


@pytest.mark.parametrize("control", [*map(chr, range(32)), "\x7f", "\x80", "\x85", "\x9f"])
def test_an_id_holds_no_control_character(call: Call, control: str) -> None:
    session = begin(call, [{"track": "first"}])
    for text in (f"a{control}b", f"{control}a", f"a{control}"):
        for event in ({"track": text}, {"track": "a", "event_id": text}):
            told = call("POST", f"/v1/sessions/{session}/events", json={"events": [{"track": "sound"}, event]})
            assert "control character, such as a line break - at `$.events[1]." in is_problem(told, 400)
            is_problem(call("POST", "/v1/sessions", json={"events": [event]}), 400)
    assert [each["track"] for each in call("GET", f"/v1/sessions/{session}").json()["events"]] == ["first"]


def test_hostile_text_comes_back_as_text(call: Call) -> None:
    session = begin(call, [{"track": MARKUP}])
    shown = call("GET", f"/v1/sessions/{session}")
    assert shown.headers["content-type"] == "application/json"
    assert shown.json()["events"] == [{"track": MARKUP, "heard": "unknown"}]
    asked = call("POST", f"/v1/sessions/{session}/next", json={"k": 2}).json()
    assert asked["unknown"] == [MARKUP]
    assert len(asked["tracks"]) == 2
    detail = is_problem(call("GET", "/v1/similar", params={"track": f"{MARKUP}\x00"}), 404)
    assert "\x00" not in detail
    assert "\u202e" not in detail


BAD = [
    b"",
    b"{",
    b"nonsense",
    b"\xff\xfe",
    b"[]",
    b"null",
    b"NaN",
    b'{"k": NaN}',
    b'{"k": -1}',
    b'{"k": 0}',
    b'{"k": 1001}',
    b'{"k": 1e400}',
    b'{"k": 99999999999999999999999999}',
    b'{"k": 1.5}',
    b'{"k": "1"}',
    b'{"events": {}}',
    b'{"events": [{}]}',
    b'{"events": [{"track": 7}]}',
    b'{"events": [{"track": ""}]}',
    b'{"events": [{"track": "a", "strength": 4}]}',
    b'{"events": [{"track": "a", "strength": -1}]}',
    b'{"events": [{"track": "a", "heard": "loved"}]}',
    b'{"events": [{"track": "a", "heard": "skip", "strength": 3}]}',
    b'{"events": [{"track": "a", "played_s": 3}]}',
    b'{"events": [{"track": "a", "played_s": -3, "duration_s": 10}]}',
    b'{"events": [{"track": "a", "played_s": NaN, "duration_s": 10}]}',
    b'{"events": [{"track": "a", "bogus": 1}]}',
    b'{"model": 7}',
    b'{"filters": {"per_artist": 0}}',
    b'{"filters": []}',
    b'{"k": 1} {"k": 2}',
    b"[" * 200_000,
    b'{"events": ' + b"[" * 200_000,
    b'{"a":' * 100_000,
    b'{"events": [{"track": "\\ud800"}]}',
]


@pytest.mark.parametrize("body", BAD, ids=lambda body: repr(body[:40]))
def test_a_bad_body_is_a_problem_that_says_what_is_wrong(call: Call, body: bytes) -> None:
    answer = call("POST", "/v1/next", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in ((400,) if body else (400, 415))
    is_problem(answer, answer.status_code)


def test_a_body_that_is_missing_is_asked_for(call: Call) -> None:
    assert "a body is needed" in is_problem(call("POST", "/v1/next"), 400)


def test_a_path_or_method_that_is_not_served_says_where_to_look(call: Call) -> None:
    for path in ("/nothing", "/schema/nothing", "/schema/nothing.json", "/page/nothing", "/v1/sessions/a/b"):
        assert "/schema/openapi.json" in is_problem(call("GET", path), 404)
    session = f"/v1/sessions/{'0' * 32}"
    for method, path in (("PUT", session), ("DELETE", "/v1/next"), ("GET", "/v1/sessions")):
        answer = call(method, path)
        assert answer.headers["allow"] in is_problem(answer, 405)
    assert call("OPTIONS", session).headers["allow"] == "DELETE, GET, OPTIONS"


def test_thousands_of_random_bodies_are_answered(call: Call, tracks: list[str]) -> None:
    draw = random.Random(3)
    values: list[Any] = [None, -1, 0, 3, 1e300, "", "skip", MARKUP, tracks[3], [], {}, True, [[[]]], "x" * 3000]
    keys = ["events", "k", "model", "explain", "filters", "track", "heard", "strength", "played_s", "duration_s", "x"]

    def anything(depth: int) -> Any:
        if depth == 0 or draw.random() < 0.3:
            return draw.choice(values)
        if draw.random() < 0.4:
            return [anything(depth - 1) for _ in range(draw.randint(0, 3))]
        return {draw.choice(keys): anything(depth - 1) for _ in range(draw.randint(0, 4))}

    seen = set()
    for _ in range(300):
        answer = call("POST", "/v1/next", json=anything(3))
        seen.add(answer.status_code)
        if answer.status_code != 200:
            is_problem(answer, answer.status_code)
    assert seen <= {200, 400, 404}
