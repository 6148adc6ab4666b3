"""The verb `replay`."""

from __future__ import annotations

import http.client
import json
import secrets
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from segue.config import build
from segue.errors import FormatError, InputError, SegueError
from segue.exported.manifest import read_export_manifest
from segue.option_types import PathOrNone, Split, Whole
from segue.progress import Progress, Step, silent
from segue.serving.options import given_token
from segue.store import Store
from segue.verbs.replayed_log import Case, StoredLog

CLIENTS: Final = 8
"""Sessions replayed at once."""
_TIMEOUT_S: Final = 60.0


@dataclass(frozen=True)
class Replayed:
    """Ranks by the service."""

    model: str
    ranks: NDArray[np.int64]
    """Rank of each held-out target in the service's list, from 1; k + 1 if it is not in the list."""
    k: int

    def to_json(self) -> dict[str, Any]:
        """Return the facts for `--json`."""
        from segue.evaluation.metrics import CUTOFFS, hit

        rates = {
            f"hr@{cutoff}": float(hit(self.ranks.astype(np.float64), cutoff).mean())
            for cutoff in CUTOFFS
            if cutoff <= self.k
        }
        return {"model": self.model, "targets": len(self.ranks), **rates}


@dataclass(frozen=True)
class ReplayOptions:
    """Options of `replay`."""

    url: str = "http://127.0.0.1:8765"
    """Address of the service."""
    split: Split = "test"
    """Held-out tracks to rank."""
    sample: Whole = 0
    """Number of targets, evenly spaced; 0 = all."""
    k: Whole = 20
    """Length of the lists."""
    token_file: PathOrNone = None
    """File with the service's token; default: environment variable SEGUE_TOKEN."""


def replay(
    export: str | Path,
    store: str | Path | Store,
    options: ReplayOptions = ReplayOptions(),
    *,
    progress: Progress = silent,
) -> Replayed:
    """Send held-out sessions through a running service and print its HR, to compare with the offline evaluation.

    Each session is created through the API, filled with its events, ranked among all tracks, heard ones included, and
    deleted. If the model reads earlier plays, those of the listener are sent before; the listener has another id there,
    and is deleted in the end.

    Args:
        export: the served export, whose recipe determines the held-out sessions.
        store: the store of its run.

    Raises:
        InputError: the store has no such sessions, or `url` is not an address. FormatError: `export` is not an export.
        SegueError: the service does not answer, or does not serve this export.
    """
    from segue.batches.split import DataConfig, split_store
    from segue.serving.messages import MOST_K

    url, k, token = options.url, options.k, given_token(options.token_file)
    manifest = read_export_manifest(Path(export))
    opened = store if isinstance(store, Store) else Store(Path(store))
    config = build(DataConfig, manifest.facts.data, f"{export}: data")
    if not 1 <= k <= MOST_K:
        raise InputError(f"k is {k}; name 1 to {MOST_K}")
    split = split_store(opened, config)
    if split.kind == "next-day":
        raise InputError(f"{export} is of a run that is measured by days: a replay ranks the next track of a session")
    cases = split.cases[options.split]
    chosen = np.arange(len(cases))
    if 0 < options.sample < len(chosen):
        chosen = np.linspace(0, len(chosen) - 1, options.sample).astype(np.int64)
    _check_served(url, token, manifest.name, len(chosen))
    log = StoredLog(opened, split, max(manifest.facts.earlier_plays, manifest.facts.history))
    body = {"model": manifest.name, "k": k, "filters": {"heard": True}}

    def of_listener(group: NDArray[np.int64]) -> list[int]:
        with _Client(url, token) as client:
            return _listener_ranks(client, log, [Case.of(cases, int(each)) for each in group], body)

    ranks, done = np.empty(len(chosen), np.int64), 0
    groups = log.by_listener(cases.session[chosen])
    with ThreadPoolExecutor(CLIENTS) as pool:
        for group, some in zip(groups, pool.map(of_listener, [chosen[group] for group in groups]), strict=True):
            ranks[group] = np.minimum(some, k + 1)
            done += len(group)
            progress(Step("replay", done, len(chosen), "sessions"))
    return Replayed(manifest.name, ranks, k)


def _listener_ranks(client: _Client, log: StoredLog, cases: Sequence[Case], body: Mapping[str, Any]) -> list[int]:
    """Return the ranks of the targets of cases of one listener, in the order of listening."""
    sessions = log.needed([case.session for case in cases]).tolist()
    listener = f"segue-replay-{secrets.token_hex(16)}" if sessions else None
    ranks, sent = list[int](), 0
    try:
        for case in cases:
            while sent < len(sessions) and log.is_past(sessions[sent], case.session):
                _begun(client, log.readable(sessions[sent]), listener)
                sent += 1
            session = _begun(client, log.events(case.begin, case.target), listener)
            try:
                tracks = client.ask("POST", f"/v1/sessions/{session}/next", body)["tracks"]
            finally:
                client.ask("DELETE", f"/v1/sessions/{session}", None)
            target = log.track(case.target)
            ranks.append(next((each["rank"] for each in tracks if each["track"] == target), body["k"] + 1))
    finally:
        if sent:
            client.ask("DELETE", f"/v1/listeners/{listener}", None)
    return ranks


def _begun(client: _Client, events: Sequence[Mapping[str, Any]], listener: str | None) -> str:
    """Return the id of a new session with these events."""
    named = {} if listener is None else {"listener": listener}
    session: str = client.ask("POST", "/v1/sessions", {"events": [], **named})["session"]
    if events:
        client.ask("POST", f"/v1/sessions/{session}/events", {"events": events})
    return session


def _check_served(url: str, token: str | None, name: str, num: int) -> None:
    if num == 0:
        raise InputError("the store has no held-out session under this recipe; name the store of the run")
    with _Client(url, token) as client:
        served = [model["name"] for model in client.ask("GET", "/v1/models", None)["models"]]
    if name not in served:
        raise SegueError(f"{url} does not serve {name!r} but {', '.join(served)}; name the export that it serves")


class _Client:
    """One connection to the service."""

    def __init__(self, url: str, token: str | None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/"):
            raise InputError(f"{url!r} is not the address of a service; name one like http://127.0.0.1:8765")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._url = url
        self._connection = kind(parts.hostname, parts.port, timeout=_TIMEOUT_S)
        self._headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {token}"} if token else {})

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None) -> Any:
        """Return the document of the answer; None for an empty answer."""
        try:
            sent = None if body is None else json.dumps(body).encode()
            self._connection.request(method, path, sent, self._headers)
            answer = self._connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise SegueError(f"{self._url} does not answer ({error}); is segue serve running there?") from error
        try:
            document = json.loads(text) if text else None
        except ValueError as error:
            raise FormatError(f"{self._url}{path} does not answer JSON; is it a service of Segue?") from error
        if answer.status >= 400:
            detail = document.get("detail") if isinstance(document, dict) else None
            raise SegueError(f"{self._url}{path} answers {answer.status}: {detail or 'no reason'}")
        return document

    def __enter__(self) -> _Client:
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connection."""
        self._connection.close()
