"""The service over HTTP, in this process: what it answers, and what it refuses."""

from __future__ import annotations

import json
import signal
import socket
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from segue.errors import InputError
from segue.serving.gate import GateOptions
from segue.serving.options import ServeOptions
from segue.serving.routes import ROUTES
from segue.serving.server import serve
from segue.serving.service import Service
from support.served import Call, begin, calling, is_problem

MARKUP = "<img src=x onerror=alert(1)>\u202e'\"\\"


def test_a_skip_changes_what_is_next_at_once(call: Call, tracks: list[str]) -> None:
    session = begin(call, [{"track": tracks[4], "heard": "listened"}])
    before = call("POST", f"/v1/sessions/{session}/next", json={"k": 20}).json()
    told = call("POST", f"/v1/sessions/{session}/events", json={"events": [{"track": tracks[9], "heard": "skip"}]})
    assert told.json() == {"accepted": 1, "repeated": 0, "events": 2}
    after = call("POST", f"/v1/sessions/{session}/next", json={"k": 20, "explain": True}).json()
    assert [each["track"] for each in before["tracks"]] != [each["track"] for each in after["tracks"]]
    assert {tracks[4], tracks[9]} & {each["track"] for each in after["tracks"]} == set(), "heard already"
    assert [each["rank"] for each in after["tracks"]] == list(range(1, 21))
    why = after["tracks"][0]["why"]
    assert set(why) == {"log_p", "log_listen", "rank_before", "followed", "near"}
    assert after["normalised_over"] >= 20
    once = {"events": [{"track": tracks[4], "strength": 0}, {"track": tracks[9], "played_s": 2, "duration_s": 200}]}
    assert call("POST", "/v1/next", json={**once, "k": 20, "explain": True}).json() == after
    listened = call("POST", "/v1/next", json={"events": [{"track": tracks[4]}, {"track": tracks[9]}], "k": 20}).json()
    assert [each["score"] for each in listened["tracks"]] != [each["score"] for each in after["tracks"]]


def test_each_request_may_name_another_model(call: Call, tracks: list[str]) -> None:
    names = [model["name"] for model in call("GET", "/v1/models").json()["models"]]
    assert names == ["segue", "plain"]
    session = begin(call, [{"track": tracks[4]}], model="plain")
    path = f"/v1/sessions/{session}/next"
    assert call("POST", path, json={}).json()["model"] == "plain"
    assert call("POST", path, json={"model": "segue"}).json()["model"] == "segue"
    assert "there are segue, plain" in is_problem(call("POST", path, json={"model": "seque"}), 404)
    assert "there are" in is_problem(call("POST", "/v1/sessions", json={"model": MARKUP}), 404)


def test_filters_leave_out_what_they_name(call: Call, tracks: list[str]) -> None:
    def ids(**filters: Any) -> list[str]:
        body = {"events": [{"track": tracks[4]}], "k": 1000, "filters": filters}
        return [each["track"] for each in call("POST", "/v1/next", json=body).json()["tracks"]]

    every = ids(heard=True)
    assert ids() == [track for track in every if track != tracks[4]]
    assert ids(heard=True, blocked_tracks=[*every[:3], "nobody"]) == every[3:]
    assert ids(heard=True, allowed_tracks=[every[7], every[2], "nobody"]) == [every[2], every[7]]
    assert ids(heard=True, allowed_tracks=[]) == []
    shown = call("POST", "/v1/next", json={"events": [], "k": 5}).json()["tracks"]
    artist = shown[0]["artist"]
    left = call("POST", "/v1/next", json={"k": 1000, "filters": {"blocked_artists": [artist, "nobody"]}}).json()
    assert artist not in {each.get("artist") for each in left["tracks"]}
    capped = call("POST", "/v1/next", json={"k": 1000, "filters": {"per_artist": 1}}).json()["tracks"]
    artists = [each["artist"] for each in capped if "artist" in each]
    assert len(artists) == len(set(artists))


