"""What every request passes before it is looked at: who may ask, from where, how much and how often.

A page of another site can make a browser send requests to a server on this machine. So the Host header must name this
service, a foreign Origin is refused, bodies must be declared as JSON (which no form of another site can send unasked),
and no answer allows another origin to read it.
"""

from __future__ import annotations

import hmac
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry, Counter, Histogram

from segue.serving.problems import MEDIA_TYPE, ProblemError, problem_bytes

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Any, Any, Any], Awaitable[None]]

LOCAL_HOSTS: Final = ("localhost", "127.0.0.1", "[::1]")
OPEN_PATHS: Final = ("/health", "/ready", "/")
OPEN_FOLDER: Final = "/page/"
"""Asked without a token: they say whether the service runs, and bring the page, which then asks for the token."""
_KNOWN_CLIENTS: Final = 4096
_SECURITY: Final = (
    (b"content-security-policy", b"default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


@dataclass(frozen=True)
class GateOptions:
    """Who may ask what."""

    hosts: tuple[str, ...] = LOCAL_HOSTS
    """Names that a Host header may give, ports left out."""
    token: str | None = field(default=None, repr=False)
    """What `Authorization: Bearer` must say; None = nobody is asked."""
    most_bytes: int = 4 << 20
    """Of one body."""
    rate: float = 2000.0
    """Requests of one client a second, in the long run; it may send twice as many at once."""


@dataclass
class _Client:
    tokens: float
    at: float


class Gate:
    """An ASGI application in front of another."""

    def __init__(self, app: App, options: GateOptions, registry: CollectorRegistry) -> None:
        self._app, self._options = app, options
        self._clients: OrderedDict[str, _Client] = OrderedDict()
        self._answers = Counter("segue_http_answers", "Answers by status", ["status"], registry=registry)
        buckets = (0.001, 0.002, 0.004, 0.006, 0.008, 0.012, 0.02, 0.03, 0.05, 0.1, 0.3, 1.0, 3.0)
        self._seconds = Histogram(
            "segue_http_seconds", "Seconds to the end of an answer", buckets=buckets, registry=registry
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = time.perf_counter()
        told = _Telling(send)
        headers = dict(scope["headers"])
        refused = self._refused(scope, headers)
        if refused is not None:
            await _answer(told, *refused)
        else:
            await self._passed(scope, receive, told)
        self._answers.labels(str(told.status)).inc()
        self._seconds.observe(time.perf_counter() - begun)

    async def _passed(self, scope: Scope, receive: Receive, told: _Telling) -> None:
        most, seen = self._options.most_bytes, 0
        too_long = False

        async def counted() -> Message:
            nonlocal seen, too_long
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > most:
                too_long = True
                raise ProblemError(413, _too_long(most)[1])  # what came before may be a whole body: it is not obeyed
            return message

        async def kept_back(message: Message) -> None:
            if not too_long:
                await told(message)

        await self._app(scope, counted, kept_back)
        if too_long:
            await _answer(told, *_too_long(most))

    def _refused(
        self, scope: Scope, headers: dict[bytes, bytes]
    ) -> tuple[int, str, Iterable[tuple[bytes, bytes]]] | None:
        options = self._options
        host = _text(headers.get(b"host", b""))
        if _name(host) not in options.hosts or sum(name == b"host" for name, _ in scope["headers"]) > 1:
            named = _text(b", ".join(value for name, value in scope["headers"] if name == b"host"))
            detail = f"this service is not called {named!r}; ask for localhost, or start it with --allow-host NAME"
            return 421, detail, ()
        origin = headers.get(b"origin")
        if origin is not None and not self._is_own(_text(origin), host):
            return 403, "requests of other sites' pages are refused; open the page that this service serves", ()
        if options.token is not None and not _is_open(scope):
            given = headers.get(b"authorization", b"")
            if not hmac.compare_digest(given, b"Bearer " + options.token.encode()):
                asks = ((b"www-authenticate", b"Bearer"),)
                return 401, "a token is needed: send the header Authorization: Bearer TOKEN", asks
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length[:20]) > options.most_bytes:
            return _too_long(options.most_bytes)
        sends = scope["method"] in ("POST", "PUT", "PATCH") and (length != b"0" or b"transfer-encoding" in headers)
        kind = _text(headers.get(b"content-type", b"")).partition(";")[0].strip().lower()
        if sends and kind != "application/json":
            return 415, "bodies are JSON: send the header Content-Type: application/json", ()
        wait_s = self._to_wait((scope.get("client") or ("?", 0))[0])
        if wait_s > 0:
            later = ((b"retry-after", str(int(wait_s) + 1).encode()),)
            return 429, f"more than {options.rate:g} requests a second; ask again in {wait_s:.1f} s", later
        return None

    def _is_own(self, origin: str, host: str) -> bool:
        try:
            parts = urlsplit(origin)
        except ValueError:
            return False
        return parts.netloc != "" and parts.netloc == host

    def _to_wait(self, client: str) -> float:
        """Return the seconds until this client may ask again; 0 = now. A bucket of tokens for each client."""
        now, rate = time.monotonic(), self._options.rate
        held = self._clients.pop(client, None) or _Client(2 * rate, now)
        held.tokens, held.at = min(held.tokens + (now - held.at) * rate, 2 * rate), now
        self._clients[client] = held
        if len(self._clients) > _KNOWN_CLIENTS:
            self._clients.popitem(last=False)
        if held.tokens < 1.0:
            return (1.0 - held.tokens) / rate
        held.tokens -= 1.0
        return 0.0


class _Telling:
    """Sends on, with headers that every answer has."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 500

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            given = [*message.get("headers", ())]
            names = {name for name, _ in given}
            message = {**message, "headers": given + [pair for pair in _SECURITY if pair[0] not in names]}
        await self._send(message)


def _is_open(scope: Scope) -> bool:
    path = scope["path"]
    return scope["method"] in ("GET", "HEAD") and (path in OPEN_PATHS or path.startswith(OPEN_FOLDER))


async def _answer(send: _Telling, status: int, detail: str, more: Iterable[tuple[bytes, bytes]]) -> None:
    body = problem_bytes(status, detail)
    headers = [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", str(len(body)).encode()), *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _too_long(most: int) -> tuple[int, str, tuple[tuple[bytes, bytes], ...]]:
    return 413, f"a body may have {most:,} bytes at most; send less at a time", ()


def _text(value: bytes) -> str:
    return value.decode("latin-1")


def _name(host: str) -> str:
    """Return a Host header without its port."""
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() and (not name.count(":") or name.endswith("]")) else host
