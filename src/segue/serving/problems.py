"""Errors as problem documents (RFC 9457): what is wrong, and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

import msgspec

from segue.output import printable
from segue.serving.asgi import Response
from segue.serving.messages import Problem

MEDIA_TYPE: Final = "application/problem+json"
_MOST: Final = 1000
"""Most characters of a detail, which may quote what a client sent."""


@dataclass
class ProblemError(Exception):
    """An error that the client gets as a problem document."""

    status: int
    detail: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def response(self) -> Response:
        """Return the problem document as a response."""
        detail = printable(self.detail)[:_MOST]
        document = Problem("about:blank", HTTPStatus(self.status).phrase, self.status, detail)
        return Response(msgspec.json.encode(document), self.status, MEDIA_TYPE, self.headers)