def test_nobody_reads_the_session_of_another(call: Call, tracks: list[str]) -> None:
    mine, other = begin(call, [{"track": tracks[1], "heard": "skip"}]), begin(call, [{"track": tracks[2]}])
    assert len(mine) == 32
    assert mine != other
    assert [each["track"] for each in call("GET", f"/v1/sessions/{mine}").json()["events"]] == [tracks[1]]
    assert [each["track"] for each in call("GET", f"/v1/sessions/{other}").json()["events"]] == [tracks[2]]
    guessed = mine[:-1] + ("0" if mine[-1] != "0" else "1")
    is_problem(call("GET", f"/v1/sessions/{guessed}"), 404)
    is_problem(call("POST", f"/v1/sessions/{guessed}/next", json={}), 404)
    assert call("DELETE", f"/v1/sessions/{mine}").status_code == 204
    is_problem(call("GET", f"/v1/sessions/{mine}"), 404)
    is_problem(call("GET", "/v1/sessions"), 405)


def test_what_a_listener_played_changes_what_is_next(call: Call, tracks: list[str]) -> None:
    """In the listener's own sessions alone, and as far as `discovery` wants."""
    for _ in range(3):
        begin(call, [{"track": track, "heard": "listened", "at": 1.5e9} for track in tracks[20:40]], listener="ann")
    asked = {"k": 10, "filters": {"heard": True}}
    lists = {}
    for name in ("bob", None, "ann"):
        session = begin(call, [{"track": tracks[3]}], **({} if name is None else {"listener": name}))
        path = f"/v1/sessions/{session}/next"
        lists[name] = call("POST", path, json=asked).json()["tracks"]
    assert lists["bob"] == lists[None]
    assert lists["ann"] != lists[None]
    played = {*tracks[20:40], tracks[3]}
    for discovery, expected in ((0, {True}), (1, {False})):
        shown = call("POST", path, json={**asked, "discovery": discovery}).json()["tracks"]
        assert {each.get("played", False) for each in shown} == expected
        assert {each["track"] in played for each in shown} == expected
    assert call("POST", path, json={**asked, "discovery": 0.5}).json()["tracks"] == lists["ann"]
    assert call("POST", path, json={**asked, "model": "plain", "discovery": 0}).json()["tracks"][0]["played"]
    assert call("DELETE", "/v1/listeners/ann").status_code == 204
    session = begin(call, [{"track": tracks[3]}], listener="ann")
    assert call("POST", f"/v1/sessions/{session}/next", json=asked).json()["tracks"] == lists[None]
    for wrong in (-0.1, 1.1, "0.5", True, [], float("nan")):
        text = json.dumps({"discovery": wrong})
        answer = call("POST", "/v1/next", content=text, headers={"content-type": "application/json"})
        assert len(is_problem(answer, 400)) > 30


def test_next_tracks_without_a_session_read_what_the_listener_played(call: Call, tracks: list[str]) -> None:
    begin(call, [{"track": track, "heard": "listened", "at": 1.5e9} for track in tracks[20:40]], listener="ann")
    events = [{"track": tracks[3], "at": 1.6e9}]
    plays = call("GET", "/v1/listeners/ann").json()

    def shown(**given: Any) -> list[dict[str, Any]]:
        answer = call("POST", "/v1/next", json={"events": events, "k": 10, "discovery": 0.1, **given})
        found: list[dict[str, Any]] = answer.json()["tracks"]
        return found

    assert shown(listener="bob") == shown(listener=None) == shown()
    assert shown(listener="ann") != shown()
    assert all(each["played"] for each in shown(listener="ann", discovery=0))
    assert call("GET", "/v1/listeners/ann").json() == plays, "nothing is stored"
    assert "listener" in is_problem(call("POST", "/v1/next", json={"listener": "a\nb"}), 400)
    session = begin(call, events, listener="ann")
    in_session = call("POST", f"/v1/sessions/{session}/next", json={"k": 10, "discovery": 0.1}).json()["tracks"]
    assert call("DELETE", f"/v1/sessions/{session}").status_code == 204
    assert shown(listener="ann") == in_session


def test_an_event_says_when_it_was_played_but_not_later_than_now(call: Call, service: Service) -> None:
    begin(call, [{"track": "a", "at": 5.5}, {"track": "b", "at": 1e11}, {"track": "c"}], listener="ann")
    (events,) = service.sessions.past("ann").result()
    assert events[0].at == 5.5
    assert events[2].at == pytest.approx(events[1].at)
    assert abs(events[1].at - time.time()) < 60.0
    is_problem(call("POST", "/v1/sessions", json={"events": [{"track": "a", "at": -1}]}), 400)


