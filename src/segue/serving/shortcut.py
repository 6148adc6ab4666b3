"""The shortest way to what is asked most: what next.

Litestar documents these routes and answers them too; but finding a handler, its arguments and its response takes it as
long as the ranking of a small catalogue. So a request that can be answered at once is answered here. Whatever is not so
goes on to Litestar with its body: a body that is no such request, a model that is not served, a fault. There, and only
there, errors are told.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

from segue.serving.gate import App, Message, Receive, Scope, Send
from segue.serving.messages import NextAsked, NextOnce, Suggestions
from segue.serving.service import Service

ONCE: Final = "/v1/next"
_IN_SESSION: Final = ("/v1/sessions/", "/next")
_MOST: Final = 1 << 16
"""Bytes of a body that comes in one piece."""


class Shortcut:
    """An ASGI application in front of another, which answers what this one does not."""

    def __init__(self, app: App, service: Service) -> None:
        self._app, self._service = app, service
        self._once = msgspec.json.Decoder(NextOnce)
        self._asked = msgspec.json.Decoder(NextAsked)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass it on."""
        answer = self._of(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if answer is None:
            await self._app(scope, receive, send)
            return
        message = await receive()
        whole = message["type"] == "http.request" and not message.get("more_body", False)
        found = await self._answer(answer, message.get("body", b"")) if whole else None
        if found is None:
            await self._app(scope, _again(message, receive), send)
            return
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(found)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": found})

    def _of(self, path: str) -> Callable[[bytes], Awaitable[Suggestions]] | None:
        """Return what answers a body that is sent to `path`, None where that is not known here."""
        if path == ONCE:
            return lambda body: self._service.next_once(self._once.decode(body))
        before, after = _IN_SESSION
        if path.startswith(before) and path.endswith(after):
            session = path[len(before) : -len(after)]
            return lambda body: self._service.next_in(session, self._asked.decode(body))
        return None

    async def _answer(self, answer: Callable[[bytes], Awaitable[Suggestions]], body: bytes) -> bytes | None:
        """Return the answer, None where it is no success."""
        if len(body) > _MOST:
            return None
        try:
            return msgspec.json.encode(await answer(body))
        except Exception:  # asked again, and told, where errors are told
            return None


def _again(first: Message, receive: Receive) -> Receive:
    """Return what receives `first` once more, then the rest."""
    held: list[Message] = [first]

    async def received() -> Any:
        return held.pop() if held else await receive()

    return received
