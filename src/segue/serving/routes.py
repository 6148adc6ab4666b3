"""The routes of the service, each declared once, and the OpenAPI document that is made from them."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

import msgspec
from msgspec import Struct

from segue.serving.asgi import PROBLEM_TYPE, Response
from segue.serving.messages import (
    EventCounts,
    Health,
    ListenerDetails,
    ListenerId,
    ModelList,
    ModelQuery,
    NewEvents,
    NewSession,
    NextAfterEvents,
    NextInSession,
    Problem,
    SessionDetails,
    SessionSummary,
    SimilarQuery,
    SimilarTracks,
    Suggestions,
    TrackMap,
)
from segue.serving.service import SESSION_ID, Service

SESSION: Final = "{session}"
LISTENER: Final = "{listener}"
"""The parameters of paths: the id of a session, or of a listener."""
_MISSING: Final = {404: "There is no such session, listener, model or track."}
_STORED: Final = _MISSING | {503: "Sessions cannot be written, or too many requests wait.", 507: "The disk is full."}
_FULL: Final = {409: "The session has as many events as it may have."}
_REFERENCE: Final = "#/components/schemas/{name}"
_ERRORS: Final = {
    400: "The body or a parameter is not what it should be.",
    401: "A token is needed.",
    403: "A page of another site sent the request.",
    413: "The body is too long.",
    415: "The body is not declared as JSON.",
    421: "The Host header does not name this service.",
    429: "Too many requests a second.",
    500: "A fault of the service.",
}
"""Errors that any request may get."""
_RETRY_AFTER: Final = {"schema": {"type": "integer", "minimum": 1}, "description": "Seconds."}
_HEADERS: Final[dict[int, dict[str, Any]]] = {
    401: {"WWW-Authenticate": {"required": True, "schema": {"const": "Bearer"}}},
    429: {"Retry-After": {"required": True, **_RETRY_AFTER}},
    503: {"Retry-After": _RETRY_AFTER},
}
"""Headers of errors by status."""
_ONE_STRENGTH: Final[dict[str, Any]] = {
    "not": {
        "anyOf": [
            {"required": ["heard", "strength"]},
            {"required": ["heard", "played_s"]},
            {"required": ["strength", "played_s"]},
        ]
    },
    "dependentRequired": {"played_s": ["duration_s"], "duration_s": ["played_s"]},
}
"""The rules of `Event.strength_code` in JSON Schema."""
_SESSION_PARAMETER: Final = {
    "name": "session",
    "in": "path",
    "required": True,
    "description": "A session's id. Whoever has it may read and continue the session.",
    "schema": {"type": "string", "pattern": f"^{SESSION_ID}$"},
}
_LISTENER_PARAMETER: Final = {
    "name": "listener",
    "in": "path",
    "required": True,
    "description": "A listener's id, percent-encoded.",
    "schema": msgspec.json.schema(ListenerId),
}
_PARAMETERS: Final = {SESSION: _SESSION_PARAMETER, LISTENER: _LISTENER_PARAMETER}
_CREATED: Final = {"session": "$response.body#/session"}
"""The path parameter of routes of a session, from the response that begins it."""


@dataclass(frozen=True)
class Route:
    """One method of one path, what it reads, and what it answers."""

    method: str
    path: str
    answer: Callable[[Service, str, Any], Awaitable[Struct | Response | None]]
    """Returns the record to send as JSON, or a whole response, or None for no content. Its docstring is documented.

    It gets the id of the session or listener in the path, "" for paths without one, and the record of the body or the
    query.
    """
    response: type[Struct] | None = None
    """The record of a success; None: text, or no content with the status 204."""
    status: int = 200
    """The status of a success."""
    body: type[Struct] | None = None
    query: type[Struct] | None = None
    errors: Mapping[int, str] = field(default_factory=dict)
    """Descriptions of the errors of this route, beside those that any request may get."""


async def health(_: Service, *__: Any) -> Health:
    """Answer while the service runs."""
    return Health("ok")


async def ready(service: Service, *_: Any) -> Health:
    """Answer once models are loaded."""
    assert service.models.every, "an application is made with its models"
    return Health("ok")


async def metrics(service: Service, *_: Any) -> Response:
    """Return counts in the text format of Prometheus."""
    return service.counts.response()


_OF_SESSION: Final = f"/v1/sessions/{SESSION}"
ROUTES: Final = (
    Route("POST", "/v1/sessions", Service.begin_session, SessionSummary, 201, body=NewSession, errors=_STORED),
    Route("GET", _OF_SESSION, Service.show_session, SessionDetails, errors=_STORED),
    Route("DELETE", _OF_SESSION, Service.forget_session, status=204, errors=_STORED),
    Route("POST", f"{_OF_SESSION}/events", Service.add_events, EventCounts, body=NewEvents, errors=_STORED | _FULL),
    Route("POST", f"{_OF_SESSION}/next", Service.next_in_session, Suggestions, body=NextInSession, errors=_STORED),
    Route("GET", f"/v1/listeners/{LISTENER}", Service.show_listener, ListenerDetails, errors=_STORED),
    Route("DELETE", f"/v1/listeners/{LISTENER}", Service.forget_listener, status=204, errors=_STORED),
    Route("POST", "/v1/next", Service.next_after_events, Suggestions, body=NextAfterEvents, errors=_STORED),
    Route("GET", "/v1/similar", Service.similar_tracks, SimilarTracks, query=SimilarQuery, errors=_MISSING),
    Route("GET", "/v1/map", Service.track_map, TrackMap, query=ModelQuery, errors=_MISSING),
    Route("GET", "/v1/models", Service.list_models, ModelList),
    Route("GET", "/health", health, Health),
    Route("GET", "/ready", ready, Health),
    Route("GET", "/metrics", metrics),
)


def openapi(routes: Sequence[Route]) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of these routes; the one that begins a session links to those of a session."""
    records = [record for route in routes for record in (route.body, route.response) if record is not None]
    _, schemas = msgspec.json.schema_components([*records, Problem], ref_template=_REFERENCE)
    schemas["Event"] |= _ONE_STRENGTH
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    names = [route.answer.__name__ for route in routes if SESSION in route.path]
    links = {name: {"operationId": name, "parameters": _CREATED} for name in names}
    paths["/v1/sessions"]["post"]["responses"]["201"]["links"] = links
    return {
        "openapi": "3.1.0",
        "info": {"title": "Segue", "version": "1", "description": "Next tracks of sessions as they happen."},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {"schemas": schemas},
    }


