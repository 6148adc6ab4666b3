"""The shortcut to what next: answers what the long way answers, to the byte, and leaves to it what is no success."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from segue.exported import open_export
from segue.serving.app import make_app
from segue.serving.messages import Event
from segue.serving.models import Models
from segue.serving.service import Service
from segue.serving.sessions import SqliteSessions
from segue.serving.shortcut import Shortcut
from served import small_export


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_export(tmp_path_factory.mktemp("export"))


@pytest.fixture
def service(export: Path, tmp_path: Path) -> Iterator[Service]:
    made = Service(Models([export], threads=1), SqliteSessions(tmp_path / "sessions.sqlite"))
    yield made
    made.sessions.close()
    made.models.close()


Answer = tuple[int, dict[bytes, bytes], bytes]


def _ask(app: Any, path: str, parts: list[bytes], method: str = "POST") -> Answer:
    """Send a body in parts; return status, headers and body."""
    messages = [
        {"type": "http.request", "body": part, "more_body": place < len(parts)} for place, part in enumerate(parts, 1)
    ]
    sent: list[Any] = []

    async def receive() -> Any:
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [
        (b"host", b"localhost"),
        (b"content-type", b"application/json"),
        (b"content-length", str(sum(len(part) for part in parts)).encode()),
    ]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("localhost", 80),
        "state": {},
    }
    asyncio.run(app(scope, receive, send))
    begin, *rest = sent
    return begin["status"], dict(begin["headers"]), b"".join(message["body"] for message in rest)


def _session(service: Service, tracks: list[str]) -> str:
    async def begin() -> str:
        made = await service.create(None, [Event(track, heard="skip") for track in tracks])
        return made.session

    return asyncio.run(begin())


def _bodies(tracks: list[str]) -> list[bytes]:
    draw = random.Random(0)
    good = [
        {
            "events": [{"track": draw.choice(tracks), "heard": draw.choice(["listened", "skip"])} for _ in range(n)],
            "k": draw.randint(1, 12),
            "explain": explain,
            "looks": explain,
        }
        for n in (0, 1, 7, 60)
        for explain in (False, True)
    ]
    bad = [{"k": 0}, {"k": "3"}, {"events": 5}, {"model": "nobody"}, {"unknown": 1}, {"events": [{"track": "x"}]}]
    texts = [b"", b"[]", b"{", b"\xff\xfe", b"[" * 3000, json.dumps({"model": "x" * 70_000}).encode()]
    return [json.dumps(each).encode() for each in (*good, *bad)] + texts


def test_the_short_way_answers_as_the_long_way(service: Service, export: Path) -> None:
    vocabulary = open_export(export).vocabulary
    tracks = vocabulary.texts(range(len(vocabulary)))
    short = make_app(service)
    assert isinstance(short._app, Shortcut)
    long = short._app._app
    session = _session(service, tracks[:5])
    statuses = set()
    for path in ("/v1/next", f"/v1/sessions/{session}/next", f"/v1/sessions/{'0' * 32}/next", "/v1/sessions/a/b/next"):
        for body in _bodies(tracks):
            fast, slow = _ask(short._app, path, [body]), _ask(long, path, [body])
            assert fast == slow
            statuses.add(fast[0])
            assert _ask(short._app, path, [body[:5], body[5:]]) == slow  # a body in two pieces
    assert statuses == {200, 400, 404}
    for method in ("GET", "OPTIONS", "PUT"):
        assert _ask(short._app, "/v1/next", [b""], method) == _ask(long, "/v1/next", [b""], method)


def test_what_can_be_answered_at_once_does_not_go_the_long_way(service: Service) -> None:
    async def never(*_: Any) -> None:
        raise AssertionError("asked the long way")

    short = Shortcut(never, service)
    session = _session(service, [])
    for path in ("/v1/next", f"/v1/sessions/{session}/next"):
        status, headers, body = _ask(short, path, [b'{"k": 3}'])
        assert (status, headers[b"content-type"]) == (200, b"application/json")
        assert len(json.loads(body)["tracks"]) == 3
