"""What the service uses of ASGI: the types of an application, whole responses, and errors as problem documents."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

import msgspec

from segue.output import printable
from segue.serving.messages import Problem

PROBLEM_TYPE: Final = "application/problem+json"
_SECURITY: Final = (
    (b"content-security-policy", b"default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
"""Headers of every response."""
_MOST: Final = 1000
"""Most characters of a detail, which may quote what a client sent."""
Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class DisconnectError(Exception):
    """The client went away before all of its body arrived."""


@dataclass(frozen=True)
class Response:
    """One response with its whole body; JSON unless `media_type` says otherwise."""

    body: bytes = b""
    status: int = 200
    media_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)

    async def send(self, send: Send) -> None:
        """Send it; a response of status 204 has no body, so no type and length of one."""
        headers = [*((name.encode(), value.encode()) for name, value in self.headers.items()), *_SECURITY]
        if self.status != 204:
            headers += [
                (b"content-type", self.media_type.encode()),
                (b"content-length", str(len(self.body)).encode()),
            ]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})


@dataclass
class ProblemError(Exception):
    """An error that the client gets as a problem document (RFC 9457): what is wrong, and what to do."""

    status: int
    detail: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def response(self) -> Response:
        """Return the problem document as a response."""
        detail = printable(self.detail)[:_MOST]
        document = Problem("about:blank", HTTPStatus(self.status).phrase, self.status, detail)
        return Response(msgspec.json.encode(document), self.status, PROBLEM_TYPE, self.headers)


def too_long(most_bytes: int) -> ProblemError:
    """Return the problem of a body that has more than `most_bytes`."""
    return ProblemError(413, f"a body may have {most_bytes:,} bytes at most; send less at a time")


async def read_body(receive: Receive, most_bytes: int) -> bytes:
    """Return the whole body of a request.

    Raises:
        DisconnectError: the client went away before it ended.
        ProblemError: it is longer than `most_bytes`, even if its beginning is a whole document.
    """
    parts: list[bytes] = []
    num_bytes = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise DisconnectError
        parts.append(message.get("body", b""))
        num_bytes += len(parts[-1])
        if num_bytes > most_bytes:
            raise too_long(most_bytes)
        if not message.get("more_body", False):
            return b"".join(parts)
