"""`wsgi`: HTTP payloads answered by an existing WSGI application, such as a Flask or Django one
(BEHAVIOUR 14.wsgi).

Lives here: the kind, and what a payload is as an environ. Calling an application is net/wsgi's.

The environ is made of the payload, not of the request behind it: what the steps before the node
changed is what the application gets. What they left as it was, it gets to the byte: a body or a
query that still equals the one that was decoded is handed over undecoded. The answer goes back as
the application made it: neither encoded, nor compressed.
"""

from __future__ import annotations

import importlib
import logging
import re
from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import unquote_to_bytes, urlencode

from msgspec import Meta

from greenflow.engine.declaring import node
from greenflow.engine.node import Context, Node, describe
from greenflow.engine.services import Compiler, Services
from greenflow.errors import GreenflowError, InvalidArgument, SpecFault
from greenflow.net import mime
from greenflow.net.message import canonical_name
from greenflow.net.wsgi.calling import Errors, FileWrapper, body_input, call, variable
from greenflow.nodes.request import Received
from greenflow.payload.stream import Stream, Verbatim
from greenflow.spec.fields import Spec

_APP = re.compile(r"(?P<module>\w+(?:\.\w+)*):(?P<name>\w+(?:\.\w+)*)(?P<calls>\(\))?")

# The ports of schemes, for a host that names none.
_PORTS = {"http": "80", "https": "443"}

_log = logging.getLogger("greenflow.nodes.wsgi")


class ApplicationUnavailable(GreenflowError):
    """The application of a spec cannot be imported. The author of the spec must act."""


class WsgiSpec(Spec):
    app: Annotated[
        str,
        Meta(description="package.module:name, or package.module:create_app() for a factory"),
    ]
    script_name: Annotated[
        str,
        Meta(
            pattern=r"^(/.*[^/])?$",
            description="path that the application is mounted at, taken off the request's",
        ),
    ] = ""


@node("wsgi", reads_only=True, reaches_outside=True)
class Wsgi(Node[WsgiSpec]):
    """Answers an HTTP payload from a WSGI application; the response leaves by `out`.

    What the application raises goes to `error`.
    """

    waits = True

    @classmethod
    def check(cls, spec: WsgiSpec, compiler: Compiler) -> list[SpecFault]:
        if _APP.fullmatch(spec.app) is None:
            reason = f"{spec.app!r} is not package.module:name or package.module:create_app()"
            return [SpecFault("$.app", reason)]
        return []

    def __init__(self, spec: WsgiSpec, services: Services) -> None:
        super().__init__(spec, services)
        self.application: Callable[..., Any] | None = None
        self.constant = {
            "SCRIPT_NAME": spec.script_name,
            "wsgi.version": (1, 0),
            "wsgi.errors": Errors(_log, describe(self)),
            "wsgi.multithread": True,  # a request does not wait for another one's end
            "wsgi.multiprocess": True,  # other runtimes may run the same spec
            "wsgi.run_once": False,
            "wsgi.file_wrapper": FileWrapper,
        }

    def open(self) -> None:
        self.application = load(self.spec.app)
        self.services.keeps_requests = True

    def handle(self, ctx: Context, payload: Any) -> Any:
        if type(payload) is not dict or type(payload.get("path")) is not str:
            raise InvalidArgument("a wsgi node takes an HTTP request: a map with a `path`")
        assert self.application is not None
        environ = self.environ(payload, ctx.process.data.get(Received))
        called = call(self.application, environ)
        header: dict[str, list[str]] = {}
        for name, value in called.headers:
            header.setdefault(canonical_name(name), []).append(value)
        body: Verbatim | Stream
        if not isinstance(called.body, bytes):
            body = Stream(called.body, called.length)
            ctx.process.on_exit(called.body.close)  # if nobody sends it
        elif environ["REQUEST_METHOD"] == "HEAD":
            body = Stream((), called.length)
        else:
            body = Verbatim(called.body)
        return {"status": called.status, "header": header, "body": body}

    def environ(self, payload: dict[str, Any], received: Received | None) -> dict[str, Any]:
        """The environ of a payload. Raises InvalidArgument for what cannot be one."""
        scheme = payload.get("scheme") or "http"
        path, mount = payload["path"], self.spec.script_name
        if mount and (path == mount or path.startswith(f"{mount}/")):
            path = path[len(mount) :]
        environ: dict[str, Any] = {
            "REQUEST_METHOD": payload.get("method") or "GET",
            "PATH_INFO": "" if path == "*" else unquote_to_bytes(_text(path)).decode("latin-1"),
            "QUERY_STRING": _query(payload.get("query"), received),
            "SERVER_PROTOCOL": payload.get("protocol") or "HTTP/1.1",
            "wsgi.url_scheme": scheme,
            **self.constant,
        }
        header = payload.get("header") or {}
        content_type = coding = None
        for name, values in header.items():
            key = variable(name)
            if key is None:
                continue
            if type(values) is list:
                joint = "; " if key == "HTTP_COOKIE" else ", "
                values = values[0] if len(values) == 1 else joint.join(map(str, values))
            value = environ[key] = values if type(values) is str else str(values)
            if not value.isascii():
                environ[key] = _text(value).decode("latin-1")
            if key == "CONTENT_TYPE":
                content_type = value
            elif key == "HTTP_CONTENT_ENCODING":
                coding = value
        host = payload.get("host") or environ.get("HTTP_HOST")
        if host:
            environ["HTTP_HOST"] = host
        name, port = _split(host or "localhost")
        environ["SERVER_NAME"] = name
        environ["SERVER_PORT"] = port or _PORTS.get(scheme, "80")
        if received is not None:
            client = received.request.client
            environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = client[0], str(client[1])
        else:
            environ["REMOTE_ADDR"] = ""
        body = payload.get("body")
        if isinstance(body, Stream):
            environ["wsgi.input"] = body_input(body)
            length = header.get("Content-Length")
            if length:
                environ["CONTENT_LENGTH"] = length[0] if type(length) is list else str(length)
            else:
                environ["wsgi.input_terminated"] = True
            return environ
        data = _body(body, content_type, coding, received, environ)
        if data or "Content-Length" in header:
            environ["CONTENT_LENGTH"] = str(len(data))
        environ["wsgi.input"] = body_input(data)
        return environ


