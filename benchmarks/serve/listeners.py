"""What a listener's history costs: latency of `next` in sessions with 1,000 earlier plays and in sessions without.

    python benchmarks/serve/listeners.py EXPORT --sessions 200 --clients 1

Sessions of both kinds take turns on one service, so that noise of the machine meets both. Each has 20 events, and a
request for the next tracks after each of them. The request that begins a session reads what the listener played before.
Every earlier play is of another track, as far as the catalogue allows: the most work that there can be. Prints one JSON
document: milliseconds of these requests and of those that begin sessions by kind, and the ratio of the two kinds.
"""

from __future__ import annotations

import argparse
import http.client
import json
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from killed import started

from segue.exported.folder import open_export

EVENTS: Final = 20
SESSION_PLAYS: Final = 20
"""Plays of each earlier session."""
Timed = dict[str, list[list[float]]]
"""By kind: the milliseconds of each request of each session."""


class Client:
    """One kept connection."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def ask(self, path: str, body: Any) -> tuple[float, Any]:
        """Return the milliseconds of one POST, and the document of its answer."""
        sent = json.dumps(body).encode()
        begin = time.perf_counter()
        self._connection.request("POST", path, sent, {"content-type": "application/json"})
        answer = self._connection.getresponse()
        text = answer.read()
        took = 1e3 * (time.perf_counter() - begin)
        if answer.status >= 400:
            raise SystemExit(f"{path}: {answer.status} {text[:200]!r}")
        return took, json.loads(text)


def listen(client: Client, tracks: Sequence[str], listener: str | None) -> list[float]:
    """Return the milliseconds of beginning one session of these tracks, then of its requests for next tracks."""
    named = {} if listener is None else {"listener": listener}
    begun, document = client.ask("/v1/sessions", {"events": [], **named})
    session, taken = document["session"], [begun]
    for number, track in enumerate(tracks):
        event = {"track": track, "strength": 3 * (number % 3 == 0)}
        client.ask(f"/v1/sessions/{session}/events", {"events": [event]})
        taken.append(client.ask(f"/v1/sessions/{session}/next", {"k": 20})[0])
    return taken


def measured(port: int, ids: Sequence[str], given: argparse.Namespace, seed: int) -> Timed:
    """Return the times of one client, which has a listener of its own."""
    client, draw, listener = Client(port), np.random.default_rng(seed), f"listener-{seed}"
    past = draw.choice(len(ids), given.plays, replace=len(ids) < given.plays)
    for begin in range(0, given.plays, SESSION_PLAYS):
        events = [{"track": ids[track], "strength": int(draw.integers(4))} for track in past[begin:][:SESSION_PLAYS]]
        client.ask("/v1/sessions", {"events": events, "listener": listener})
    times: Timed = {"without": [], "with": []}
    for number in range(given.sessions):
        tracks = [ids[track] for track in draw.integers(0, len(ids), EVENTS)]
        for kind in sorted(times, reverse=number % 2 == 0):
            times[kind].append(listen(client, tracks, listener if kind == "with" else None))
    return times


def summary(times: Timed) -> dict[str, Any]:
    """Return quantiles by kind, and their ratios."""
    shown: dict[str, Any] = {}
    for part, chosen in {"next": slice(1, None), "begin": slice(1)}.items():
        taken = {kind: np.concatenate([each[chosen] for each in rows]) for kind, rows in times.items()}
        levels = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
        values = {
            kind: {name: float(np.quantile(each, level)) for name, level in levels.items()}
            for kind, each in taken.items()
        }
        ratio = {name: round(values["with"][name] / values["without"][name], 3) for name in levels}
        rounded = {kind: {name: round(value, 3) for name, value in each.items()} for kind, each in values.items()}
        shown[part] = {"requests": len(taken["with"]), **rounded, "ratio": ratio}
    return shown


def main() -> None:
    """Print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("export", type=Path)
    parser.add_argument("--sessions", type=int, default=200)
    parser.add_argument("--plays", type=int, default=1000)
    parser.add_argument("--clients", type=int, default=1)
    given = parser.parse_args()
    vocabulary = open_export(given.export, verify=False).vocabulary
    ids, together = vocabulary.texts(range(len(vocabulary))), list[Timed]()
    with tempfile.TemporaryDirectory() as folder:
        process, port, _ = started(given.export, Path(folder) / "sessions.sqlite")
        try:
            threads = [
                threading.Thread(target=lambda seed=seed: together.append(measured(port, ids, given, seed)))
                for seed in range(given.clients)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        finally:
            process.terminate()
            process.wait()
    times = {kind: [each for one in together for each in one[kind]] for kind in ("without", "with")}
    facts = {"tracks": len(ids), "plays": given.plays, "clients": given.clients, "sessions": given.sessions}
    print(json.dumps({"export": given.export.name, **facts, **summary(times)}))


if __name__ == "__main__":
    main()
