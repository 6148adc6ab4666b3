"""Load on a running service: `POST /v1/next` over kept connections, at a rate or as fast as it answers.

    python benchmarks/serve/load.py EXPORT --port 8765 --rate 50 --seconds 20
    python benchmarks/serve/load.py EXPORT --port 8765 --connections 32 --seconds 20

At a rate, a request counts from when it was due, not from when it could be sent: a server that stalls is not spared.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from pathlib import Path

import numpy as np

from segue.exported.folder import open_export


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


class Connection:
    """One kept HTTP/1.1 connection."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def open(self) -> None:
        """Connect."""
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)

    async def ask(self, body: bytes) -> int:
        """Send one request; return the status of its answer."""
        head = (
            f"POST /v1/next HTTP/1.1\r\nhost: localhost:{self._port}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        )
        self._writer.write(head.encode() + body)
        answer = await self._reader.readuntil(b"\r\n\r\n")
        status, lower = int(answer[9:12]), answer.lower()
        begin = lower.index(b"content-length:") + 15
        await self._reader.readexactly(int(lower[begin : lower.index(b"\r", begin)]))
        return status


async def at_rate(port: int, made: list[bytes], rate: float, seconds: float) -> tuple[list[float], int]:
    """Return the seconds of each answer and the number that were no 200, requests sent at random moments."""
    generator = np.random.default_rng(1)
    free: asyncio.LifoQueue[Connection] = asyncio.LifoQueue()
    taken, failed = [], 0

    async def one(due: float, body: bytes) -> None:
        nonlocal failed
        connection = free.get_nowait() if not free.empty() else Connection(port)
        if not hasattr(connection, "_reader"):
            await connection.open()
        failed += await connection.ask(body) != 200
        taken.append(time.perf_counter() - due)
        free.put_nowait(connection)

    begin, tasks = time.perf_counter(), []
    due = begin
    for place in range(int(rate * seconds)):
        due += float(generator.exponential(1.0 / rate))
        await asyncio.sleep(max(due - time.perf_counter(), 0.0))
        tasks.append(asyncio.create_task(one(due, made[place % len(made)])))
    await asyncio.gather(*tasks)
    return taken, failed


async def saturated(port: int, made: list[bytes], connections: int, seconds: float) -> tuple[list[float], int]:
    """Return the seconds of each answer and the number that were no 200, each connection asking again at once."""
    taken, failed = [], 0
    end = time.perf_counter() + seconds

    async def one(first: int) -> None:
        nonlocal failed
        connection, place = Connection(port), first
        await connection.open()
        while time.perf_counter() < end:
            begin = time.perf_counter()
            failed += await connection.ask(made[place % len(made)]) != 200
            taken.append(time.perf_counter() - begin)
            place += connections

    await asyncio.gather(*(one(first) for first in range(connections)))
    return taken, failed


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
    made = bodies(given.export, 2000, given.k)
    begin = time.perf_counter()
    if given.rate:
        taken, failed = asyncio.run(at_rate(given.port, made, given.rate, given.seconds))
    else:
        taken, failed = asyncio.run(saturated(given.port, made, given.connections, given.seconds))
    wall = time.perf_counter() - begin
    p50, p90, p99 = (1e3 * float(np.quantile(taken, q)) for q in (0.5, 0.9, 0.99))
    told = {"requests": len(taken), "failed": failed, "per_second": len(taken) / wall}
    print(json.dumps(told | {"p50_ms": p50, "p90_ms": p90, "p99_ms": p99}))


if __name__ == "__main__":
    main()
