"""A Redis of its own for a test, where redis-server is installed."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from support.served import free_port


class RedisServer:
    """A redis-server process, its files in `folder`; one that was killed can be started again at the same port."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder, self.port, self.options = folder, free_port(), options
        self.socket = folder / "redis.sock"

    @property
    def url(self) -> str:
        """Return the address as `--sessions` takes it."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it and wait until it answers."""
        where = ["--port", str(self.port), "--bind", "127.0.0.1", "--unixsocket", str(self.socket)]
        kept = ["--dir", str(self.folder), "--appendonly", "yes", "--save", ""]
        command = ["redis-server", *where, *kept, *self.options]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 20.0
        with redis.Redis(port=self.port, retry=Retry(NoBackoff(), 0)) as client:
            while True:
                try:
                    client.ping()
                except redis.AuthenticationError:
                    return
                except (redis.ConnectionError, redis.ResponseError):
                    assert time.monotonic() < end, "redis-server does not answer"
                    time.sleep(0.02)
                else:
                    return

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.process.wait(20)


@contextmanager
def redis_server(folder: Path, *options: str) -> Iterator[RedisServer]:
    """Yield a Redis that listens; the test is skipped where redis-server is not installed."""
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed (Debian: apt-get install redis-server)")
    folder.mkdir(parents=True, exist_ok=True)
    server = RedisServer(folder, *options)
    server.start()
    try:
        yield server
    finally:
        server.kill()