def load(text: str) -> Callable[..., Any]:
    """The application that a spec names. Raises ApplicationUnavailable, which says why."""
    match = _APP.fullmatch(text)
    assert match is not None
    try:
        found: Any = importlib.import_module(match["module"])
        for part in match["name"].split("."):
            found = getattr(found, part)
        if match["calls"]:
            found = found()
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise ApplicationUnavailable(f"app {text!r} cannot be imported: {reason}") from error
    if not callable(found):
        raise ApplicationUnavailable(f"app {text!r} is {type(found).__name__}, not callable")
    application: Callable[..., Any] = found
    return application


def _query(query: Any, received: Received | None) -> str:
    """The query string: as it came if it means the same, else written anew."""
    if received is not None:
        came = received.payload["query"]
        if query is came or query == came:
            return received.request.query
    if not query:
        return ""
    if type(query) is not dict:
        raise InvalidArgument("the query of a request is a map of name to values")
    return urlencode(query, doseq=True)


def _body(
    body: Any,
    content_type: str | None,
    coding: str | None,
    received: Received | None,
    environ: dict[str, Any],
) -> bytes:
    """The body: the bytes that came if it means the same, else written anew."""
    if received is not None and "body" in received.payload:
        request = received.request
        came = received.payload["body"]
        if (
            isinstance(request.body, bytes)
            and content_type == request.header("content-type")
            and coding == request.header("content-encoding")
            and (body is came or same(body, came))
        ):
            return request.body
    if body is None:
        return b""
    if isinstance(body, bytes):
        data = body
    else:
        environ["CONTENT_TYPE"], data, _ = mime.encode(body, content_type)
    return data if coding is None else mime.compress(data, coding)[0]


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same value, as it is after a language whose numbers are doubles:
    1 and 1.0 are one number, but true is none."""
    if type(one) is dict:
        return (
            type(other) is dict
            and one.keys() == other.keys()
            and all(same(value, other[key]) for key, value in one.items())
        )
    if type(one) is list:
        return type(other) is list and len(one) == len(other) and all(map(same, one, other))
    return bool(one == other) and (type(one) is bool) == (type(other) is bool)


def _text(text: str) -> bytes:
    """Text as bytes: what came over the wire was read as ISO-8859-1, a workflow may write more."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-8")


def _split(host: str) -> tuple[str, str]:
    """Name and port of an authority."""
    name, colon, port = host.rpartition(":")
    return (name, port) if colon and port.isdecimal() else (host, "")
