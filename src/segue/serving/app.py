"""The service as an ASGI application: routes, their documentation, and errors as problem+json."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from litestar import Litestar, Request, Response, Router, delete, get, post, route
from litestar.di import NamedDependency, Provide
from litestar.exceptions import (
    ClientException,
    HTTPException,
    MethodNotAllowedException,
    NotFoundException,
    ValidationException,
)
from litestar.openapi import OpenAPIConfig, ResponseSpec
from litestar.params import FromQuery, JSONBody, PathParameter, QueryParameter
from litestar.static_files import create_static_files_router
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from segue.serving.document import ExactSchema
from segue.serving.gate import Gate, GateOptions
from segue.serving.messages import (
    EventsKept,
    EventsTold,
    Health,
    MapShown,
    Models,
    NextAsked,
    NextOnce,
    Problem,
    SessionAsked,
    SessionMade,
    SessionShown,
    SimilarShown,
    Suggestions,
)
from segue.serving.problems import MEDIA_TYPE, ProblemError, problem
from segue.serving.service import SESSION_ID, Service
from segue.serving.shortcut import Shortcut

_LOG: Final = logging.getLogger(__name__)
PAGE: Final = Path(__file__).parent / "page"
"""The listening room: files that are served as they are."""
_REFUSED: Final = {
    400: "The body or a parameter is not what it should be.",
    401: "A token is needed.",
    403: "A page of another site asked.",
    413: "The body is too long.",
    415: "The body is not declared as JSON.",
    421: "The Host header does not name this service.",
    429: "Too many requests a second.",
    500: "A fault of ours.",
}
_MISSING: Final = {404: "There is no such session, model or track."}
_STORE: Final = {503: "Sessions cannot be written, or too many requests wait.", 507: "The disk is full."}

_NOWHERE: Final = "nothing is served at this path; the routes stand in /schema/openapi.json"

SessionId = Annotated[str, PathParameter(schema_extra={"pattern": f"^{SESSION_ID}$"}, description="A session's id.")]
"""Nobody guesses it: whoever has it may read and continue the session. Of anything else there is no session: 404."""
K = Annotated[int, QueryParameter(ge=1, le=1000, description="How many tracks.")]


class StrictRequest(Request[Any, Any, Any]):
    """A request whose body is decoded as what its route asks for, and nothing made to fit: "1" is no number."""

    async def json(self) -> Any:
        """Return the body, decoded.

        Raises:
            ClientException: it is not what the route asks for.
        """
        wanted = self.route_handler.parsed_fn_signature.parameters["data"].annotation
        try:
            return msgspec.json.decode(await self.body(), type=wanted)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:  # a ValidationError is a DecodeError
            why = str(error)
            if "matching regex" in why:
                why = f"an id holds a control character, such as a line break{why[why.rfind(' - ') :]}"
            raise ClientException(f"the body is not what is expected: {why}; see /schema/openapi.json") from error


def answers(*more: dict[int, str]) -> dict[int, ResponseSpec]:
    """Return the documentation of every answer that is no success."""
    told = _REFUSED.copy()
    for part in more:
        told |= part
    return {
        status: ResponseSpec(Problem, description=text, media_type=MEDIA_TYPE, generate_examples=False)
        for status, text in sorted(told.items())
    }


@post("/v1/sessions", summary="Begin a session", responses=answers(_MISSING, _STORE))
async def begin_session(data: JSONBody[SessionAsked], service: NamedDependency[Service]) -> SessionMade:
    """Begin a session, with events that were already heard, and give its id."""
    return await service.create(data.model, data.events)


@route("/v1/sessions/{session:str}", http_method="OPTIONS", include_in_schema=False, status_code=204)
async def session_methods(session: SessionId) -> Response[None]:
    """Name both methods in Allow: where a path has two handlers, Litestar's own answer forgets one."""
    return Response(None, headers={"allow": "DELETE, GET, OPTIONS"})


@get("/v1/sessions/{session:str}", summary="Show a session", responses=answers(_MISSING, _STORE))
async def show_session(session: SessionId, service: NamedDependency[Service]) -> SessionShown:
    """Show the events of a session in the order of listening."""
    return await service.show(session)


@delete("/v1/sessions/{session:str}", summary="Forget a session", responses=answers(_MISSING, _STORE))
async def forget_session(session: SessionId, service: NamedDependency[Service]) -> None:
    """Forget a session and its events."""
    await service.remove(session)


@post(
    "/v1/sessions/{session:str}/events",
    summary="Tell what was heard",
    status_code=200,
    responses=answers(_MISSING, _STORE, {409: "The session holds as many events as it may."}),
)
async def tell_events(session: SessionId, data: JSONBody[EventsTold], service: NamedDependency[Service]) -> EventsKept:
    """Add events to a session. What is answered is on disk; an event told again with its `event_id` counts once."""
    return await service.add(session, data.events)


@post(
    "/v1/sessions/{session:str}/next",
    summary="What next, in a session",
    status_code=200,
    responses=answers(_MISSING, _STORE),
)
async def next_in_session(
    session: SessionId, data: JSONBody[NextAsked], service: NamedDependency[Service]
) -> Suggestions:
    """Rank the next tracks of a session, by its own model or another."""
    return await service.next_in(session, data)


@post("/v1/next", summary="What next, nothing kept", status_code=200, responses=answers(_MISSING, _STORE))
async def next_once(data: JSONBody[NextOnce], service: NamedDependency[Service]) -> Suggestions:
    """Rank the next tracks of a session that the request tells whole."""
    return await service.next_once(data)


