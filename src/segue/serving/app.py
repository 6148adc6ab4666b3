"""The service as a Starlette application: what each path answers, and errors as problems."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.routing import Mount
from starlette.routing import Route as PathRoute
from starlette.staticfiles import StaticFiles

from segue.serving.asgi import App, Receive, Response, Scope, Send
from segue.serving.document import openapi
from segue.serving.gate import Gate, GateOptions
from segue.serving.problems import ProblemError
from segue.serving.routes import ROUTES, Request, Route
from segue.serving.service import Service

_LOG: Final = logging.getLogger(__name__)
_SCHEMA_PATH: Final = "/schema/openapi.json"
PAGE: Final = Path(__file__).parent / "page"
"""The files of the listening room, which are served as they are."""


def make_app(service: Service, options: GateOptions | None = None) -> App:
    """Return the whole application; it closes models and sessions when it is shut down."""
    registry = CollectorRegistry()

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        service.sessions.close()
        service.models.close()

    paths: dict[str, dict[str, Route]] = {}
    for route in (*ROUTES, *_fixed_routes()):
        paths.setdefault(route.path, {})[route.method] = route
    routes = [PathRoute(path, PathApp(service, registry, methods)) for path, methods in paths.items()]
    files = Mount("/page", StaticFiles(directory=PAGE))
    app = Starlette(routes=[*routes, files], lifespan=lifespan, exception_handlers={404: _not_found})
    return Gate(_without_empty_parts(app), options or GateOptions(), registry)


class PathApp:
    """The ASGI application of one path, with a route for each of its methods; an error becomes a problem document."""

    def __init__(self, service: Service, registry: CollectorRegistry, methods: Mapping[str, Route]) -> None:
        self._service, self._registry, self._methods = service, registry, methods

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            response = await self._response(HttpRequest(scope, receive))
        except ClientDisconnect:
            return
        except ProblemError as error:
            response = error.response()
        except Exception as error:
            _LOG.error("a fault while answering", exc_info=error)
            detail = f"a fault of ours ({type(error).__name__}); its trace stands in the log of the service"
            response = ProblemError(500, detail).response()
        await response(scope, receive, send)

    async def _response(self, request: HttpRequest) -> Response:
        route = self._methods.get(request.method)
        if route is None:
            return _other_method(request.method, self._methods)
        session = request.path_params.get("session", "")
        record = await route.answer(Request(self._service, self._registry, session, await _sent(route, request)))
        if isinstance(record, Response):
            return record
        if record is None:
            return Response(status_code=route.status)
        return Response(msgspec.json.encode(record), route.status, media_type="application/json")


def _without_empty_parts(app: App) -> App:
    """Return an application to which /health/ and //health are /health."""

    async def called(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path = "/" + "/".join(part for part in scope["path"].split("/") if part)
            scope = {**scope, "path": path}
        await app(scope, receive, send)

    return called


async def _not_found(_: HttpRequest, __: Exception) -> Response:
    return ProblemError(404, f"nothing is served at this path; the routes stand in {_SCHEMA_PATH}").response()


def _other_method(method: str, methods: Mapping[str, Route]) -> Response:
    """Return the answer to OPTIONS, or the problem of a method that the path does not have."""
    allow = ", ".join(sorted({*methods, "OPTIONS"}))
    if method == "OPTIONS":
        return Response(status_code=204, headers={"allow": allow})
    detail = f"this path answers {allow}; {_SCHEMA_PATH} tells what each does"
    raise ProblemError(405, detail, {"allow": allow})


async def _sent(route: Route, request: HttpRequest) -> Any:
    """Return the body or the query as the record of the route; None for a route without either.

    Raises:
        ProblemError: it is missing, or not what the record says.
    """
    if route.body is not None:
        body = await request.body()
        if not body:
            raise ProblemError(400, f"a body is needed, JSON, at least {{}}; see {_SCHEMA_PATH} for what is expected")
        return _decoded(route, body)
    if route.query is None:
        return None
    try:
        return msgspec.convert(dict(request.query_params), route.query, strict=False)  # in a query, numbers are text
    except msgspec.ValidationError as error:
        raise ProblemError(400, f"the query is not what is expected: {error}; see {_SCHEMA_PATH}") from error


def _decoded(route: Route, body: bytes) -> Any:
    try:
        return route.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:  # a ValidationError is a DecodeError
        reason = str(error)
        if "matching regex" in reason:
            reason = f"an id holds a control character, such as a line break{reason[reason.rfind(' - ') :]}"
        raise ProblemError(400, f"the body is not what is expected: {reason}; see {_SCHEMA_PATH}") from error
    except RecursionError as error:
        raise ProblemError(400, f"the body is nested too deep; send what {_SCHEMA_PATH} says") from error


def _fixed_routes() -> list[Route]:
    """Return the routes of the OpenAPI document and of the page's first file."""
    document = Response(msgspec.json.encode(openapi(ROUTES)), media_type="application/vnd.oai.openapi+json")
    page = Response((PAGE / "index.html").read_bytes(), media_type="text/html")
    return [_fixed(_SCHEMA_PATH, document), _fixed("/", page)]


def _fixed(path: str, response: Response) -> Route:
    """Return a route that always gives one response."""

    async def answer(_: Request[None]) -> Response:
        return response

    return Route("GET", path, answer)
