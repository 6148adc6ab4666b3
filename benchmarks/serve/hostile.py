"""Thousands of hostile requests to a running service: does each get the right answer, and does memory stay flat?

    python benchmarks/serve/hostile.py EXPORT --requests 10000

Each answer that is no success must be a problem as JSON that says what is wrong and what to do; what was sent must
never come back as anything but JSON. Prints one JSON document with counts by kind and status, and the resident memory
of the service before, after a tenth of the requests (warm), in the middle and at the end; exits 1 if an answer was
wrong, the service ended, or memory grew by more than `--most-mb` since it was warm.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hostile_requests import Hostile, hostile
from killed import started

PIECE = 1 << 16


class Client:
    """Sends whatever it is told to, over one connection while that holds."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connection: http.client.HTTPConnection | None = None

    def ask(self, sent: Hostile) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body of the answer."""
        fresh = self._connection is None or sent.pieces or sent.held_back
        if fresh:
            self.close()
            self._connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        assert self._connection is not None
        try:
            self._send(self._connection, sent)
            answer = self._connection.getresponse()
            found = answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        except (http.client.RemoteDisconnected, ConnectionError):
            self.close()
            if fresh:
                raise
            return self.ask(sent)  # a kept connection may be closed at any time
        if sent.pieces or sent.held_back or found[1].get("connection") == "close":
            self.close()
        return found

    def close(self) -> None:
        """Hang up."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _send(self, to: http.client.HTTPConnection, sent: Hostile) -> None:
        headers = {"host": f"localhost:{self._port}", "content-type": "application/json"}
        headers["content-length"] = "" if sent.pieces else str(len(sent.body))
        headers |= sent.headers
        to.putrequest(sent.method, sent.path, skip_host=True, skip_accept_encoding=True)
        for name, value in headers.items():
            if value:
                to.putheader(name, value)
        if sent.pieces:
            to.putheader("transfer-encoding", "chunked")
        to.endheaders()
        if sent.held_back:
            return
        with contextlib.suppress(ConnectionError):  # it may be refused before all of it was sent
            for begin in range(0, len(sent.body), PIECE):
                piece = sent.body[begin : begin + PIECE]
                to.send(b"%x\r\n%b\r\n" % (len(piece), piece) if sent.pieces else piece)
            if sent.pieces:
                to.send(b"0\r\n\r\n")


def fault(sent: Hostile, status: int, headers: dict[str, str], body: bytes) -> str | None:
    """Return what is wrong with an answer; None = nothing."""
    if status != sent.status:
        return f"{status} in the place of {sent.status}: {body[:200]!r}"
    if headers.get("x-content-type-options") != "nosniff":
        return "a browser may guess what it is"
    kind = "application/problem+json" if status >= 400 else "application/json"
    if headers.get("content-type") != kind:
        return f"it is {headers.get('content-type')}"
    document = json.loads(body)
    if status >= 400:
        if set(document) != {"type", "title", "status", "detail"} or document["status"] != status:
            return f"no problem: {body[:200]!r}"
        return None if len(document["detail"]) >= 30 else f"it says too little: {document['detail']!r}"
    if tuple(document["unknown"]) != sent.echo:
        return f"ids came back changed: {document['unknown']!r}"
    return None


def resident_mb(process: subprocess.Popen[bytes]) -> float:
    """Return the resident memory of a process."""
    (line,) = (
        line for line in Path(f"/proc/{process.pid}/status").read_text().splitlines() if line.startswith("VmRSS")
    )
    return round(int(line.split()[1]) / 1024, 1)


def told(process: subprocess.Popen[bytes], port: int, num: int, seed: int) -> Iterator[tuple[str, Hostile, Any]]:
    """Yield each request with its kind and what is wrong with its answer."""
    client = Client(port)
    for kind, sent in hostile(num, seed):
        status, headers, body = client.ask(sent)
        yield kind, sent, (status, fault(sent, status, headers, body))
        assert process.poll() is None, f"it ended by itself after a request of the kind {kind!r}"
    client.close()


def main() -> None:
    """Print one JSON document; fail if an answer is wrong or memory grows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("export", type=Path)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--most-mb", type=float, default=16.0)
    given = parser.parse_args()
    counts, faults, memory = Counter[str](), list[str](), dict[str, float]()
    with tempfile.TemporaryDirectory() as folder:
        process, port, _ = started(given.export, Path(folder) / "sessions.sqlite")
        marks = {given.requests // 10: "warm", given.requests // 2: "middle"}
        memory["before"], begin = resident_mb(process), time.perf_counter()
        try:
            for place, (kind, sent, (status, wrong)) in enumerate(told(process, port, given.requests, given.seed)):
                counts[f"{kind}: {status}"] += 1
                if wrong is not None:
                    faults.append(f"{kind}: {sent.method} {sent.path[:80]} {sent.body[:80]!r} {sent.headers}: {wrong}")
                if place in marks:
                    memory[marks[place]] = resident_mb(process)
            memory["after"], seconds = resident_mb(process), time.perf_counter() - begin
        finally:
            process.terminate()
            process.wait()
    grown = round(memory["after"] - memory["warm"], 1)
    document = {"requests": given.requests, "seconds": round(seconds, 1), "answers": dict(sorted(counts.items()))}
    print(json.dumps(document | {"memory_mb": memory, "grown_mb": grown, "wrong": len(faults), "faults": faults[:20]}))
    sys.exit(1 if faults or grown > given.most_mb else 0)


if __name__ == "__main__":
    main()
