"""The checks that every request passes first: who may send it, from where, how much and how often; and its counts.

A page of another site can make a browser send requests to a server on this machine. So the Host header must name this
service, a foreign Origin is refused, bodies must be declared as JSON (a form of another site cannot do that without
asking first), and no response allows another origin to read it.
"""

from __future__ import annotations

import hmac
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from segue.serving.asgi import ProblemError, Response, Scope, too_long

LOCAL_HOSTS: Final = ("localhost", "127.0.0.1", "[::1]")
OPEN_PATHS: Final = ("/health", "/ready", "/")
OPEN_FOLDER: Final = "/page/"
"""Open without a token: whether the service runs, and the page, which then asks its user for the token."""
_MAX_CLIENTS: Final = 4096
"""Clients whose rate is remembered; the one that was silent longest is forgotten first."""
_SECONDS: Final = (0.001, 0.002, 0.004, 0.006, 0.008, 0.012, 0.02, 0.03, 0.05, 0.1, 0.3, 1.0, 3.0)
"""Upper limits of the histogram."""


@dataclass(frozen=True)
class GateOptions:
    """Who may send what."""

    hosts: tuple[str, ...] = LOCAL_HOSTS
    """Names that a Host header may give, without ports."""
    token: str | None = field(default=None, repr=False)
    """The token that `Authorization: Bearer` must give; None = no token is needed."""
    most_bytes: int = 4 << 20
    """Most bytes of one body."""
    rate: float = 2000.0
    """Requests a second of one client in the long run; it may send twice as many at once."""


class RequestCounts:
    """Answers by status, and a histogram of their seconds, for Prometheus."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._answers = Counter("segue_http_answers", "Answers by status", ["status"], registry=registry)
        text = "Seconds to the end of an answer"
        self._seconds = Histogram("segue_http_seconds", text, buckets=_SECONDS, registry=registry)

    def add(self, status: int, seconds: float) -> None:
        """Count one answer."""
        self._answers.labels(str(status)).inc()
        self._seconds.observe(seconds)

    def response(self) -> Response:
        """Return all counts in the text format of Prometheus."""
        return Response(generate_latest(self._registry), media_type=CONTENT_TYPE_LATEST)


class Gate:
    """Checks whether requests are allowed."""

    def __init__(self, options: GateOptions) -> None:
        self._options = options
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """By client: how many requests it may send now, and when that was right, in seconds of the monotonic clock."""

    def check(self, scope: Scope) -> None:
        """Raise ProblemError for a request that is not allowed."""
        headers: dict[bytes, bytes] = dict(scope["headers"])
        self._check_source(scope, headers)
        self._check_token(scope, headers)
        self._check_body(scope, headers)
        self._check_rate((scope.get("client") or ("?", 0))[0])

    def _check_source(self, scope: Scope, headers: dict[bytes, bytes]) -> None:
        hosts = [_text(value) for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1 or _without_port(hosts[0]) not in self._options.hosts:
            names = ", ".join(hosts)
            detail = f"this service is not called {names!r}; ask for localhost, or start it with --allow-host NAME"
            raise ProblemError(421, detail)
        origin = headers.get(b"origin")
        if origin is not None and _authority(_text(origin)) != hosts[0]:
            detail = "requests of other sites' pages are refused; open the page that this service serves"
            raise ProblemError(403, detail)

    def _check_token(self, scope: Scope, headers: dict[bytes, bytes]) -> None:
        token, path = self._options.token, scope["path"]
        is_open = scope["method"] in ("GET", "HEAD") and (path in OPEN_PATHS or path.startswith(OPEN_FOLDER))
        if token is None or is_open:
            return
        if not hmac.compare_digest(headers.get(b"authorization", b""), b"Bearer " + token.encode()):
            detail = "a token is needed: send the header Authorization: Bearer TOKEN"
            raise ProblemError(401, detail, {"www-authenticate": "Bearer"})

    def _check_body(self, scope: Scope, headers: dict[bytes, bytes]) -> None:
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length[:20]) > self._options.most_bytes:
            raise too_long(self._options.most_bytes)
        has_body = scope["method"] in ("POST", "PUT", "PATCH") and (length != b"0" or b"transfer-encoding" in headers)
        media_type = _text(headers.get(b"content-type", b"")).partition(";")[0].strip().lower()
        if has_body and media_type != "application/json":
            raise ProblemError(415, "bodies are JSON: send the header Content-Type: application/json")

    def _check_rate(self, client: str) -> None:
        """Take one token from the bucket of the client, which fills at the allowed rate."""
        now, rate = time.monotonic(), self._options.rate
        tokens, at = self._buckets.pop(client, (2 * rate, now))
        tokens = min(tokens + (now - at) * rate, 2 * rate)
        self._buckets[client] = (tokens - 1.0 if tokens >= 1.0 else tokens, now)
        if len(self._buckets) > _MAX_CLIENTS:
            self._buckets.popitem(last=False)
        if tokens < 1.0:
            wait_s = (1.0 - tokens) / rate
            detail = f"more than {rate:g} requests a second; ask again in {wait_s:.1f} s"
            raise ProblemError(429, detail, {"retry-after": str(int(wait_s) + 1)})


def _authority(origin: str) -> str | None:
    """Return the host and port of an Origin header; None where it has none."""
    try:
        return urlsplit(origin).netloc or None
    except ValueError:
        return None


def _text(value: bytes) -> str:
    return value.decode("latin-1")


def _without_port(host: str) -> str:
    """Return a Host header without its port."""
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() and (not name.count(":") or name.endswith("]")) else host
