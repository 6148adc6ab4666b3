"""The checks that every request passes first: who may send it, from where, how much and how often.

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

from segue.serving.asgi import App, Message, Receive, Scope, Send
from segue.serving.counts import Counts
from segue.serving.problems import ProblemError

LOCAL_HOSTS: Final = ("localhost", "127.0.0.1", "[::1]")
OPEN_PATHS: Final = ("/health", "/ready", "/")
OPEN_FOLDER: Final = "/page/"
"""Open without a token: whether the service runs, and the page, which then asks its user for the token."""
_MAX_CLIENTS: Final = 4096
"""Clients whose rate is remembered; the one that was silent longest is forgotten first."""
_SECURITY: Final = (
    (b"content-security-policy", b"default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
"""Headers of every response."""


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


@dataclass
class _Bucket:
    """The requests that one client may still send now."""

    tokens: float
    at: float
    """When `tokens` was right, in seconds of the monotonic clock."""


class Gate:
    """An ASGI application that checks and counts requests, and passes those that are allowed on to another."""

    def __init__(self, app: App, options: GateOptions, counts: Counts) -> None:
        self._app, self._options, self._counts = app, options, counts
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begin = time.perf_counter()
        status = 500

        async def send_secured(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message["headers"], *_SECURITY]}
            await send(message)

        try:
            self._check(scope)
        except ProblemError as error:
            await error.response().send(send_secured)
        else:
            await self._app(scope, self._counted(receive), send_secured)
        self._counts.add(status, time.perf_counter() - begin)

    def _counted(self, receive: Receive) -> Receive:
        """Return what receives a body, and raises ProblemError where it gets too long.

        Then no part of the body is used: what came before may be a whole document.
        """
        num_bytes = 0

        async def counted() -> Message:
            nonlocal num_bytes
            message = await receive()
            num_bytes += len(message.get("body", b""))
            if num_bytes > self._options.most_bytes:
                raise self._too_long()
            return message

        return counted

    def _check(self, scope: Scope) -> None:
        """Raise ProblemError for a request that is not allowed."""
        headers = dict(scope["headers"])
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
        token = self._options.token
        if token is None or _is_open(scope):
            return
        if not hmac.compare_digest(headers.get(b"authorization", b""), b"Bearer " + token.encode()):
            detail = "a token is needed: send the header Authorization: Bearer TOKEN"
            raise ProblemError(401, detail, {"www-authenticate": "Bearer"})

    def _check_body(self, scope: Scope, headers: dict[bytes, bytes]) -> None:
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length[:20]) > self._options.most_bytes:
            raise self._too_long()
        has_body = scope["method"] in ("POST", "PUT", "PATCH") and (length != b"0" or b"transfer-encoding" in headers)
        media_type = _text(headers.get(b"content-type", b"")).partition(";")[0].strip().lower()
        if has_body and media_type != "application/json":
            raise ProblemError(415, "bodies are JSON: send the header Content-Type: application/json")

    def _check_rate(self, client: str) -> None:
        """Take one token from the bucket of the client, which fills at the allowed rate."""
        now, rate = time.monotonic(), self._options.rate
        bucket = self._buckets.pop(client, None) or _Bucket(2 * rate, now)
        bucket.tokens, bucket.at = min(bucket.tokens + (now - bucket.at) * rate, 2 * rate), now
        self._buckets[client] = bucket
        if len(self._buckets) > _MAX_CLIENTS:
            self._buckets.popitem(last=False)
        if bucket.tokens < 1.0:
            wait_s = (1.0 - bucket.tokens) / rate
            detail = f"more than {rate:g} requests a second; ask again in {wait_s:.1f} s"
            raise ProblemError(429, detail, {"retry-after": str(int(wait_s) + 1)})
        bucket.tokens -= 1.0

    def _too_long(self) -> ProblemError:
        return ProblemError(413, f"a body may have {self._options.most_bytes:,} bytes at most; send less at a time")


def _is_open(scope: Scope) -> bool:
    path = scope["path"]
    return scope["method"] in ("GET", "HEAD") and (path in OPEN_PATHS or path.startswith(OPEN_FOLDER))


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
