"""The types of an ASGI application, and the response of Starlette that all of the service uses."""

from __future__ import annotations

from starlette.responses import Response
from starlette.types import ASGIApp as App
from starlette.types import Message, Receive, Scope, Send

__all__ = ["App", "Message", "Receive", "Response", "Scope", "Send"]