HOSTILE_LISTENERS = [
    MARKUP,
    "a/b",
    "/",
    "//",
    "a%2Fb",
    "..a",
    "...",
    " ",
    "?x=1",
    "#",
    "%",
    "\ufffd",
    "ü\u202e",
    "x" * 256,
]


def test_a_listener_of_any_name_is_kept_and_deleted(call: Call, service: Service, tracks: list[str]) -> None:
    sessions = [begin(call, [{"track": tracks[1]}], listener=name) for name in HOSTILE_LISTENERS]
    anybody = begin(call, [{"track": tracks[1]}])
    for session, name in zip(sessions, HOSTILE_LISTENERS, strict=True):
        assert call("GET", f"/v1/sessions/{session}").json()["listener"] == name
    assert call("GET", f"/v1/sessions/{anybody}").json()["listener"] is None
    for done, name in enumerate(HOSTILE_LISTENERS, 1):
        path = "/v1/listeners/" + quote(name, safe="")
        is_problem(call("POST", path, json={}), 405)
        shown = call("GET", path).json()
        assert shown["listener"] == name
        assert [(play["track"], play["heard"], play["title"]) for play in shown["plays"]] == [
            (tracks[1], "unknown", "Title 1")
        ]
        assert call("DELETE", path).status_code == 204
        assert "nothing is stored" in is_problem(call("GET", path), 404)
        assert "nothing to delete" in is_problem(call("DELETE", path), 404)
        alive = [call("GET", f"/v1/sessions/{session}").status_code == 200 for session in sessions]
        assert alive == [False] * done + [True] * (len(sessions) - done), "of this listener alone"
    assert call("GET", f"/v1/sessions/{anybody}").status_code == 200
    is_problem(call("POST", f"/v1/sessions/{sessions[0]}/events", json={"events": [{"track": tracks[1]}]}), 404)
    is_problem(call("POST", f"/v1/sessions/{sessions[0]}/next", json={}), 404)


@pytest.mark.parametrize("listener", ["", ".", "..", "a\nb", "a\x00", "\x85", "x" * 257, 7, True, [], {}])
def test_a_listener_that_cannot_be_named_later_is_refused(call: Call, listener: Any) -> None:
    assert "listener" in is_problem(call("POST", "/v1/sessions", json={"listener": listener}), 400)


@pytest.mark.parametrize("name", ["%ff", "%ed%a0%80", "%00", "a%0ab", "%2e", "%2E%2e", "x" * 257, "%f0%9f"])
def test_an_id_that_no_listener_has_deletes_nobody(call: Call, tracks: list[str], name: str) -> None:
    session = begin(call, [{"track": tracks[1]}], listener="\ufffd")
    for method in ("DELETE", "GET"):
        assert len(is_problem(call(method, f"/v1/listeners/{name}"), 404)) > 30
    for path in ("/v1/listeners", "/v1/listeners/", "/v1/listeners//", "/v1/listeners/a/b"):
        is_problem(call("DELETE", path), 404)
    assert call("GET", f"/v1/sessions/{session}").status_code == 200


def test_an_event_told_twice_counts_once(call: Call, tracks: list[str]) -> None:
    session = begin(call)
    events = {"events": [{"track": tracks[1], "event_id": "e1"}, {"track": tracks[1], "event_id": "e2"}]}
    path = f"/v1/sessions/{session}/events"
    assert call("POST", path, json=events).json() == {"accepted": 2, "repeated": 0, "events": 2}
    assert call("POST", path, json=events).json() == {"accepted": 0, "repeated": 2, "events": 2}


