"""The service as a process among people who mean it ill, on a disk that is full, killed again and again."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.served import ask, free_port, running, small_export

SCRIPTS = Path(__file__).parents[2] / "benchmarks" / "serve"


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_export(tmp_path_factory.mktemp("hostile"))


def _script(name: str, *arguments: str | Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, str(SCRIPTS / name), *map(str, arguments)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def test_each_hostile_request_gets_the_answer_that_is_its_due(export: Path) -> None:
    told = _script("hostile.py", export, "--requests", "400", "--seed", "1", "--most-mb", "30")
    assert told["wrong"] == 0
    assert sum(told["answers"].values()) == 400
    got = {name.rpartition(" ")[2] for name in told["answers"]}
    assert got == {"200", "400", "403", "404", "405", "413", "415", "421"}


def test_three_kills_under_load_lose_nothing_that_was_acknowledged(export: Path) -> None:
    told = _script("killed.py", export, "--times", "3")
    assert (told["kills"], told["sessions_that_lost"], told["damaged"]) == (3, 0, [])
    assert told["acknowledged"] > 20
    assert told["ready_s_most"] <= 5.0


def _raw(port: int, sent: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(1 << 16), b""))


def _post(*headers: str, body: bytes = b"{}", path: str = "/v1/next") -> bytes:
    lines = [f"POST {path} HTTP/1.1", "content-type: application/json", "host: localhost", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


NO_HTTP = {
    "another protocol": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20,
    "two ways to tell the length": _post(
        "content-length: 4", "transfer-encoding: chunked", body=b"2\r\n{}\r\n0\r\n\r\n"
    ),
    "two lengths": _post("content-length: 2", "content-length: 3"),
    "a length below zero": _post("content-length: -2"),
    "a length beyond numbers": _post(f"content-length: {10**30}"),
    "a length of letters": _post("content-length: two"),
    "a chunk of no length": _post("transfer-encoding: chunked", body=b"zz\r\n{}\r\n0\r\n\r\n"),
    "NUL in a header": _post("content-length: 2", "x-a: b\x00c"),
    "a proxy's request": b"CONNECT evil.example:80 HTTP/1.1\r\nhost: localhost\r\n\r\n",
}


def test_what_is_no_http_is_refused_before_it_is_looked_at(export: Path, tmp_path: Path) -> None:
    port = free_port()
    with running(export, "--sessions", tmp_path / "s.sqlite", port=port):
        for name, sent in NO_HTTP.items():
            answer = _raw(port, sent)
            assert answer.startswith(b"HTTP/1.1 400 "), name
            assert b"content-type: text/plain" in answer.lower(), "the server's own line, for there is no request"
        session = ask(port, "POST", "/v1/sessions", {"events": []})[1]["session"]
        whole, path = b'{"events": [{"track": "planted"}]}', f"/v1/sessions/{session}/events"
        assert _raw(port, _post("content-length: 5000", path=path, body=whole)) == b"", "the client went away"
        assert _raw(port, _post("transfer-encoding: chunked", path=path, body=b"22\r\n" + whole + b"\r\n")) == b""
        assert ask(port, "GET", f"/v1/sessions/{session}")[1]["events"] == [], "half a body is not obeyed"
        for head in (b"", b"host: evil.example\r\nhost: localhost\r\n", b"host: \xff\r\n"):
            answer = _raw(port, b"GET /v1/models HTTP/1.1\r\nconnection: close\r\n" + head + b"\r\n")
            assert answer.startswith(b"HTTP/1.1 421 "), head
            assert b"content-type: application/problem+json" in answer


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MiB; only who may mount has one (who may not has the test with max_page_count)."""
    place = tmp_path / "disk"
    place.mkdir()
    try:
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], capture_output=True)
    except FileNotFoundError:
        pytest.skip("there is no mount here")
    if done.returncode != 0:
        pytest.skip(f"this user may not mount: {done.stderr.decode().strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_disk_that_is_really_full_is_507_and_reads_go_on(export: Path, small_disk: Path) -> None:
    port, ballast = free_port(), small_disk / "ballast"
    with running(export, "--sessions", small_disk / "s.sqlite", port=port) as process:
        session = ask(port, "POST", "/v1/sessions", {"events": [{"track": "first"}]})[1]["session"]
        path, count, status = f"/v1/sessions/{session}", 1, 200
        free = os.statvfs(small_disk)
        ballast.write_bytes(bytes((free.f_bavail - 30) * free.f_frsize))
        told = {"events": [{"track": "x" * 1000}] * 10}
        while status == 200:
            status, answer = ask(port, "POST", f"{path}/events", told)
            count += 10 if status == 200 else 0
            assert count < 5000, "the disk is not full?"
        assert (status, answer["status"]) == (507, 507)
        assert "make room" in answer["detail"]
        assert ask(port, "POST", "/v1/sessions", told)[0] == 507
        assert len(ask(port, "GET", path)[1]["events"]) == count
        assert ask(port, "POST", f"{path}/next", {"k": 3})[0] == 200
        ballast.unlink()
        assert ask(port, "POST", f"{path}/events", told)[1]["events"] == count + 10, "as soon as there is room"
        process.kill()
        process.wait()
    with running(export, "--sessions", small_disk / "s.sqlite", port=port):
        assert len(ask(port, "GET", path)[1]["events"]) == count + 10
