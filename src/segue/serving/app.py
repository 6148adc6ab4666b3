"""The service as an ASGI application: which route answers a request, what it reads, and errors as problems."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, unquote_to_bytes

import msgspec

from segue.serving.asgi import DisconnectError, ProblemError, Receive, Response, Scope, Send, read_body
from segue.serving.gate import Gate, GateOptions
from segue.serving.routes import ROUTES, Route, openapi
from segue.serving.service import Service

_LOG: Final = logging.getLogger(__name__)
SCHEMA: Final = "/schema/openapi.json"
PAGE: Final = Path(__file__).parent / "page"
"""The files of the listening room, which are served as they are."""
_MEDIA_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_ID_AT: Final = 2
"""Index of the id of a session or listener among the parts of a path."""
_ANY_ID: Final = "{}"
"""Stands for it in the table of routes."""
Parts = tuple[str, ...]


class Application:
    """The ASGI application: it checks requests, answers them by the table of routes or with the page, and counts them.

    Empty parts of a path do not count: /health/ and //health are /health.
    """

    def __init__(self, service: Service, options: GateOptions | None = None) -> None:
        self._service, self._options = service, options or GateOptions()
        self._gate = Gate(self._options)
        self._methods: dict[Parts, dict[str, Route]] = {}
        for route in (*ROUTES, *_fixed_routes()):
            template = tuple(_ANY_ID if part.startswith("{") else part for part in _parts(route.path.encode()))
            self._methods.setdefault(template, {})[route.method] = route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; an error becomes a problem document."""
        begin = time.perf_counter()
        try:
            self._gate.check(scope)
            response = await self._response(scope, receive)
        except DisconnectError:
            return
        except ProblemError as error:
            response = error.response()
        except Exception as error:
            _LOG.error("an error while answering", exc_info=error)
            detail = f"an error in the service ({type(error).__name__}); its traceback is in the service's log"
            response = ProblemError(500, detail).response()
        await response.send(send)
        self._service.counts.add(response.status, time.perf_counter() - begin)

    async def _response(self, scope: Scope, receive: Receive) -> Response:
        parts = _parts(scope["raw_path"])
        path_id = parts[_ID_AT] if len(parts) > _ID_AT else ""
        template = (*parts[:_ID_AT], _ANY_ID, *parts[_ID_AT + 1 :])
        methods = self._methods.get(parts) or self._methods.get(template)
        if methods is None:
            raise ProblemError(404, f"nothing is served at this path; {SCHEMA} lists the routes")
        route = methods.get(scope["method"])
        if route is None:
            return _other_method(scope["method"], methods)
        record = await route.answer(self._service, path_id, await self._sent(route, scope, receive))
        if isinstance(record, Response):
            return record
        return Response(b"" if record is None else msgspec.json.encode(record), route.status)

    async def _sent(self, route: Route, scope: Scope, receive: Receive) -> Any:
        """Return the body or the query as the record of the route; None for a route without either.

        Raises:
            ProblemError: it is missing, or not what the record says.
        """
        try:
            if route.body is not None:
                body = await read_body(receive, self._options.most_bytes)
                if not body:
                    raise ProblemError(400, f"a body is needed, JSON, at least {{}}; see {SCHEMA} for what is expected")
                return msgspec.json.decode(body, type=route.body)
            if route.query is not None:
                query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
                return msgspec.convert(query, route.query, strict=False)  # in a query, numbers are text
        except RecursionError as error:
            raise ProblemError(400, f"the body is nested too deep; send what {SCHEMA} says") from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:  # a ValidationError is a DecodeError
            reason, part = str(error), "query" if route.body is None else "body"
            if "matching regex" in reason:
                place = reason[reason.rfind(" - ") :]
                reason = f"an id holds a control character, such as a line break, or a listener is . or ..{place}"
            raise ProblemError(400, f"the {part} is not what is expected: {reason}; see {SCHEMA}") from error
        return None


def _parts(raw_path: bytes) -> Parts:
    """Return the decoded parts of a path, which may have percent-encoded slashes; what is no UTF-8 is escaped."""
    return tuple(unquote_to_bytes(part).decode("utf-8", "surrogateescape") for part in raw_path.split(b"/") if part)


def _other_method(method: str, methods: Mapping[str, Route]) -> Response:
    """Return the answer to OPTIONS, or the problem of a method that the path does not have."""
    allow = ", ".join(sorted({*methods, "OPTIONS"}))
    if method == "OPTIONS":
        return Response(status=204, headers={"allow": allow})
    detail = f"this path answers {allow}; {SCHEMA} tells what each does"
    raise ProblemError(405, detail, {"allow": allow})


def _fixed_routes() -> list[Route]:
    """Return the routes of the OpenAPI document and of the page's files, which are read once."""
    document = Response(msgspec.json.encode(openapi(ROUTES)), media_type="application/vnd.oai.openapi+json")
    files = {file.name: Response(file.read_bytes(), media_type=_MEDIA_TYPES[file.suffix]) for file in PAGE.iterdir()}
    routes = [_fixed("GET", SCHEMA, document), _fixed("GET", "/", files["index.html"])]
    for name, response in files.items():
        routes += [_fixed(method, f"/page/{name}", response) for method in ("GET", "HEAD")]
    return routes


def _fixed(method: str, path: str, response: Response) -> Route:
    """Return a route that always gives one response."""

    async def answer(*_: Any) -> Response:
        return response

    return Route(method, path, answer)