@get("/v1/similar", summary="Tracks near a track", responses=answers(_MISSING))
async def similar_tracks(
    track: Annotated[str, QueryParameter(min_length=1, max_length=1024, description="A track's id.")],
    service: NamedDependency[Service],
    k: K = 10,
    model: FromQuery[str | None] = None,
) -> SimilarShown:
    """Rank tracks by the cosine of their rows with that of a track."""
    return await service.similar(model, track, k)


@get("/v1/map", summary="The track space in two dimensions", responses=answers(_MISSING))
async def show_map(service: NamedDependency[Service], model: FromQuery[str | None] = None) -> MapShown:
    """Give the places of at most 5,000 tracks, drawn once and for all."""
    return service.map(model)


@get("/v1/models", summary="The models", responses=answers())
async def list_models(service: NamedDependency[Service]) -> Models:
    """List the models that are served, the default first."""
    return service.shown_models()


@get("/health", summary="Whether the service runs", responses=answers())
async def health() -> Health:
    """Answer while the service runs."""
    return Health("ok")


@get("/ready", summary="Whether the service can answer", responses=answers())
async def ready(service: NamedDependency[Service]) -> Health:
    """Answer once models are loaded."""
    assert service.models.every, "an application is made with its models"
    return Health("ok")


def make_app(
    service: Service, options: GateOptions | None = None, registry: CollectorRegistry | None = None
) -> Callable[..., Any]:
    """Return the whole application; it closes models and sessions when it is shut down."""
    registry = registry or CollectorRegistry()

    @get("/metrics", summary="Counts for Prometheus", media_type="text/plain", responses=answers())
    async def metrics() -> Response[bytes]:
        """Give counts in the text format of Prometheus."""
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    @get("/", include_in_schema=False, media_type="text/html")
    async def page() -> bytes:
        return (PAGE / "index.html").read_bytes()

    async def close() -> None:
        service.sessions.close()
        service.models.close()

    app = Litestar(
        route_handlers=[
            begin_session,
            session_methods,  # before the others of its path
            show_session,
            forget_session,
            tell_events,
            next_in_session,
            next_once,
            similar_tracks,
            show_map,
            list_models,
            health,
            ready,
            metrics,
            page,
            create_static_files_router("/page", [PAGE], include_in_schema=False),
        ],
        dependencies={"service": Provide(lambda: service, sync_to_thread=False)},
        exception_handlers={
            ProblemError: _told_problem,
            RecursionError: _told_depth,
            HTTPException: _told_http,
            Exception: _told_fault,
        },
        openapi_config=OpenAPIConfig(
            title="Segue",
            version="1",
            description="Next tracks for sessions as they happen, skips included.",
            openapi_router=Router("/schema", route_handlers=[], include_in_schema=False, after_request=_no_page),
            render_plugins=[ExactSchema()],
        ),
        on_shutdown=[close],
        logging_config=None,  # loggers are left as they are
        request_class=StrictRequest,
        request_max_body_size=None,  # the gate counts
    )
    return Gate(Shortcut(app, service), options or GateOptions(), registry)


def _problem_response(status: int, detail: str, headers: dict[str, str] | None = None) -> Response[Problem]:
    return Response(problem(status, detail), status_code=status, media_type=MEDIA_TYPE, headers=headers)


def _no_page(response: Response[Any]) -> Response[Any]:
    """Return a problem in the place of Litestar's HTML page for what is not below /schema."""
    return _problem_response(404, _NOWHERE) if response.status_code == 404 else response


def _told_problem(_: Request[Any, Any, Any], error: ProblemError) -> Response[Problem]:
    later = {} if error.retry_after_s is None else {"retry-after": str(error.retry_after_s)}
    return _problem_response(error.status, error.detail, later)


def _told_depth(_: Request[Any, Any, Any], __: RecursionError) -> Response[Problem]:
    return _problem_response(400, "the body is nested too deep; send what the schema at /schema/openapi.json says")


def _told_http(_: Request[Any, Any, Any], error: HTTPException) -> Response[Problem]:
    detail = error.detail
    if isinstance(error, ValidationException) and isinstance(error.extra, list):
        parts = [_told_part(part) for part in error.extra if isinstance(part, dict)]
        detail = f"{'; '.join(parts) or detail}; see /schema/openapi.json for what is expected"
    if isinstance(error.__cause__, RecursionError):
        detail = "the body is nested too deep"
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    if isinstance(error, NotFoundException):
        detail = _NOWHERE
    elif isinstance(error, MethodNotAllowedException):
        detail = f"this path answers {headers.get('allow', 'other methods')}; /schema/openapi.json tells what each does"
    kept = {name: value for name, value in headers.items() if name in ("allow", "retry-after")}
    return _problem_response(error.status_code, detail, kept)


def _told_part(part: dict[str, Any]) -> str:
    if part.get("key") == "data":  # a body that is there is decoded by StrictRequest
        return "a body is needed, JSON, at least {}"
    return f"{part.get('key', '')}: {part.get('message', '')}"


def _told_fault(_: Request[Any, Any, Any], error: Exception) -> Response[Problem]:
    if isinstance(error.__cause__, RecursionError):
        return _problem_response(400, "the body is nested too deep")
    _LOG.error("a fault while answering", exc_info=error)
    return _problem_response(
        500, f"a fault of ours ({type(error).__name__}); its trace stands in the log of the service"
    )
