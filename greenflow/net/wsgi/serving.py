"""A handler of requests as a WSGI application, for the servers and frameworks of others.

Lives here: environ to Request, Response to start_response and an iterable (PEP 3333). What frames a
message, and the Date, are the server's. A streamed answer is handed out piece by piece, after the
handler has returned: the request says so by `defers`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any, Protocol
from urllib.parse import quote, unquote_to_bytes

from gevent import get_hub
from gevent._hub_local import get_hub_if_exists

from greenflow.errors import Inactive
from greenflow.hub import blocking
from greenflow.net.answer import fields, has_no_body, status_text
from greenflow.net.fields import REQUEST_ID
from greenflow.net.limits import Limits
from greenflow.net.message import (
    Address,
    ClientDisconnected,
    InvalidResponse,
    Request,
    Respond,
    Response,
    canonical_name,
)
from greenflow.net.refusal import Refused
from greenflow.payload.stream import Stream

Environ = dict[str, Any]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

# Bytes asked of wsgi.input at once where a body is streamed: what servers read from a socket.
READ_BYTES = 64 * 1024

# Paths whose encoded form is remembered; most services have fewer that are asked often.
PATHS = 1024

# Status lines that are remembered: every final status, 200 to 999.
STATUSES = 800

# Sets of variables that are remembered; a server always sets the same ones, clients a dozen.
ENVIRONS = 256

# What may stand in a path as it is (RFC 3986 3.3: pchar and the slash), besides letters and digits.
_PATH_SAFE = "/:@!$&'()*+,;=~-._"

_LENGTH = re.compile(r"[0-9]{1,19}")
_TEXT = ("Content-Type", "text/plain; charset=utf-8")

logger = logging.getLogger("greenflow.net")


class Site(Protocol):
    """Who answers the requests: a listener."""

    limits: Limits

    @property
    def streams(self) -> bool:
        """Whether a request is handed over before its body is there."""

    def serve(self, request: Request, respond: Respond) -> None:
        """Answer one request."""

    def tell_refused(
        self,
        method: str,
        path: str,
        status: int,
        reason: str,
        client: Address,
        request_id: str | None = None,
    ) -> object:
        """A request is refused, for that reason, and is called so. In any OS thread."""

    def headers_for(self, origin: str | None) -> Sequence[tuple[str, str]]:
        """The headers that a refusal has for a page of that origin. In any OS thread."""


Run = Callable[..., Any]
"""Calls a function with arguments where the site lives, such as on the hub of another thread."""


def here(function: Callable[..., Any], *args: Any) -> Any:
    """A Run for a site that lives where the application is called."""
    return function(*args)


def application(choose: Callable[[Environ], Site | None], run: Run = here) -> Application:
    """The WSGI application that has each request answered by the site chosen for it; None is
    answered 503. The body is read, and the answer started, where the application is called; what
    the site does runs by `run`."""

    def serve(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        site = choose(environ)
        if site is None:
            return _plain(503, environ["REQUEST_METHOD"], start_response)
        try:
            request = to_request(environ, site.limits, site.streams)
        except Refused as refused:
            path = environ.get("PATH_INFO") or "/"
            client = environ.get("REMOTE_ADDR", ""), int(environ.get("REMOTE_PORT") or "0")
            method, status = environ["REQUEST_METHOD"], refused.status
            allowed = site.headers_for(environ.get("HTTP_ORIGIN"))
            named = [value for name, value in allowed if name == REQUEST_ID]
            site.tell_refused(method, path, status, str(refused), client, *named)
            return _plain(refused.status, environ["REQUEST_METHOD"], start_response, allowed)
        answer = _Answer(request)
        try:
            run(site.serve, request, answer.respond)
            if answer.headers is None:
                raise RuntimeError("the handler returned without an answer")
        except Exception as error:
            if not isinstance(error, ClientDisconnected):
                logger.exception("the handler of a WSGI request failed")
            run(answer.give_up)
            allowed = site.headers_for(environ.get("HTTP_ORIGIN"))
            return _plain(500, request.method, start_response, allowed)
        except BaseException:
            run(answer.give_up)
            raise
        start_response(answer.status, answer.headers)
        body = answer.body
        return _Pieces(run, body) if answer.is_streamed else body

    return serve


class _Answer:
    """What the handler of a request answers."""

    __slots__ = ("body", "headers", "is_streamed", "request", "status")

    def __init__(self, request: Request) -> None:
        self.request = request
        self.headers: list[tuple[str, str]] | None = None
        self.status = ""
        self.body: Iterable[bytes] = ()
        self.is_streamed = False

    def respond(self, response: Response) -> None:
        """For the handler; see greenflow.net.message.Respond."""
        if self.headers is not None:
            raise RuntimeError("a request is answered once")
        self.request.status = response.status
        self.status = _status(response.status)
        self.headers = to_headers(self.request, response)
        content = response.body
        if not isinstance(content, bytes):
            self.body, self.is_streamed = content, True
        elif not has_no_body(self.request.method, response.status):
            self.body = (content,)

    def give_up(self) -> None:
        """The answer will not be taken."""
        close = getattr(self.body, "close", None)
        if close is not None:
            close()


class _Pieces:
    """A streamed answer, made where its site lives."""

    def __init__(self, run: Run, pieces: Iterable[bytes]) -> None:
        self._run, self._pieces = run, pieces
        self._rest = iter(pieces)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        piece: bytes = self._run(next, self._rest)
        return piece

    def close(self) -> None:
        """The server has taken all that it wants."""
        close = getattr(self._pieces, "close", None)
        if close is not None:
            with suppress(Inactive):  # what has stopped has closed what it had
                self._run(close)


def to_request(environ: Environ, limits: Limits, streams: bool) -> Request:
    """The request of an environ, its path less SCRIPT_NAME. Raises Refused for a body that is over
    the limit, or ends early."""
    path = _path(
        environ.get("RAW_URI") or environ.get("REQUEST_URI") or "",
        environ.get("SCRIPT_NAME", ""),
        environ.get("PATH_INFO", ""),
    )
    query = environ.get("QUERY_STRING", "")
    headers = [
        (name, value) for key, name in _header_names(tuple(environ)) if (value := environ[key])
    ]
    server = environ["SERVER_NAME"], int(environ["SERVER_PORT"])
    request = Request(
        environ["REQUEST_METHOD"],
        f"{path}?{query}" if query else path,
        path,
        query,
        "1.0" if environ.get("SERVER_PROTOCOL") == "HTTP/1.0" else "1.1",
        environ.get("HTTP_HOST") or f"{server[0]}:{server[1]}",
        headers,
        environ["wsgi.url_scheme"],
    )
    request.defers = True
    port = environ.get("REMOTE_PORT") or "0"
    request.client = request.peer = environ.get("REMOTE_ADDR", ""), int(port)
    request.server = server
    _take_body(request, environ, limits, streams)
    return request


def to_headers(request: Request, response: Response) -> list[tuple[str, str]]:
    """The headers of an answer, less those that concern one hop. Raises InvalidResponse."""
    status, body = response.status, response.body
    headers = fields(response.headers)
    if status in (204, 304):
        # RFC 9110 8.6: no length. wsgiref.validate wants no Content-Type either.
        return [field for field in headers if field[0].lower() != "content-type"]
    if isinstance(body, bytes):
        headers.append(
            ("Content-Length", str(len(body) if response.length is None else response.length))
        )
        if not body and not any(name.lower() == "content-type" for name, _ in headers):
            headers.append(_TEXT)  # wsgiref.validate, and some frameworks, do not go without
    elif isinstance(body, (str, bytearray, memoryview)):
        raise InvalidResponse(f"a body is bytes or an iterable of bytes, not {type(body).__name__}")
    elif response.length is not None:
        headers.append(("Content-Length", str(response.length)))
    return headers


def _take_body(request: Request, environ: Environ, limits: Limits, streams: bool) -> None:
    text = environ.get("CONTENT_LENGTH") or ""
    if text and _LENGTH.fullmatch(text) is None:
        raise Refused(400, "Content-Length is no number")
    length = int(text) if text else None
    if length is None and not environ.get("wsgi.input_terminated"):
        if "HTTP_TRANSFER_ENCODING" in environ:
            # To read on would wait for ever: only the server knows where the body ends.
            reason = "a body without Content-Length, of which the server does not say that it ends"
            raise Refused(411, reason)
        return
    if length == 0 or (length is None and not _may_have_body(environ)):
        return
    if length is not None and length > limits.body:
        raise Refused(413, f"body over {limits.body} bytes")
    source = environ["wsgi.input"]
    if streams:
        request.body = Stream(_pieces(_reader(source), length, limits.body))
    else:
        request.body = b"".join(_pieces(source.read, length, limits.body))


def _may_have_body(environ: Environ) -> bool:
    """Whether an input that ends by itself may hold something. With GET and HEAD only if the
    request says so: some servers mark every input, and reading an empty one takes its time."""
    return "HTTP_TRANSFER_ENCODING" in environ or environ["REQUEST_METHOD"] not in ("GET", "HEAD")


def _reader(source: Any) -> Callable[[int], bytes]:
    """Reads from a file of the calling thread, on any hub: it blocks no other hub than that
    thread's own."""
    own = get_hub_if_exists()

    def read(size: int) -> bytes:
        hub = get_hub()
        found: bytes = source.read(size) if hub is own else blocking.call(source.read, size)
        return found

    return read