def test_what_the_gate_refuses(service: Service, tracks: list[str]) -> None:
    call = calling(service, GateOptions(hosts=("localhost", "radio.example"), token="s" * 20, most_bytes=500))
    told = {"authorization": "Bearer " + "s" * 20}
    assert call("GET", "/health").status_code == 200
    assert call("GET", "/v1/models", headers=told).status_code == 200
    for wrong in (
        {},
        {"authorization": "s" * 20},
        {"authorization": "Bearer " + "s" * 19},
        {"authorization": "Bearer é".encode()},
    ):
        answer = call("GET", "/v1/models", headers=wrong)
        assert "Authorization" in is_problem(answer, 401)
        assert "sss" not in answer.text
    for host, status in (("radio.example:99", 200), ("evil.example", 421), ("localhost.evil.example", 421), ("", 421)):
        assert call("GET", "/v1/models", headers={**told, "host": host}).status_code == status
    twice = [("authorization", told["authorization"]), ("host", "evil.example"), ("host", "localhost")]
    for headers in (twice, twice[:1] + twice[:0:-1]):
        assert call("GET", "/v1/models", headers=headers).status_code == 421, "which of two names is meant?"
    for origin, status in (
        ("http://localhost", 200),
        ("https://evil.example", 403),
        ("null", 403),
        ("http://localhost:1", 403),
    ):
        assert call("GET", "/v1/models", headers={**told, "origin": origin}).status_code == status
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""):
        answer = call("POST", "/v1/next", content=b"{}", headers={**told, "content-type": kind})
        assert "application/json" in is_problem(answer, 415)
    long = json.dumps({"model": "x" * 600}).encode()
    for content in (long, _pieces(long)):
        answer = call("POST", "/v1/next", content=content, headers={**told, "content-type": "application/json"})
        assert "500 bytes" in is_problem(answer, 413)
    limited = calling(service, GateOptions(rate=2.0))
    statuses = [limited("GET", "/v1/models").status_code for _ in range(20)]
    assert 429 in statuses
    late = limited("GET", "/v1/models")
    assert late.status_code == 200 or int(late.headers["retry-after"]) >= 1


async def _pieces(body: bytes) -> Any:
    for start in range(0, len(body), 100):
        yield body[start : start + 100]


def test_every_answer_keeps_a_browser_from_reading_more(call: Call) -> None:
    for path in ("/health", "/v1/models", "/schema/openapi.json", "/nothing", "/metrics"):
        headers = call("GET", path).headers
        assert headers["content-security-policy"].startswith("default-src 'self'")
        assert headers["x-content-type-options"] == "nosniff"
        assert not [name for name in headers if name.startswith("access-control")]


def test_a_file_that_the_page_does_not_have_is_404(call: Call) -> None:
    for name in ("nothing.js", "%00", "room.js%00", "..%2fapp.py", "%2e%2e/app.py", "x" * 5000, "sub/room.js", ""):
        for method in ("GET", "HEAD", "POST", "OPTIONS"):
            assert call(method, f"/page/{name}").status_code == 404
    assert call("GET", "/page/room.js").headers["content-type"] == "text/javascript; charset=utf-8"
    assert call("HEAD", "/page/room.js").status_code == 200
    assert call("GET", "/").content == call("GET", "/page/index.html").content
    assert call("POST", "/page/room.js").headers["allow"] == "GET, HEAD, OPTIONS"


def test_empty_parts_of_a_path_do_not_count(call: Call) -> None:
    for path in ("/health/", "//health", "/health//", "/v1//models", "/v1/models/"):
        assert call("GET", path).status_code == 200


def test_a_body_in_pieces_is_answered_as_a_whole_one(call: Call, tracks: list[str]) -> None:
    body = json.dumps({"events": [{"track": track, "heard": "skip"} for track in tracks[:20]], "k": 7}).encode()
    headers = {"content-type": "application/json"}
    whole = call("POST", "/v1/next", content=body, headers=headers)
    assert whole.status_code == 200
    assert call("POST", "/v1/next", content=_pieces(body), headers=headers).content == whole.content


BAD_QUERIES = ("", "track=", "k=3", "track=a&k=0", "track=a&k=1001", "track=a&k=x", "track=a&k=", f"track={'x' * 1025}")


@pytest.mark.parametrize("query", BAD_QUERIES)
def test_a_bad_query_is_a_problem_that_says_what_is_wrong(call: Call, query: str) -> None:
    assert "the query is not what is expected: " in is_problem(call("GET", f"/v1/similar?{query}"), 400)


def test_a_query_is_read_strictly_but_for_its_numbers(call: Call, tracks: list[str]) -> None:
    near = call("GET", f"/v1/similar?track={tracks[0]}&k=9&k=3&more=1").json()["tracks"]
    assert len(near) == 3, "of a parameter that is given twice, the last counts"
    for model in ("", "null", "nobody"):
        assert "there are segue, plain" in is_problem(call("GET", f"/v1/map?model={model}"), 404)


