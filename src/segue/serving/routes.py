"""The routes of the service: each is declared once, for the router and for the OpenAPI document."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Generic, TypeVar

import msgspec
from msgspec import UNSET, Struct
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

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
from segue.serving.service import Service

Sent = TypeVar("Sent")
SESSION: Final = "{session}"
"""The one parameter of a path: a session's id."""
_MISSING: Final = {404: "There is no such session, model or track."}
_STORED: Final = _MISSING | {503: "Sessions cannot be written, or too many requests wait.", 507: "The disk is full."}
_FULL: Final = {409: "The session has as many events as it may have."}


@dataclass(frozen=True)
class Request(Generic[Sent]):
    """One request as a route gets it."""

    service: Service
    registry: CollectorRegistry
    session: str
    """The session's id in the path; "" for paths without one."""
    sent: Sent
    """The decoded body or query; None for a route without either."""


@dataclass(frozen=True)
class Route:
    """One method of one path, what it reads, and what it answers."""

    method: str
    path: str
    answer: Callable[[Request[Any]], Awaitable[Struct | Response | None]]
    """Returns the record to send as JSON, or a whole response, or None for no content. Its docstring is documented."""
    response: type[Struct] | None = None
    """The record of a success; None: text, or no content with the status 204."""
    status: int = 200
    """The status of a success."""
    body: type[Struct] | None = None
    query: type[Struct] | None = None
    errors: Mapping[int, str] = field(default_factory=dict)
    """Descriptions of the errors of this route, beside those that any request may get."""

    @cached_property
    def decode(self) -> Callable[[bytes], Any]:
        """What decodes the body, made once."""
        assert self.body is not None, "only routes with a body decode one"
        return msgspec.json.Decoder(self.body).decode


async def begin_session(request: Request[NewSession]) -> SessionSummary:
    """Begin a session, with the events that it has already, and return its id."""
    return await request.service.create(request.sent.model, request.sent.events)


async def show_session(request: Request[None]) -> SessionDetails:
    """Return the events of a session in the order of listening."""
    return await request.service.show(request.session)


async def forget_session(request: Request[None]) -> None:
    """Delete a session and its events."""
    await request.service.remove(request.session)


async def add_events(request: Request[NewEvents]) -> EventCounts:
    """Add events to a session. They are on disk when this answers; an event sent again with its id counts once."""
    return await request.service.add(request.session, request.sent.events)


async def next_in_session(request: Request[NextInSession]) -> Suggestions:
    """Rank the next tracks of a session, by its own model or another."""
    return await request.service.next_in(request.session, request.sent)


async def next_after_events(request: Request[NextAfterEvents]) -> Suggestions:
    """Rank the next tracks after the events of the request, which are not stored."""
    return await request.service.next_after(request.sent)


async def similar_tracks(request: Request[SimilarQuery]) -> SimilarTracks:
    """Rank tracks by the cosine of their rows with the row of one track."""
    return await request.service.similar(_name(request.sent.model), request.sent.track, request.sent.k)


async def track_map(request: Request[ModelQuery]) -> TrackMap:
    """Return the coordinates of at most 5,000 tracks, always the same ones."""
    return request.service.map(_name(request.sent.model))


async def list_models(request: Request[None]) -> ModelList:
    """List the models that are served, the default first."""
    return request.service.summaries()


async def health(_: Request[None]) -> Health:
    """Answer while the service runs."""
    return Health("ok")


async def ready(request: Request[None]) -> Health:
    """Answer once models are loaded."""
    assert request.service.models.every, "an application is made with its models"
    return Health("ok")


async def metrics(request: Request[None]) -> Response:
    """Return counts in the text format of Prometheus."""
    return Response(generate_latest(request.registry), media_type=CONTENT_TYPE_LATEST)


_OF_SESSION: Final = f"/v1/sessions/{SESSION}"
ROUTES: Final = (
    Route("POST", "/v1/sessions", begin_session, SessionSummary, 201, body=NewSession, errors=_STORED),
    Route("GET", _OF_SESSION, show_session, SessionDetails, errors=_STORED),
    Route("DELETE", _OF_SESSION, forget_session, status=204, errors=_STORED),
    Route("POST", f"{_OF_SESSION}/events", add_events, EventCounts, body=NewEvents, errors=_STORED | _FULL),
    Route("POST", f"{_OF_SESSION}/next", next_in_session, Suggestions, body=NextInSession, errors=_STORED),
    Route("POST", "/v1/next", next_after_events, Suggestions, body=NextAfterEvents, errors=_STORED),
    Route("GET", "/v1/similar", similar_tracks, SimilarTracks, query=SimilarQuery, errors=_MISSING),
    Route("GET", "/v1/map", track_map, TrackMap, query=ModelQuery, errors=_MISSING),
    Route("GET", "/v1/models", list_models, ModelList),
    Route("GET", "/health", health, Health),
    Route("GET", "/ready", ready, Health),
    Route("GET", "/metrics", metrics),
)


def _name(model: Any) -> str | None:
    return None if model is UNSET else model