def _pieces(read: Callable[[int], bytes], length: int | None, most: int) -> Iterator[bytes]:
    """The body as the server has it. Raises Refused."""
    found = 0
    while length is None or found < length:
        piece = read(READ_BYTES if length is None else min(READ_BYTES, length - found))
        if not piece:
            break
        found += len(piece)
        if found > most:
            raise Refused(413, f"body over {most} bytes")
        yield piece
    if length is not None and found < length:
        raise Refused(400, "the body ended early")


@lru_cache(maxsize=PATHS)
def _path(target: str, script_name: str, path_info: str) -> str:
    """The path as the client wrote it, if the server tells; else the decoded one encoded again, in
    which `%2F` and a slash are one."""
    sent = target.partition("?")[0]
    if sent.startswith(script_name):
        sent = sent[len(script_name) :]
        if sent.startswith("/") and unquote_to_bytes(sent) == path_info.encode("latin-1"):
            return sent
    return quote(path_info.encode("latin-1"), safe=_PATH_SAFE) or "/"


@lru_cache(maxsize=ENVIRONS)
def _header_names(keys: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """The variables that stand for headers, each with its header."""
    return tuple((key, name) for key in keys if (name := _header_name(key)) is not None)


def _header_name(key: str) -> str | None:
    """The header that a variable stands for. None for other variables, and for what only frames the
    message: the server has read the body."""
    if key in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        return canonical_name(key.replace("_", "-"))
    if not key.startswith("HTTP_") or key in ("HTTP_TRANSFER_ENCODING", "HTTP_CONTENT_LENGTH"):
        return None
    return canonical_name(key[5:].replace("_", "-"))


@lru_cache(maxsize=STATUSES)
def _status(status: int) -> str:
    if not isinstance(status, int) or not 200 <= status <= 999:
        raise InvalidResponse(f"status {status!r} is not a final status, 200 to 999")
    return f"{int(status)} {status_text(status) or 'Unknown'}"


def _plain(
    status: int,
    method: str,
    start_response: Callable[..., Any],
    headers: Iterable[tuple[str, str]] = (),
) -> Iterable[bytes]:
    """An answer that says no more than its status."""
    text = status_text(status).encode("ascii")
    start_response(_status(status), [_TEXT, ("Content-Length", str(len(text))), *headers])
    return () if method == "HEAD" else (text,)
