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
_MOST: Final = 1000
"""Most characters of a detail, which may quote what a client sent."""
Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


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
        headers = [(name.encode(), value.encode()) for name, value in self.headers.items()]
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


async def read_body(receive: Receive) -> bytes:
    """Return the whole body of a request.

    Raises:
        DisconnectError: the client went away before it ended.
    """
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise DisconnectError
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)
