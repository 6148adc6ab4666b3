"""Load on a running service: `POST /v1/next` over kept connections, at a rate or as fast as it answers.

    python benchmarks/serve/load.py EXPORT --port 8765 --rate 50 --seconds 20
    python benchmarks/serve/load.py EXPORT --port 8765 --connections 32 --seconds 20

At a rate, a request counts from when it was due, not from when it could be sent: a server that stalls is not spared.
"""

from __future__ import annotations

import argparse
import json
import select
import socket
import time
from pathlib import Path

import numpy as np

from segue.exported.folder import open_export

_MOST = 900
"""Requests under way at once: more sockets than select takes would be a traceback."""


def bodies(export: Path, num: int, k: int, seed: int = 0) -> list[bytes]:
    """Return requests of sessions of 1 to 20 tracks, a third of them skipped."""
    vocabulary = open_export(export, verify=False).vocabulary
    generator = np.random.default_rng(seed)
    made = []
    for length in generator.integers(1, 21, num):
        ids = vocabulary.texts(generator.integers(0, len(vocabulary), length))
        heard = generator.choice(["listened", "listened", "skip"], length)
        events = [{"track": track, "heard": str(word)} for track, word in zip(ids, heard, strict=True)]
        made.append(json.dumps({"events": events, "k": k}).encode())
    return made


class Connections:
    """Kept HTTP/1.1 connections, waited for with the precision of the clock: an event loop's timers are too coarse."""

    def __init__(self, port: int, made: list[bytes]) -> None:
        self._port = port
        self._requests = [_head(port, len(body)) + body for body in made]
        self._idle: list[socket.socket] = []
        self._asked: dict[socket.socket, tuple[float, bytearray]] = {}
        self.taken: list[float] = []
        self.failed = 0

    def __len__(self) -> int:
        return len(self._asked)

    def ask(self, place: int, due: float) -> None:
        """Send one request, whose time counts from `due`."""
        if len(self._asked) >= _MOST:
            raise SystemExit(f"{_MOST} requests wait at once: the service does not keep up; ask for a lower --rate")
        connection = self._idle.pop() if self._idle else socket.create_connection(("127.0.0.1", self._port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(self._requests[place % len(self._requests)])
        self._asked[connection] = due, bytearray()

    def wait(self, until: float) -> int:
        """Wait for answers until then at most; return how many came whole."""
        ready, _, _ = select.select([*self._asked], (), (), max(until - time.perf_counter(), 0.0))
        return sum(self._read(connection) for connection in ready)

    def _read(self, connection: socket.socket) -> bool:
        due, answer = self._asked[connection]
        part = connection.recv(1 << 16)
        answer += part
        end = answer.find(b"\r\n\r\n")
        if part and (end < 0 or len(answer) < end + 4 + _length(bytes(answer[:end]))):
            return False
        self.taken.append(time.perf_counter() - due)
        self.failed += answer[9:12] != b"200"
        del self._asked[connection]
        self._idle.append(connection) if part else connection.close()
        return True


def _head(port: int, length: int) -> bytes:
    return (
        f"POST /v1/next HTTP/1.1\r\nhost: localhost:{port}\r\ncontent-type: application/json\r\n"
        f"content-length: {length}\r\n\r\n"
    ).encode()


def _length(head: bytes) -> int:
    lower = head.lower()
    begin = lower.index(b"content-length:") + 15
    end = lower.find(b"\r", begin)
    return int(lower[begin : end if end >= 0 else None])


def at_rate(connections: Connections, rate: float, seconds: float) -> None:
    """Ask at random moments, so many times a second."""
    generator = np.random.default_rng(1)
    moments = time.perf_counter() + np.cumsum(generator.exponential(1.0 / rate, int(rate * seconds)))
    for place, due in enumerate(moments.tolist()):
        while time.perf_counter() < due:
            connections.wait(due)
        connections.ask(place, due)
    while len(connections):
        connections.wait(time.perf_counter() + 1.0)


def saturated(connections: Connections, together: int, seconds: float) -> None:
    """Ask again as soon as one of so many that are asked together is answered."""
    end, place = time.perf_counter() + seconds, 0
    free = together
    while time.perf_counter() < end:
        for _ in range(free):
            connections.ask(place, time.perf_counter())
            place += 1
        free = connections.wait(end)
    while len(connections):
        connections.wait(time.perf_counter() + 1.0)


def main() -> None:
    """Print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("export", type=Path)
    parser.add_argument("--port", type=int, default=8765)
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("-k", type=int, default=10)
    given = parser.parse_args()
    connections = Connections(given.port, bodies(given.export, 2000, given.k))
    begin, own = time.perf_counter(), time.process_time()
    if given.rate:
        at_rate(connections, given.rate, given.seconds)
    else:
        saturated(connections, given.connections, given.seconds)
    wall, own = time.perf_counter() - begin, time.process_time() - own
    taken = connections.taken
    p50, p90, p99 = (1e3 * float(np.quantile(taken, q)) for q in (0.5, 0.9, 0.99))
    told = {"requests": len(taken), "failed": connections.failed, "per_second": len(taken) / wall}
    print(json.dumps(told | {"p50_ms": p50, "p90_ms": p90, "p99_ms": p99, "load_itself_cores": own / wall}))


if __name__ == "__main__":
    main()
