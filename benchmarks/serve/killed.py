"""Kill -9 under load, again and again: is an acknowledged event ever lost, and how soon is the service back?

python benchmarks/serve/killed.py EXPORT --times 50
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any


def ask(port: int, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    """Return status and document of one request."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        sent = None if body is None else json.dumps(body).encode()
        connection.request(method, path, sent, {"content-type": "application/json"})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read() or b"null")
    finally:
        connection.close()


def started(export: Path, kept: Path) -> tuple[subprocess.Popen[bytes], int, float]:
    """Return a service that is ready, its port, and the seconds that took."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    begin = time.perf_counter()
    command = [
        sys.executable,
        "-m",
        "segue",
        "serve",
        str(export),
        "--port",
        str(port),
        "--sessions",
        str(kept),
        "--quiet",
    ]
    process = subprocess.Popen(command)
    while True:
        try:
            if ask(port, "GET", "/ready")[0] == 200:
                return process, port, time.perf_counter() - begin
        except OSError:
            assert process.poll() is None, "it ended by itself"
            time.sleep(0.02)


def main() -> None:
    """Print one JSON document; fail if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("export", type=Path)
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--clients", type=int, default=4)
    given = parser.parse_args()
    draw, told, ready_s = random.Random(0), dict[str, int](), []
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) / "sessions.sqlite"
        for _ in range(given.times):
            process, port, seconds = started(given.export, kept)
            ready_s.append(seconds)

            def telling(port: int = port) -> None:
                try:
                    session = ask(port, "POST", "/v1/sessions", {"events": []})[1]["session"]
                    told[session] = 0
                    while True:
                        events = [{"track": f"t{told[session]}", "event_id": str(told[session])}]
                        if ask(port, "POST", f"/v1/sessions/{session}/events", {"events": events})[0] != 200:
                            return
                        told[session] += 1
                except (OSError, http.client.HTTPException, ValueError):
                    return

            threads = [threading.Thread(target=telling) for _ in range(given.clients)]
            for thread in threads:
                thread.start()
            time.sleep(draw.uniform(0.02, 0.8))
            process.kill()
            process.wait()
            for thread in threads:
                thread.join()
        process, port, seconds = started(given.export, kept)
        ready_s.append(seconds)
        lost = 0
        for session, count in told.items():
            found = [event["track"] for event in ask(port, "GET", f"/v1/sessions/{session}")[1].get("events", [])]
            lost += found[:count] != [f"t{place}" for place in range(count)]
        process.terminate()
        process.wait()
    document = {
        "kills": given.times,
        "sessions": len(told),
        "acknowledged": sum(told.values()),
        "sessions_that_lost": lost,
    }
    print(json.dumps(document | {"ready_s_most": max(ready_s)}))
    sys.exit(1 if lost else 0)


if __name__ == "__main__":
    main()
