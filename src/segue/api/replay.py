"""The verb `replay`: held-out sessions through a running service, measured as they are offline."""

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

from segue.batches.split import DataConfig, split_store
from segue.config import build
from segue.errors import FormatError, InputError, SegueError
from segue.evaluation.metrics import hit
from segue.exported.manifest import read_export_manifest
from segue.progress import Progress, Step, silent
from segue.serving.messages import MOST_K, word_of
from segue.store import Store

CUTOFFS: Final = (1, 5, 10, 20)
CLIENTS: Final = 8
"""Sessions on the way at a time."""
_TIMEOUT_S: Final = 60.0


@dataclass(frozen=True)
class Replayed:
    """What the service ranked."""

    model: str
    ranks: NDArray[np.int64]
    """Rank of each held-out target in the list that was answered, from 1; k + 1 where it is not in it."""
    k: int

    def to_json(self) -> dict[str, Any]:
        """Return the facts for `--json`."""
        rates = {
            f"hr@{cutoff}": float(hit(self.ranks.astype(np.float64), cutoff).mean())
            for cutoff in CUTOFFS
            if cutoff <= self.k
        }
        return {"model": self.model, "targets": len(self.ranks), **rates}


def replay(
    export: str | Path,
    store: str | Path | Store,
    url: str = "http://127.0.0.1:8765",
    *,
    split: str = "test",
    sample: int = 0,
    k: int = 20,
    token: str | None = None,
    progress: Progress = silent,
) -> Replayed:
    """Send the held-out sessions of a store through a running service, and return where it ranked what came next.

    `export`: the one that is served, which says how its recipe held sessions out. Each session is begun and told by
    the API, then asked for its next tracks among all tracks, those that it has heard too, and forgotten again.
    `sample`: so many targets, evenly spread; 0 = all.

    Raises:
        InputError: the store holds no such sessions, or `url` is none. FormatError: `export` is none.
        SegueError: the service does not answer, or does not serve this export.
    """
    manifest = read_export_manifest(Path(export))
    opened = store if isinstance(store, Store) else Store(Path(store))
    config = build(DataConfig, manifest.facts.data, f"{export}: data")
    if split not in ("test", "validation"):
        raise InputError(f"there is no split {split!r}; name test or validation")
    if not 1 <= k <= MOST_K:
        raise InputError(f"k is {k}; name 1 to {MOST_K}")
    cases = split_store(opened, config).cases[split]  # type: ignore[index]
    chosen = np.arange(len(cases))
    if 0 < sample < len(chosen):
        chosen = np.linspace(0, len(chosen) - 1, sample).astype(np.int64)
    _check_served(url, token, manifest.name, len(chosen))
    tracks, strength, vocabulary = np.asarray(opened.tracks), np.asarray(opened.strength), opened.vocabulary

    def one(place: int) -> int:
        begin, target = int(cases.begin[place]), int(cases.target[place])
        begin = max(begin, target - config.max_len)
        rows = range(begin, target)
        events = [
            {"track": vocabulary.track_id(int(tracks[row])), "heard": word_of(int(strength[row]))} for row in rows
        ]
        asked = {"model": manifest.name, "k": k, "filters": {"heard": True}}
        return _rank(url, token, events, asked, vocabulary.track_id(int(tracks[target])))

    ranks = np.empty(len(chosen), np.int64)
    with ThreadPoolExecutor(CLIENTS) as pool:
        for done, rank in enumerate(pool.map(one, chosen.tolist())):
            ranks[done] = min(rank, k + 1)
            progress(Step("replay", done + 1, len(chosen), "sessions"))
    return Replayed(manifest.name, ranks, k)


def _rank(
    url: str, token: str | None, events: Sequence[Mapping[str, Any]], asked: Mapping[str, Any], target: str
) -> int:
    """Return where the service ranks `target` after `events`, one past the list where it is not in it."""
    client = _Client(url, token)
    session = client.ask("POST", "/v1/sessions", {"events": []})["session"]
    try:
        client.ask("POST", f"/v1/sessions/{session}/events", {"events": events})
        found = client.ask("POST", f"/v1/sessions/{session}/next", asked)["tracks"]
    finally:
        client.ask("DELETE", f"/v1/sessions/{session}", None)
        client.close()
    return next((each["rank"] for each in found if each["track"] == target), len(found) + 1)


def _check_served(url: str, token: str | None, name: str, num: int) -> None:
    if num == 0:
        raise InputError("the store holds no session that this recipe would hold out")
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
            raise InputError(f"{url!r} is no address of a service; name one like http://127.0.0.1:8765")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._url = url
        self._connection = kind(parts.hostname, parts.port, timeout=_TIMEOUT_S)
        self._headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {token}"} if token else {})

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None) -> Any:
        """Return the document that is answered; None where there is none."""
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
            raise FormatError(f"{self._url}{path} answers no JSON; is it a service of Segue?") from error
        if answer.status >= 400:
            detail = document.get("detail") if isinstance(document, dict) else None
            raise SegueError(f"{self._url}{path} answers {answer.status}: {detail or 'no reason'}")
        return document

    def close(self) -> None:
        """Hang up."""
        self._connection.close()
