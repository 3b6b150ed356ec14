"""The admin interface of one engine: a request in, an answer out.

Lives here: Interface and Way. What it answers are the resources (resources/), who may ask is
guarding.py's, and where it can be reached door.py's and, for an embedding program, the runtime's.

GET changes nothing. Whatever a request asks, the answer is one of those that the OpenAPI document
has; an error of ours that a resource did not foresee is logged and answered 500.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cached_property
from typing import Any
from urllib.parse import unquote_to_bytes
from weakref import WeakSet

import msgspec

from greenflow.admin.declaring import Given, Resource, Text
from greenflow.admin.engine import Engine
from greenflow.admin.guarding import AdminGate, check_json
from greenflow.admin.problem import Problem
from greenflow.admin.resources import all_resources
from greenflow.admin.routing import ResourceRoutes
from greenflow.admin.streaming import MEDIA_TYPE, EventStream
from greenflow.errors import GreenflowError
from greenflow.net.limits import Limits
from greenflow.net.message import NOBODY, Address, Request, Respond, Response

#: A payload that a node is called with, or a filter; and clients: people and what scrapes.
LIMITS = Limits(body=1024 * 1024, connections=256, in_flight=256)

#: Parameters of a query, at most.
MOST_PARAMETERS = 50

_ALWAYS = (
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
)

_log = logging.getLogger("greenflow.admin")


class Interface:
    """Answers for one engine. Used on the hub of the engine."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.resources = all_resources()
        self._routes = ResourceRoutes(self.resources)
        self._streams: WeakSet[EventStream[Any]] = WeakSet()
        self._is_closed = False

    @cached_property
    def mounted(self) -> Way:
        """The way in of a program that mounts it by WSGI."""
        settings = self.engine.settings.admin
        return Way(self, AdminGate(settings.token, settings.hosts))

    def answer(self, request: Request, gate: AdminGate) -> Response:
        """The answer to a request that came in by that gate."""
        try:
            response = self._answer(request, gate)
        except GreenflowError as error:
            response = Problem.of(error).response()
        except Exception as error:
            _log.error("%s failed: %s", request.path, error, exc_info=error)
            response = Problem(500, "internal error: the log of the engine has it").response()
        response.headers = [*response.headers, *_ALWAYS]
        return response

    def _answer(self, request: Request, gate: AdminGate) -> Response:
        gate.check_source(request)
        resource, parts = self._routes.find(request.method, request.path)
        if not resource.is_open:
            gate.check_token(request)
        arguments: dict[str, Any] = {
            name: _converted(text, resource.parts[name], 404) for name, text in parts.items()
        }
        if resource.query is not None:
            arguments["query"] = _converted(parameters(request.query), resource.query, 400)
        elif request.query:
            raise Problem(400, "this resource has no parameters")
        if resource.method == "POST":
            check_json(request)
            if resource.body is not None:
                arguments["body"] = _read(request, resource.body)
        return self._made(resource, request, resource.function(self.engine, **arguments))

    def _made(self, resource: Resource, request: Request, content: Any) -> Response:
        status = resource.statuses[0]
        if isinstance(content, Given):
            status, content = content
        if isinstance(content, EventStream):
            return self._streamed(content, request)
        if isinstance(content, Text):
            headers = [("Content-Type", content.media_type)]
            return Response(status, headers, content.pieces)
        body = msgspec.json.encode(content)
        return Response(status, [("Content-Type", "application/json")], body)

    def _streamed(self, stream: EventStream[Any], request: Request) -> Response:
        if self._is_closed:
            stream.end("the engine ends")
        if request.method == "HEAD":
            stream.close()
            return Response(200, [("Content-Type", MEDIA_TYPE)])
        self._streams.add(stream)
        request.on_disconnect = stream.leave
        return Response(200, [("Content-Type", MEDIA_TYPE)], stream)

    def end_streams(self) -> None:
        """End what goes on: the engine has stopped. It may start again."""
        for stream in list(self._streams):
            stream.end("the engine ends")

    def close(self) -> None:
        """End what goes on, and what would begin: the engine ends."""
        self._is_closed = True
        self.end_streams()


class Way:
    """One way in to an interface: what serves HTTP hands it requests (net/server, net/wsgi)."""

    limits = LIMITS
    streams = False

    def __init__(self, interface: Interface, gate: AdminGate) -> None:
        self.interface, self._gate = interface, gate

    def serve(self, request: Request, respond: Respond) -> None:
        """Answer one request."""
        respond(self.interface.answer(request, self._gate))

    def tell_refused(
        self,
        method: str,
        path: str,
        status: int,
        reason: str,
        client: Address,
        request_id: str | None = None,
    ) -> None:
        """A request is refused before it is one."""
        _log.debug("%s %s is refused with %d: %s", method, path, status, reason)

    def headers_for(
        self, origin: str | None, sent: str | None = None, peer: Address = NOBODY
    ) -> Sequence[tuple[str, str]]:
        """No page of another origin may read anything."""
        return ()


def parameters(query: str) -> dict[str, str]:
    """The parameters of a query. Raises Problem for one that comes twice: nobody knows which is
    meant."""
    found: dict[str, str] = {}
    pairs = [pair for pair in query.split("&") if pair]
    if len(pairs) > MOST_PARAMETERS:
        raise Problem(400, "so many parameters has no resource")
    for pair in pairs:
        name, _, value = (_text(part) for part in pair.replace("+", " ").partition("="))
        if name in found:
            raise Problem(400, f"the parameter {name!r} comes twice")
        found[name] = value
    return found


def _text(part: str) -> str:
    try:
        return unquote_to_bytes(part).decode()
    except UnicodeDecodeError:
        raise Problem(400, "the query is no UTF-8") from None


def _converted(value: Any, type: Any, status: int) -> Any:
    """Raises Problem with that status for what is no such value."""
    try:
        return msgspec.convert(value, type, strict=False)
    except msgspec.ValidationError as error:
        raise Problem(status, str(error)) from None


def _read(request: Request, type: Any) -> Any:
    assert isinstance(request.body, bytes)
    try:
        return msgspec.json.decode(request.body, type=type)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Problem(400, f"the body: {error}") from None
    except RecursionError:
        raise Problem(400, "the body: it is nested too deep") from None
