"""The OpenAPI document of the service, from the table of routes and the records that msgspec decodes and encodes."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec
from msgspec import Struct

from segue.serving.messages import Problem
from segue.serving.problems import MEDIA_TYPE
from segue.serving.routes import SESSION, Route
from segue.serving.service import SESSION_ID

_SCHEMA: Final = "#/components/schemas/{name}"
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
_CREATED: Final = {"session": "$response.body#/session"}
"""The path parameter of routes of a session, from the response that begins it."""


def openapi(routes: Sequence[Route]) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of these routes; the one that begins a session links to those of a session."""
    records = [record for route in routes for record in (route.body, route.response) if record is not None]
    _, schemas = msgspec.json.schema_components([*records, Problem], ref_template=_SCHEMA)
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
        "parameters": ([_SESSION_PARAMETER] if SESSION in route.path else []) + _query_parameters(route),
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
    response: dict[str, Any] = {"description": HTTPStatus(route.status).phrase}
    if route.response is not None:
        response["content"] = _json(route.response)
    elif route.status != HTTPStatus.NO_CONTENT:
        response["content"] = {"text/plain": {"schema": {"type": "string"}}}
    return response


def _error(status: int, description: str) -> dict[str, Any]:
    response = {"description": description, "content": _json(Problem, MEDIA_TYPE)}
    return response | ({"headers": _HEADERS[status]} if status in _HEADERS else {})


def _json(record: type[Struct], media_type: str = "application/json") -> dict[str, Any]:
    return {media_type: {"schema": {"$ref": _SCHEMA.format(name=record.__name__)}}}