def test_models_and_sessions_are_closed_with_the_server(exports: list[Path], tmp_path: Path) -> None:
    before, on_term = set(threading.enumerate()), signal.getsignal(signal.SIGTERM)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        options = ServeOptions(port=taken.getsockname()[1], sessions=tmp_path / "closed.sqlite", threads=1)
        with pytest.raises(InputError, match="cannot be listened at"):
            serve(exports[:1], options, print)
    signal.signal(signal.SIGTERM, on_term)
    assert set(threading.enumerate()) <= before, "the thread of the sessions has ended"


def test_each_route_is_an_operation_of_its_own_name(call: Call) -> None:
    paths = call("GET", "/schema/openapi.json").json()["paths"]
    operations = {(method, path): each for path, methods in paths.items() for method, each in methods.items()}
    assert set(operations) == {(route.method.lower(), route.path) for route in ROUTES}
    names = [each["operationId"] for each in operations.values()]
    assert len(set(names)) == len(names)
    for route in ROUTES:
        operation = operations[route.method.lower(), route.path]
        assert operation["summary"].endswith(".")
        assert ("requestBody" in operation) == (route.method == "POST")
        assert [each["in"] for each in operation["parameters"]].count("path") == ("{" in route.path)


def test_the_schema_tells_every_route_and_every_problem(call: Call) -> None:
    document = call("GET", "/schema/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    assert "http" not in json.dumps([part.get("servers") for part in document["paths"].values()])
    assert set(document["paths"]) >= {
        "/v1/next",
        "/v1/sessions/{session}/next",
        "/v1/similar",
        "/v1/models",
        "/metrics",
    }
    for path in document["paths"].values():
        for operation in path.values():
            assert {"400", "401", "413", "415", "421", "429"} <= set(operation["responses"])
            for status, answer in operation["responses"].items():
                assert status < "400" or [*answer["content"]] == ["application/problem+json"]
    event = document["components"]["schemas"]["Event"]
    assert event["additionalProperties"] is False
    for name in ("strength", "played_s", "duration_s"):
        assert event["properties"][name]["minimum"] == 0
    assert document["components"]["schemas"]["TrackFilters"]["properties"]["blocked_tracks"]["items"]["minLength"] == 1
    query = {part["name"]: part for part in document["paths"]["/v1/similar"]["get"]["parameters"]}
    assert (query["track"]["required"], query["k"]["required"], query["k"]["schema"]["maximum"]) == (True, False, 1000)
    told = document["paths"]["/v1/sessions"]["post"]["responses"]
    assert set(told["201"]["links"]) == {"add_events", "next_in_session", "show_session", "forget_session"}
    assert [*told["429"]["headers"]] == ["Retry-After"]


def test_counts_stand_in_the_metrics(call: Call) -> None:
    call("GET", "/health")
    call("GET", "/nothing")
    told = call("GET", "/metrics")
    assert told.headers["content-type"].startswith("text/plain")
    assert 'segue_http_answers_total{status="200"} 1.0' in told.text
    assert 'segue_http_answers_total{status="404"} 1.0' in told.text


def test_a_fault_of_ours_leaves_its_trace_in_the_log(
    call: Call, service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: object) -> None:
        raise ZeroDivisionError("ours")

    monkeypatch.setattr(type(service.models), "every", property(fails))
    detail = is_problem(call("GET", "/v1/models"), 500)
    assert "ours" not in detail
    assert "ZeroDivisionError: ours" in caplog.text


def test_a_track_looks_the_same_whoever_suggests_it(call: Call, tracks: list[str]) -> None:
    shown: list[dict[str, Any]] = []
    for model in ("plain", None):
        asked = {"model": model, "k": 1000, "looks": True, "events": [{"track": tracks[0], "heard": "listened"}]}
        shown.append({each["track"]: each["look"] for each in call("POST", "/v1/next", json=asked).json()["tracks"]})
    assert len(shown[0]) > 20
    assert shown[0] == shown[1]
    near = call("GET", "/v1/similar", params={"track": tracks[0], "model": "plain", "k": 5}).json()["tracks"]
    assert {each["track"]: each["look"] for each in near}.items() <= shown[1].items()
