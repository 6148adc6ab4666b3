"""The service's OpenAPI document: routes as Litestar tells them, bodies as the decoder reads them.

Litestar draws schemas of its own from the same types and loses some of what they say: `ge=0`, what holds for the
members of a list, and that unknown fields are refused. Here they come of msgspec, which also decodes.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any, Final

import msgspec
from litestar import Request
from litestar.openapi.plugins import JsonRenderPlugin

from segue.serving import messages

_PLACE: Final = "#/components/schemas/{name}"
_MESSAGES: Final = (
    messages.EventsKept,
    messages.EventsTold,
    messages.Health,
    messages.MapShown,
    messages.Models,
    messages.NextAsked,
    messages.NextOnce,
    messages.Problem,
    messages.SessionAsked,
    messages.SessionMade,
    messages.SessionShown,
    messages.SimilarShown,
    messages.Suggestions,
)
_HEARD_ONCE: Final[dict[str, Any]] = {
    "not": {
        "anyOf": [
            {"required": ["heard", "strength"]},
            {"required": ["heard", "played_s"]},
            {"required": ["strength", "played_s"]},
        ]
    },
    "dependentRequired": {"played_s": ["duration_s"], "duration_s": ["played_s"]},
}
"""What `Event.told` refuses."""
_HEADERS: Final[dict[str, dict[str, Any]]] = {
    "401": {"WWW-Authenticate": {"required": True, "schema": {"const": "Bearer"}}},
    "429": {"Retry-After": {"required": True, "schema": {"type": "integer", "minimum": 1}, "description": "Seconds."}},
    "503": {"Retry-After": {"schema": {"type": "integer", "minimum": 1}, "description": "Seconds."}},
}
"""Headers of answers, by status."""
_FOLLOWING: Final = {
    "tell": ("post", "/v1/sessions/{session}/events"),
    "next": ("post", "/v1/sessions/{session}/next"),
    "show": ("get", "/v1/sessions/{session}"),
    "forget": ("delete", "/v1/sessions/{session}"),
}
"""What can be asked with the id of a session that was begun."""


class ExactSchema(JsonRenderPlugin):
    """Renders the document."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """Return it as JSON."""
        return super().render(request, exact(openapi_schema))


def exact(drawn: dict[str, Any]) -> dict[str, Any]:
    """Return the document that Litestar drew, with the schemas that bodies are decoded by, headers and links."""
    document = deepcopy(drawn)
    _, schemas = msgspec.json.schema_components(_MESSAGES, ref_template=_PLACE)
    schemas["Event"] |= _HEARD_ONCE
    document["components"]["schemas"] = schemas
    for path in document["paths"].values():
        for operation in path.values():
            for status, headers in _HEADERS.items():
                if status in operation["responses"]:
                    operation["responses"][status]["headers"] = headers
    document["paths"]["/v1/sessions"]["post"]["responses"]["201"]["links"] = {
        name: {
            "operationId": document["paths"][path][method]["operationId"],
            "parameters": {"session": "$response.body#/session"},
        }
        for name, (method, path) in _FOLLOWING.items()
    }
    return document
