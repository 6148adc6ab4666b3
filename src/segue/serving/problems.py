"""Errors as problem+json: what is wrong, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import msgspec

from segue.output import printable
from segue.serving.messages import Problem

MEDIA_TYPE: Final = "application/problem+json"
_MOST: Final = 1000
"""Characters of a detail: what a client sent may be quoted in it."""


@dataclass
class ProblemError(Exception):
    """An answer that is no success."""

    status: int
    detail: str
    retry_after_s: int | None = None


def problem(status: int, detail: str) -> Problem:
    """Return the document of an error."""
    try:
        title = HTTPStatus(status).phrase
    except ValueError:
        title = "Error"
    return Problem("about:blank", title, status, printable(detail)[:_MOST])


def problem_bytes(status: int, detail: str) -> bytes:
    """Return it as JSON."""
    return msgspec.json.encode(problem(status, detail))