def _operation(route: Route) -> dict[str, Any]:
    description = inspect.getdoc(route.answer)
    assert description is not None, "every route has a docstring"
    errors = {str(status): _error(status, text) for status, text in sorted({**_ERRORS, **route.errors}.items())}
    operation: dict[str, Any] = {
        "operationId": route.answer.__name__,
        "summary": description,
        "parameters": [each for name, each in _PARAMETERS.items() if name in route.path] + _query_parameters(route),
        "responses": {str(route.status): _success(route), **errors},
    }
    if route.body is not None:
        operation["requestBody"] = {"required": True, "content": _json(route.body)}
    return operation


def _query_parameters(route: Route) -> list[dict[str, Any]]:
    if route.query is None:
        return []
    _, schemas = msgspec.json.schema_components([route.query])
    schema = schemas[route.query.__name__]
    required = schema.get("required", ())
    parameters = schema["properties"].items()
    return [{"name": name, "in": "query", "required": name in required, "schema": part} for name, part in parameters]


def _success(route: Route) -> dict[str, Any]:
    content: dict[str, Any] = {"text/plain": {"schema": {"type": "string"}}}
    if route.response is not None:
        content = _json(route.response)
    has_content = {} if route.status == HTTPStatus.NO_CONTENT else {"content": content}
    return {"description": HTTPStatus(route.status).phrase, **has_content}


def _error(status: int, description: str) -> dict[str, Any]:
    response = {"description": description, "content": _json(Problem, PROBLEM_TYPE)}
    return response | ({"headers": _HEADERS[status]} if status in _HEADERS else {})


def _json(record: type[Struct], media_type: str = "application/json") -> dict[str, Any]:
    return {media_type: {"schema": {"$ref": _REFERENCE.format(name=record.__name__)}}}
