"""From a Response to the bytes of its header section.

The server owns what frames a message; a header of a workflow that would do so is left out. Nothing
that could end a line, or hold a control character, is ever written: a bad name or value raises
InvalidResponse before the first byte is sent (RFC 9110 5.5, RFC 9112 11.1).
"""

from __future__ import annotations

from collections.abc import Iterable
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus

from greenflow.net.fields import FRAMING, HOP_BY_HOP
from greenflow.net.grammar import elements, has_control, is_token
from greenflow.net.message import InvalidResponse, Request, Response

# Header names and status lines remembered; see CANONICAL_NAMES in greenflow.net.message.
FIELD_NAMES = 1024

# Header sections remembered. Only those given as a tuple are: whoever gives one says that it holds
# nothing of its own request, such as a cookie, and will be sent again.
HEADER_SECTIONS = 256

# Seconds until a client that met the connection limit may try again (RFC 9110 10.2.3).
RETRY_AFTER_SECONDS = 1

# The server writes those that it needs.
_OWNED = HOP_BY_HOP | FRAMING

# Reason phrases that RFC 9110 15 changed after Python's table of them was written.
_PHRASES = {413: "Content Too Large", 414: "URI Too Long", 422: "Unprocessable Content"}

# Statuses whose answers have no body (RFC 9110 6.4.1), and 205, which must not (15.3.6).
NO_BODY = frozenset((204, 205, 304))

_PASSED, _DROPPED, _CONNECTION, _DATE = range(4)


@lru_cache(maxsize=FIELD_NAMES)
def status_line(status: int) -> str:
    """The first line of an answer, with its line end. Raises InvalidResponse for what is no final
    status (RFC 9110 15)."""
    if not isinstance(status, int) or not 200 <= status <= 999:
        raise InvalidResponse(f"status {status!r} is not a final status, 200 to 999")
    return f"HTTP/1.1 {int(status)} {status_text(status)}\r\n"


def status_text(status: int) -> str:
    """The reason phrase; empty for a status that nobody registered."""
    try:
        return _PHRASES.get(status) or HTTPStatus(status).phrase
    except ValueError:
        return ""


@lru_cache(maxsize=FIELD_NAMES)
def _kind(name: str) -> int:
    if not is_token(name):
        raise InvalidResponse(f"header name {name!r} is no token (RFC 9110 5.1)")
    lower = name.lower()
    if lower == "connection":
        return _CONNECTION
    if lower == "date":
        return _DATE
    return _DROPPED if lower in _OWNED else _PASSED


def has_no_body(method: str, status: int) -> bool:
    """Whether the answer ends with its header section (RFC 9110 6.4.1)."""
    return method == "HEAD" or status in NO_BODY


def answer_head(
    request: Request, response: Response, date_line: str, stopping: bool
) -> tuple[bytes, bool]:
    """The header section of an answer, and whether the connection goes on after it.

    Raises InvalidResponse; then nothing of the response may be sent.
    """
    status, body = response.status, response.body
    headers = response.headers
    if type(headers) is tuple:
        if type(body) is bytes and request.keep_alive and not stopping and request.version == "1.1":
            plain = _remembered_head(status, headers, len(body), date_line)
            if plain:
                return plain, True
        start, close, dated = _remembered_start(status, headers)
    else:
        start, close, dated = _start(status, headers)
    if dated:
        date_line = ""
    keep_alive = request.keep_alive and not close and not stopping
    if isinstance(body, bytes) and status not in NO_BODY:
        framing = f"Content-Length: {len(body)}\r\n"
    elif status == 205:
        framing = "Content-Length: 0\r\n"
    elif status in NO_BODY:
        # RFC 9110 8.6: no length in a 204, and in a 304 only that of the 200 it stands for.
        framing = ""
    elif isinstance(body, (str, bytearray, memoryview)):
        raise InvalidResponse(f"a body is bytes or an iterable of bytes, not {type(body).__name__}")
    elif response.length is not None:
        framing = f"Content-Length: {response.length}\r\n"
    elif request.version == "1.1":
        framing = "Transfer-Encoding: chunked\r\n"
    else:
        # RFC 9112 6.3: without a length the close ends the body.
        framing = ""
        keep_alive = False
    if status == 426:  # RFC 9110 15.5.22: it says what to upgrade to; there is one protocol
        framing += "Upgrade: websocket\r\nConnection: Upgrade\r\n"
    if not keep_alive:
        framing += "Connection: close\r\n"
    elif request.version == "1.0":
        framing += "Connection: keep-alive\r\n"
    return _encoded(f"{start}{date_line}{framing}\r\n"), keep_alive


def _encoded(head: str) -> bytes:
    try:
        return head.encode("latin-1")
    except UnicodeEncodeError as error:
        raise InvalidResponse(
            "a header value has characters outside ISO-8859-1 (RFC 9110 5.5)"
        ) from error


@lru_cache(maxsize=HEADER_SECTIONS)
def _remembered_head(
    status: int, headers: tuple[tuple[str, str], ...], length: int, date_line: str
) -> bytes:
    """The header section of an answer whose body has a length, after which the connection goes on;
    empty if more is to be said of it. For a second all answers of a kind and size have the same."""
    start, close, dated = _remembered_start(status, headers)
    if close or dated or status in NO_BODY or status == 426:
        return b""
    return _encoded(f"{start}{date_line}Content-Length: {length}\r\n\r\n")


def _start(status: int, headers: Iterable[tuple[str, str]]) -> tuple[str, bool, bool]:
    """The status line and a response's own headers, whether they ask for a close, and have a
    date."""
    lines = status_line(status)
    close = dated = False
    for name, value in headers:
        kind = _kind(name)
        if kind == _CONNECTION:
            close = close or "close" in elements(value)
            continue
        if kind == _DROPPED:
            continue
        # Most values are printable; asked here, that costs no call for each.
        if not value.isprintable() and has_control(value):
            raise InvalidResponse(f"control character in the value of header {name}")
        if kind == _DATE:
            dated = True
        lines += f"{name}: {value}\r\n"
    return lines, close, dated


def fields(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """A response's own headers, less those that frame a message or concern one hop. Raises
    InvalidResponse."""
    kept = []
    for name, value in headers:
        if _kind(name) in (_DROPPED, _CONNECTION):
            continue
        if has_control(value):
            raise InvalidResponse(f"control character in the value of header {name}")
        kept.append((name, value))
    return kept


_remembered_start = lru_cache(maxsize=HEADER_SECTIONS)(_start)


def date_line(seconds: float) -> str:
    """The Date header of an answer sent at that time since the epoch (RFC 9110 6.6.1)."""
    return f"Date: {formatdate(seconds, usegmt=True)}\r\n"


def refusal(
    status: int,
    date_line: str,
    headers: Iterable[tuple[str, str]] = (),
    *,
    bodiless: bool = False,
) -> bytes:
    """The whole answer of the server itself: the status text, and then the connection closes."""
    text = status_text(status).encode("ascii")
    retry = f"Retry-After: {RETRY_AFTER_SECONDS}\r\n" if status == 503 else ""
    own = "".join(f"{name}: {value}\r\n" for name, value in headers)
    head = (
        f"{status_line(status)}{date_line}Content-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(text)}\r\n{retry}{own}Connection: close\r\n\r\n"
    )
    return head.encode("ascii") + (b"" if bodiless else text)
