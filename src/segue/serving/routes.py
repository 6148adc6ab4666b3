"""The routes of the service: each is declared once, for the router and for the OpenAPI document."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from msgspec import Struct

from segue.serving import counts
from segue.serving.asgi import Response
from segue.serving.messages import (
    EventCounts,
    Health,
    ModelList,
    ModelQuery,
    NewEvents,
    NewSession,
    NextAfterEvents,
    NextInSession,
    SessionDetails,
    SessionSummary,
    SimilarQuery,
    SimilarTracks,
    Suggestions,
    TrackMap,
)
from segue.serving.service import Request, Service

SESSION: Final = "{session}"
"""The one parameter of a path: a session's id."""
_MISSING: Final = {404: "There is no such session, model or track."}
_STORED: Final = _MISSING | {503: "Sessions cannot be written, or too many requests wait.", 507: "The disk is full."}
_FULL: Final = {409: "The session has as many events as it may have."}


@dataclass(frozen=True)
class Route:
    """One method of one path, what it reads, and what it answers."""

    method: str
    path: str
    answer: Callable[[Service, Request[Any]], Awaitable[Struct | Response | None]]
    """Returns the record to send as JSON, or a whole response, or None for no content. Its docstring is documented."""
    response: type[Struct] | None = None
    """The record of a success; None: text, or no content with the status 204."""
    status: int = 200
    """The status of a success."""
    body: type[Struct] | None = None
    query: type[Struct] | None = None
    errors: Mapping[int, str] = field(default_factory=dict)
    """Descriptions of the errors of this route, beside those that any request may get."""


async def health(_: Service, __: Request[None]) -> Health:
    """Answer while the service runs."""
    return Health("ok")


async def ready(service: Service, _: Request[None]) -> Health:
    """Answer once models are loaded."""
    assert service.models.every, "an application is made with its models"
    return Health("ok")


async def metrics(service: Service, _: Request[None]) -> Response:
    """Return counts in the text format of Prometheus."""
    return Response(service.counts.text(), media_type=counts.MEDIA_TYPE)


_OF_SESSION: Final = f"/v1/sessions/{SESSION}"
ROUTES: Final = (
    Route("POST", "/v1/sessions", Service.begin_session, SessionSummary, 201, body=NewSession, errors=_STORED),
    Route("GET", _OF_SESSION, Service.show_session, SessionDetails, errors=_STORED),
    Route("DELETE", _OF_SESSION, Service.forget_session, status=204, errors=_STORED),
    Route("POST", f"{_OF_SESSION}/events", Service.add_events, EventCounts, body=NewEvents, errors=_STORED | _FULL),
    Route("POST", f"{_OF_SESSION}/next", Service.next_in_session, Suggestions, body=NextInSession, errors=_STORED),
    Route("POST", "/v1/next", Service.next_after_events, Suggestions, body=NextAfterEvents, errors=_STORED),
    Route("GET", "/v1/similar", Service.similar_tracks, SimilarTracks, query=SimilarQuery, errors=_MISSING),
    Route("GET", "/v1/map", Service.track_map, TrackMap, query=ModelQuery, errors=_MISSING),
    Route("GET", "/v1/models", Service.list_models, ModelList),
    Route("GET", "/health", health, Health),
    Route("GET", "/ready", ready, Health),
    Route("GET", "/metrics", metrics),
)
