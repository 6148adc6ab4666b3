"""Whose sessions are whose, and what happens to them when they cannot be written."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from segue.serving.gate import GateOptions
from segue.serving.models import Models
from segue.serving.service import Service
from segue.serving.sessions import sqlite as sqlite_sessions
from segue.serving.sessions.sqlite import SqliteSessions
from support.served import Call, calling, small_export


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_export(tmp_path_factory.mktemp("apart"))


@contextmanager
def _opened(export: Path, kept: Path) -> Iterator[Service]:
    service = Service(Models([export], threads=1), SqliteSessions(kept))
    yield service
    service.sessions.close()
    service.models.close()


@pytest.fixture
def service(export: Path, tmp_path: Path) -> Iterator[Service]:
    with _opened(export, tmp_path / "s.sqlite") as service:
        yield service


def _begin(call: Call, *tracks: str) -> str:
    answer = call("POST", "/v1/sessions", json={"events": [{"track": track} for track in tracks]})
    assert answer.status_code == 201
    session: str = answer.json()["session"]
    return session


def _heard(call: Call, session: str) -> list[str]:
    answer = call("GET", f"/v1/sessions/{session}")
    assert answer.status_code == 200
    return [event["track"] for event in answer.json()["events"]]


def _everything(call: Call, session: str) -> Iterator[httpx.Response]:
    """Yield the answers to whatever can be asked of a session."""
    path = f"/v1/sessions/{session}"
    yield call("GET", path)
    yield call("POST", f"{path}/next", json={})
    yield call("POST", f"{path}/events", json={"events": [{"track": "planted"}]})
    yield call("DELETE", path)


def _refuses(call: Call, session: str, status: int = 404) -> None:
    for answer in _everything(call, session):
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"


def test_ids_are_128_random_bits(service: Service) -> None:
    call = calling(service)
    ids = [_begin(call) for _ in range(200)]
    assert all(re.fullmatch("[0-9a-f]{32}", each) for each in ids)
    drawn = [int(each, 16) for each in ids]
    assert len({each >> 64 for each in drawn}) == len({each & (2**64 - 1) for each in drawn}) == 200
    for bit in range(128):
        assert 50 < sum(each >> bit & 1 for each in drawn) < 150, f"bit {bit} is not random"


def test_an_id_that_is_only_like_one_opens_nothing(service: Service) -> None:
    call = calling(service)
    mine, other = _begin(call, "mine"), _begin(call, "theirs")
    letter = next(place for place, sign in enumerate(mine) if sign in "abcdef")
    wrong = {mine.upper(), mine[:letter] + mine[letter].upper() + mine[letter + 1 :], mine[:-1], mine[:16], mine[0]}
    wrong |= {
        mine + "0",
        f"0{mine}",
        mine[1:],
        mine[::-1],
        mine[:16] + other[16:],
        f"%20{mine}",
        f"{mine}%00",
        f"{mine}%0a",
    }
    wrong |= {"0" * 32, "%25", "_" * 32, "*", mine[:-1] + "%", f"{mine}%27%20OR%201=1", "null", "\uff46" * 32}
    for session in sorted(wrong - {mine}):
        _refuses(call, session)
    assert (_heard(call, mine), _heard(call, other)) == (["mine"], ["theirs"])


def test_no_store_is_asked_for_what_is_no_id(service: Service) -> None:
    """Keys of a store may have other forms: none of them is a session's name over HTTP."""
    for name in ("odd", "0" * 31, "A" * 32, "0" * 32 + ":events"):
        service.sessions.create(name, "", []).result()
        _refuses(calling(service), name)


def test_sessions_are_listed_nowhere(service: Service) -> None:
    call = calling(service)
    mine = _begin(call, "only-here")
    for path in ("/v1/sessions", "/v1/sessions/", "/v1/models", "/v1/map", "/metrics", "/health", "/v1", "/"):
        answer = call("GET", path)
        assert mine not in answer.text
        assert "only-here" not in answer.text
    assert call("GET", "/v1/sessions").status_code == 405
    assert call("GET", "/v1/sessions/").status_code == 405


def test_a_session_is_one_services_own(export: Path, service: Service, tmp_path: Path) -> None:
    call = calling(service)
    mine = _begin(call, "mine")
    with _opened(export, tmp_path / "other.sqlite") as stranger:
        _refuses(calling(stranger), mine)
        theirs = _begin(calling(stranger), "theirs")
        _refuses(call, theirs)
    _refuses(calling(service, GateOptions(token="t" * 20)), mine, 401)
    assert _heard(call, mine) == ["mine"]


def test_what_is_refused_for_its_length_is_not_done(service: Service) -> None:
    call = calling(service, GateOptions(most_bytes=500))
    mine = _begin(call, "mine")

    async def pieces() -> object:
        yield b'{"events": [{"track": "planted"}]}'
        for _ in range(10):
            yield b" " * 100

    headers = {"content-type": "application/json"}
    answer = call("POST", f"/v1/sessions/{mine}/events", content=pieces(), headers=headers)
    assert answer.status_code == 413
    assert _heard(call, mine) == ["mine"]


def test_a_full_disk_is_507_and_reads_go_on(service: Service) -> None:
    call = calling(service)
    mine, told, path = _begin(call, "mine"), 1, "/v1/sessions"
    store = service.sessions
    assert isinstance(store, SqliteSessions)
    pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
    store._connection.execute(f"PRAGMA max_page_count = {pages + 2}")
    long = {"events": [{"track": "x" * 1000}] * 5}
    while (answer := call("POST", f"{path}/{mine}/events", json=long)).status_code == 200:
        told += 5
        assert told < 1000
    for refused in (answer, call("POST", path, json=long)):
        assert refused.status_code == 507
        assert refused.headers["content-type"] == "application/problem+json"
        assert "make room" in refused.json()["detail"]
    assert len(_heard(call, mine)) == told
    assert call("POST", f"{path}/{mine}/next", json={}).status_code == 200
    store._connection.execute("PRAGMA max_page_count = 100000")
    assert call("POST", f"{path}/{mine}/events", json=long).json()["events"] == told + 5, "as soon as there is room"


def test_a_file_that_may_not_be_written_is_503_and_reads_go_on(
    export: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "kept.sqlite"
    with _opened(export, kept) as service:
        mine = _begin(calling(service), "mine")

    def read_only(path: Path, *, durable: bool) -> sqlite3.Connection:
        """As SQLite opens a file without the right to write it, which root always has."""
        uri = f"{path.absolute().as_uri()}?mode=ro"
        return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)

    with monkeypatch.context() as patched:
        patched.setattr(sqlite_sessions, "_opened", read_only)
        with _opened(export, kept) as service:
            call, path = calling(service), f"/v1/sessions/{mine}"
            told = {"events": [{"track": "more"}]}
            asked = (("POST", f"{path}/events", told), ("POST", "/v1/sessions", told), ("DELETE", path, None))
            for method, where, body in asked:
                refused = call(method, where, json=body)
                assert refused.status_code == 503
                assert refused.headers["content-type"] == "application/problem+json"
                assert "can be read" in refused.json()["detail"]
            assert _heard(call, mine) == ["mine"]
            assert call("POST", f"{path}/next", json={}).status_code == 200
    with _opened(export, kept) as service:
        assert calling(service)("POST", f"/v1/sessions/{mine}/events", json=told).json()["events"] == 2
