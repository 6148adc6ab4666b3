"""Kill -9 under load, again and again: is an acknowledged event ever lost, and how soon is the service back?

    python benchmarks/serve/killed.py EXPORT --times 50

Clients tell events one after another, each in sessions of its own listener, until the service is killed at a random
moment. After some sessions the listener is deleted. After each kill a copy of the file is checked by SQLite; after the
last, all sessions of all kills are asked for: those of a deleted listener must be gone, all others whole.
Prints one JSON document; exits 1 if anything was lost, told twice or damaged, or if it was ready after 5 s only.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

READY_S = 5.0
SESSION_EVENTS = 15
GONE, UNDECIDED = -1, -2
"""In place of a number of events: its listener was deleted; or the service was killed before it said so."""


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
    command = [sys.executable, "-m", "segue", "serve", str(export), "--sessions", str(kept), "--quiet"]
    process = subprocess.Popen([*command, "--port", str(port)])
    while True:
        try:
            if ask(port, "GET", "/ready")[0] == 200:
                return process, port, time.perf_counter() - begin
        except OSError:
            assert process.poll() is None, "it ended by itself"
            time.sleep(0.02)


def telling(port: int, acknowledged: dict[str, int]) -> None:
    """Tell events until the service is gone; note how many of each session were acknowledged."""
    draw = random.Random()  # not of the thread's id: after a kill, a thread may get one that was used before it
    try:
        while True:
            listener = f"listener-{draw.getrandbits(64)}"
            session = ask(port, "POST", "/v1/sessions", {"events": [], "listener": listener})[1]["session"]
            acknowledged[session] = 0
            for _ in range(SESSION_EVENTS):
                events = [{"track": f"t{acknowledged[session]}", "event_id": str(acknowledged[session])}]
                if ask(port, "POST", f"/v1/sessions/{session}/events", {"events": events})[0] != 200:
                    return
                acknowledged[session] += 1
            if draw.random() < 0.3:
                acknowledged[session] = UNDECIDED
                if ask(port, "DELETE", f"/v1/listeners/{listener}")[0] == 204:
                    acknowledged[session] = GONE
    except (OSError, http.client.HTTPException, ValueError):
        return  # it was killed, perhaps amid an answer


def kill_under_load(export: Path, kept: Path, clients: int, after_s: float) -> tuple[dict[str, int], float]:
    """Return the events that were acknowledged, by session, and the seconds until the service was ready."""
    process, port, ready_s = started(export, kept)
    acknowledged: dict[str, int] = {}
    threads = [threading.Thread(target=telling, args=(port, acknowledged)) for _ in range(clients)]
    for thread in threads:
        thread.start()
    time.sleep(after_s)
    process.kill()
    process.wait()
    for thread in threads:
        thread.join()
    return acknowledged, ready_s


def damage(kept: Path) -> str:
    """Return what SQLite says of a copy of the file as the kill left it: "ok" where nothing is wrong."""
    with tempfile.TemporaryDirectory() as folder:
        for part in kept.parent.glob(f"{kept.name}*"):
            shutil.copy(part, folder)
        connection = sqlite3.connect(Path(folder) / kept.name)
        try:
            return "; ".join(str(row[0]) for row in connection.execute("PRAGMA integrity_check"))
        except sqlite3.Error as error:
            return str(error)
        finally:
            connection.close()


def wrong_sessions(port: int, acknowledged: Mapping[str, int]) -> list[str]:
    """Return sessions without an event that was acknowledged, with one twice, or with more than one nobody heard of.

    Also those that are there although their listener was deleted.
    """
    wrong = []
    for session, count in acknowledged.items():
        status, found = ask(port, "GET", f"/v1/sessions/{session}")
        if count < 0:
            wrong += [session] if count == GONE and status != 404 else []
            continue
        tracks = [event["track"] for event in found["events"]] if status == 200 else []
        whole = status == 200 and count <= len(tracks) <= count + 1
        if not whole or tracks != [f"t{place}" for place in range(len(tracks))]:
            wrong.append(session)
    return wrong


def main() -> None:
    """Print one JSON document; fail if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("export", type=Path)
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--clients", type=int, default=4)
    given = parser.parse_args()
    draw, told, ready_s, damaged = random.Random(0), dict[str, int](), list[float](), list[str]()
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) / "sessions.sqlite"
        for time_ in range(given.times):
            fresh, seconds = kill_under_load(given.export, kept, given.clients, draw.uniform(0.02, 0.8))
            told |= fresh
            ready_s.append(seconds)
            said = damage(kept)
            damaged += [] if said == "ok" else [f"kill {time_ + 1}: {said}"]
        process, port, seconds = started(given.export, kept)
        ready_s.append(seconds)
        wrong = wrong_sessions(port, told)
        process.terminate()
        process.wait()
    document = {
        "kills": given.times,
        "clients": given.clients,
        "sessions": len(told),
        "listeners_deleted": sum(count == GONE for count in told.values()),
        "acknowledged": sum(max(count, 0) for count in told.values()),
        "sessions_that_lost": len(wrong),
        "damaged": damaged,
        "ready_s_most": round(max(ready_s), 3),
        "ready_s": [round(seconds, 3) for seconds in ready_s],
    }
    print(json.dumps(document))
    sys.exit(1 if wrong or damaged or max(ready_s) > READY_S else 0)


if __name__ == "__main__":
    main()
