"""Services as processes on one Redis: they share sessions, and a kill of one loses nothing."""

from __future__ import annotations

import csv
import http.client
import json
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from segue.cli.main import main
from support.redis_servers import RedisServer, redis_server
from support.served import ask, free_port, running, small_export

SECRET = "correct-horse-battery"


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_export(tmp_path_factory.mktemp("served"))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path / "redis") as made:
        yield made


def test_two_services_on_one_redis_see_the_same_session(
    server: RedisServer, export: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = free_port(), free_port()
    with running(export, "--sessions", server.url, port=one), running(export, "--sessions", server.url, port=two):
        session = ask(one, "POST", "/v1/sessions", {"events": [{"track": "a"}]})[1]["session"]
        path = f"/v1/sessions/{session}"
        events = {"events": [{"track": "b", "heard": "skip", "event_id": "7"}]}
        assert ask(two, "POST", f"{path}/events", events)[1] == {"accepted": 1, "repeated": 0, "events": 2}
        assert ask(one, "POST", f"{path}/events", events)[1] == {"accepted": 0, "repeated": 1, "events": 2}
        assert ask(one, "GET", path) == ask(two, "GET", path)
        assert ask(one, "POST", f"{path}/next", {"k": 5}) == ask(two, "POST", f"{path}/next", {"k": 5})
        assert ask(one, "GET", "/v1/sessions/nobody")[0] == 404
        server.kill()
        status, problem = ask(one, "GET", path)
        assert status == 503
        assert "Redis cannot be reached" in problem["detail"]
        assert str(server.port) not in problem["detail"], "where it is, is nobody's business"
        server.start()
        assert ask(two, "GET", path)[1]["events"][1]["track"] == "b"
        assert main(["log", "export", server.url, str(tmp_path / "log.csv"), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["events"] == 2
        assert ask(two, "DELETE", path)[0] == 204
        assert ask(one, "GET", path)[0] == 404
    with (tmp_path / "log.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert [(row["session"], row["position"], row["track"]) for row in rows] == [
        (session, "0", "a"),
        (session, "1", "b"),
    ]


def test_two_services_on_one_redis_know_the_same_listeners(server: RedisServer, export: Path, tmp_path: Path) -> None:
    one, two = free_port(), free_port()
    name, quoted = "ü/<b>", "%C3%BC%2F%3Cb%3E"
    with running(export, "--sessions", server.url, port=one), running(export, "--sessions", server.url, port=two):
        asked = {"events": [{"track": "a"}], "listener": name}
        first, second, other = (
            ask(port, "POST", "/v1/sessions", body)[1]["session"]
            for port, body in ((one, asked), (two, asked), (one, {"events": [{"track": "b"}]}))
        )
        assert ask(two, "GET", f"/v1/sessions/{first}")[1]["listener"] == name
        assert main(["log", "export", server.url, str(tmp_path / "log.csv")]) == 0
        server.kill()
        assert ask(two, "DELETE", f"/v1/listeners/{quoted}")[0] == 503, "it is not said to be deleted"
        server.start()
        assert ask(one, "GET", f"/v1/sessions/{first}")[0] == 200
        assert ask(two, "DELETE", f"/v1/listeners/{quoted}")[0] == 204
        server.kill()
        server.start()
        for port in (one, two):
            assert [ask(port, "GET", f"/v1/sessions/{each}")[0] for each in (first, second, other)] == [404, 404, 200]
            assert ask(port, "DELETE", f"/v1/listeners/{quoted}")[0] == 404
        assert main(["log", "export", server.url, str(tmp_path / "after.csv")]) == 0
    logs = []
    for file in ("log.csv", "after.csv"):
        with (tmp_path / file).open(newline="", encoding="utf-8") as handle:
            logs.append([(row["session"], row.get("listener")) for row in csv.DictReader(handle)])
    assert logs == [[(first, name), (second, name), (other, other)], [(other, None)]]


def test_a_kill_of_the_service_under_load_loses_nothing_that_was_acknowledged(
    server: RedisServer, export: Path
) -> None:
    acknowledged: dict[str, list[str]] = {}
    draw = random.Random(0)
    for _ in range(2):
        port = free_port()

        def telling(port: int = port) -> None:
            try:
                session = ask(port, "POST", "/v1/sessions", {"events": []})[1]["session"]
                acknowledged[session] = []
                for place in range(10_000):
                    events = [{"track": f"t{place}", "event_id": str(place)}]
                    if ask(port, "POST", f"/v1/sessions/{session}/events", {"events": events})[0] == 200:
                        acknowledged[session].append(f"t{place}")
            except (OSError, ValueError, http.client.HTTPException):
                return  # it was killed, perhaps amid an answer

        with running(export, "--sessions", server.url, port=port) as process:
            threads = [threading.Thread(target=telling) for _ in range(4)]
            for thread in threads:
                thread.start()
            threading.Event().wait(0.3 + draw.random())
            process.kill()
            for thread in threads:
                thread.join()
    assert sum(map(len, acknowledged.values())) > 20
    port = free_port()
    with running(export, "--sessions", server.url, port=port):
        for session, tracks in acknowledged.items():
            status, found = ask(port, "GET", f"/v1/sessions/{session}")
            assert status == 200
            told = [event["track"] for event in found["events"]]
            assert told[: len(tracks)] == tracks
            assert len(told) <= len(tracks) + 1, "one may be there that nobody heard of"


def test_the_password_stands_in_no_argument_and_no_message(
    export: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for verb in (["serve", str(export), "--sessions"], ["log", "export"]):
        where = f"redis://:{SECRET}@127.0.0.1:1/0"
        assert main([*verb, where, *([str(tmp_path / "o.csv")] if verb[0] == "log" else [])]) == 2
        error = capsys.readouterr().err
        assert "SEGUE_REDIS_PASSWORD" in error
        assert SECRET not in error
    with redis_server(tmp_path / "redis", "--requirepass", SECRET) as server:
        monkeypatch.setenv("SEGUE_REDIS_PASSWORD", f"not-{SECRET}")
        assert main(["serve", str(export), "--sessions", server.url]) == 1
        error = capsys.readouterr().err
        assert "refuses the user or the password" in error
        assert SECRET not in error
        port = free_port()
        environment = {"SEGUE_REDIS_PASSWORD": SECRET}
        with running(export, "--sessions", server.url, port=port, environment=environment) as process:
            assert SECRET not in Path(f"/proc/{process.pid}/cmdline").read_text()
            assert ask(port, "POST", "/v1/sessions", {"events": []})[0] == 201
            server.kill()
            assert ask(port, "POST", "/v1/sessions", {"events": []})[0] == 503
            process.terminate()
            process.wait(30)
            assert process.stdout is not None
            assert SECRET not in process.stdout.read()
