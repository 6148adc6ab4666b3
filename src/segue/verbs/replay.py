"""The verb `replay`."""

from __future__ import annotations

import http.client
import json
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
    deleted.

    Args:
        export: the served export, whose recipe determines the held-out sessions.
        store: the store of its run.

    Raises:
        InputError: the store has no such sessions, or `url` is not an address. FormatError: `export` is not an export.
        SegueError: the service does not answer, or does not serve this export.
    """
    from segue.batches.split import DataConfig, split_store
    from segue.serving.messages import MOST_K, word_of

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
    tracks, strength, vocabulary = np.asarray(opened.tracks), np.asarray(opened.strength), opened.vocabulary

    def one(case: int) -> int:
        begin, target = int(cases.begin[case]), int(cases.target[case])
        begin = max(begin, target - config.max_len)
        rows = range(begin, target)
        events = [
            {"track": vocabulary.track_id(int(tracks[row])), "heard": word_of(int(strength[row]))} for row in rows
        ]
        request = {"model": manifest.name, "k": k, "filters": {"heard": True}}
        return _rank(url, token, events, request, vocabulary.track_id(int(tracks[target])))

    ranks = np.empty(len(chosen), np.int64)
    with ThreadPoolExecutor(CLIENTS) as pool:
        for done, rank in enumerate(pool.map(one, chosen.tolist())):
            ranks[done] = min(rank, k + 1)
            progress(Step("replay", done + 1, len(chosen), "sessions"))
    return Replayed(manifest.name, ranks, k)


def _rank(
    url: str, token: str | None, events: Sequence[Mapping[str, Any]], request: Mapping[str, Any], target: str
) -> int:
    """Return the service's rank of `target` after `events`; one after the end of the list if it is not in it."""
    client = _Client(url, token)
    session = client.ask("POST", "/v1/sessions", {"events": []})["session"]
    try:
        client.ask("POST", f"/v1/sessions/{session}/events", {"events": events})
        tracks = client.ask("POST", f"/v1/sessions/{session}/next", request)["tracks"]
    finally:
        client.ask("DELETE", f"/v1/sessions/{session}", None)
        client.close()
    return next((each["rank"] for each in tracks if each["track"] == target), len(tracks) + 1)


def _check_served(url: str, token: str | None, name: str, num: int) -> None:
    if num == 0:
        raise InputError("the store has no held-out session under this recipe; name the store of the run")
    client = _Client(url, token)
    served = [model["name"] for model in client.ask("GET", "/v1/models", None)["models"]]
    client.close()
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

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
