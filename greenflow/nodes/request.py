"""A request as a payload, and an answer as a response (BEHAVIOUR 8.2 to 8.5).

Lives here: what a listener makes of what it is sent, and of what a workflow answers. How bodies are
read and written is mime/'s; the requests that workflows send are http.py's.
"""

from __future__ import annotations

import http
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import uuid4

from greenflow.engine.packet import NOTHING
from greenflow.errors import NoResponse
from greenflow.net import mime
from greenflow.net.fields import FRAMING, HOP_BY_HOP, REQUEST_ID, REQUEST_ONLY
from greenflow.net.forwarded import FIELDS, Proxies, origin
from greenflow.net.message import Address, Request, Respond, Response, canonical_name
from greenflow.nodes.envelope import no_response
from greenflow.payload.stream import Stream, Verbatim

# Content-Types remembered with the headers of answers that have no others.
ALONE = 256

# More bytes than a body has that was within a limit when it was decompressed before.
DECOMPRESSED_BEFORE = 1 << 40

# Headers of an answer that are not the workflow's to set, in lower case (BEHAVIOUR 8.5): those
# that frame a message or concern one hop (RFC 9110 7.6.1), and those of requests only.
_IGNORED = HOP_BY_HOP | FRAMING | REQUEST_ONLY | {"proxy-authenticate"}

# What is taken from a proxy for one: it is put into headers and lines of the log.
_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,200}")

_PROTOCOLS = {"1.0": "HTTP/1.0", "1.1": "HTTP/1.1"}


class Received(NamedTuple):
    """In the data of a process, once `Services.keeps_requests` was set: the request as it came, and
    the payload that was made of it. So a node can tell what the workflow left as it was, and has
    the bytes of it."""

    request: Request
    payload: dict[str, Any]


def to_payload(request: Request, most: int, guesses: bool = False) -> dict[str, Any]:
    """A request as a payload (BEHAVIOUR 8.2), its body decompressed to `most` bytes; one that
    `guesses` looks at a body without Content-Type (10.8).

    Raises InvalidArgument for a body without sense, UnsupportedCoding, BodyTooLarge.
    """
    payload: dict[str, Any] = {
        "method": request.method,
        "scheme": request.scheme,
        "host": request.host,
        "path": request.path,
        "query": mime.parse_form(request.query) if request.query else {},
        "protocol": _PROTOCOLS[request.version],
        "header": request.header_lists(),
    }
    body = request.body
    if isinstance(body, Stream):
        payload["body"] = body  # as it comes: neither decompressed nor decoded
    elif body or guesses:
        coding = request.header("content-encoding")
        if coding is not None and body:
            body = mime.decompress(body, coding, most)
        content_type = request.header("content-type")
        if not guesses or content_type:
            if body:
                payload["body"] = mime.decode(content_type, body)
        else:
            from greenflow.net.mime.guessing import guessed

            content_type, payload["body"] = guessed(body)
            payload["header"]["Content-Type"] = [content_type]
    return payload


def raw_body(request: Request) -> bytes:
    """The bytes of a body as they came, before anything was decoded."""
    return request.body if isinstance(request.body, bytes) else b""


def sent_body(request: Request) -> tuple[bytes | Stream, str | None]:
    """The bytes of a body without their codings, or its stream; and the charset that is told of it.
    Only of a request whose body was decoded before, within its limit."""
    body = request.body
    kind = mime.media_type(request.header("content-type") or "")
    coding = request.header("content-encoding")
    if isinstance(body, bytes) and coding is not None:
        body = mime.decompress(body, coding, DECOMPRESSED_BEFORE)
    return body, kind.parameters.get("charset")


def believe(proxies: Proxies, request: Request, payload: dict[str, Any]) -> None:
    """What a proxy says of the request counts if it is one of those; else nobody gets to see it."""
    header = payload["header"]
    if request.peer not in proxies:
        for name in FIELDS:
            header.pop(name, None)
        return
    said = origin(request)
    payload["scheme"] = said.scheme or payload["scheme"]
    payload["host"] = said.host or payload["host"]
    if request.client is not request.peer:
        header["X-Forwarded-For"] = [request.client[0]]


def identify(request: Request, proxies: Proxies | None) -> str:
    """What a request is called in logs: as a proxy that is believed calls it, else a new name."""
    return name_of_request(request.header(REQUEST_ID), request.peer, proxies)


def name_of_request(sent: str | None, peer: Address, proxies: Proxies | None) -> str:
    """The name of a request for which a peer sent one."""
    is_believed = sent is not None and proxies is not None and peer in proxies
    return sent if is_believed and sent and _REQUEST_ID.fullmatch(sent) else uuid4().hex


def respond_as(request_id: str, respond: Respond, response: Response) -> None:
    """Send a response that names its request."""
    headers = [each for each in response.headers if canonical_name(each[0]) != REQUEST_ID]
    headers.append((REQUEST_ID, request_id))
    respond(Response(response.status, headers, response.body, response.length))


def to_response(answer: Any, request: Request, answers: str = "auto") -> Response:
    """An answer as a response (BEHAVIOUR 8.3 to 8.5), by what a listener's spec says that
    `answers` are. Raises what the encoding of its body does, and NoResponse."""
    if answers == "body" or (reason := no_response(answer)):
        if answers == "response":
            raise NoResponse(f"the listener has `answers: response`, and this is none: {reason}")
        if answer is NOTHING or answer is None or type(answer) is Stream:
            return _response(200, None, answer, request)
        return _encoded(200, [], answer, None, None, request)
    status = answer.get("status") or 200
    if type(status) is not int or not 200 <= status <= 599:
        raise ValueError(f"{status!r} is no HTTP status from 200 to 599")
    return _response(status, answer.get("header"), answer.get("body", NOTHING), request)


def _response(status: int, header: Any, body: Any, request: Request) -> Response:
    """A response with headers of the workflow's own, or without a body to encode."""
    headers: list[tuple[str, str]] = []
    content_type = coding = None
    for name, value in _fields(header):
        lower = name.lower()
        if lower == "content-type":
            content_type = value
        elif lower == "content-encoding":
            coding = value
        elif lower not in _IGNORED:
            headers.append((canonical_name(name), value))
    if type(body) is Verbatim:
        if content_type is not None:
            headers.append(("Content-Type", content_type))
        if coding is not None:
            headers.append(("Content-Encoding", coding))
        return Response(status, headers, bytes(body))
    if type(body) is Stream:
        headers.append(("Content-Type", content_type or mime.BYTES))
        if coding is not None:
            headers.append(("Content-Encoding", coding))
        return Response(status, headers, body, body.length)
    if body is NOTHING or (body is None and content_type is None):
        if content_type is not None:
            headers.append(("Content-Type", content_type))
        return Response(status, headers, b"")
    return _encoded(status, headers, body, content_type, coding, request)


def _encoded(
    status: int,
    headers: list[tuple[str, str]],
    body: Any,
    content_type: str | None,
    coding: str | None,
    request: Request,
) -> Response:
    """A response whose body is written as its Content-Type, or the client, wants it."""
    content_type, encoded, negotiated = mime.encode(body, content_type, request.header("accept"))
    coded = False
    if coding is not None:  # the workflow's own word is carried out (BEHAVIOUR 10.4)
        encoded, coding = mime.compress(encoded, coding)
    elif len(encoded) >= mime.LEAST_BYTES and not _is_part(status, headers):
        accepted = request.header("accept-encoding")
        encoded, coding, coded = mime.negotiate(encoded, content_type, accepted)
        if coding is not None:
            headers = [_weakened(*field) for field in headers]
    if not headers and not coded and coding is None:
        # The same for every answer of its type, and so remembered by the server.
        return Response(status, _alone(content_type, negotiated), encoded)
    headers.append(("Content-Type", content_type))
    if coding is not None:
        headers.append(("Content-Encoding", coding))
    if negotiated or coded:
        asked = ("Accept",) * negotiated + ("Accept-Encoding",) * coded
        headers.append(("Vary", ", ".join(asked)))
    return Response(status, headers, encoded)


@lru_cache(maxsize=ALONE)
def _alone(content_type: str, negotiated: bool) -> tuple[tuple[str, str], ...]:
    """The headers of an answer that has none of its own but this."""
    varying = (("Vary", "Accept"),) if negotiated else ()
    return (("Content-Type", content_type), *varying)


def _is_part(status: int, headers: list[tuple[str, str]]) -> bool:
    """Whether the body is part of a larger one, whose bytes Content-Range counts (RFC 9110
    14.4)."""
    return status == 206 or any(name == "Content-Range" for name, _ in headers)


def _weakened(name: str, value: str) -> tuple[str, str]:
    """The field, of an answer that is compressed now: a strong ETag would claim that its bytes are
    those of the uncompressed one (RFC 9110 8.8.3.3)."""
    return name, f"W/{value}" if name == "Etag" and value.startswith('"') else value


def _fields(header: Any) -> Iterable[tuple[str, str]]:
    if header is None:
        return
    if type(header) is not dict:
        raise ValueError("the header of a response is a map")
    for name, values in header.items():
        for value in values if type(values) is list else [values]:
            if not isinstance(value, (str, int, float)):
                raise ValueError(f"the header {name} is no string")
            yield name, value if isinstance(value, str) else str(value)


def plain(status: int) -> Response:
    """A response that says no more than its status."""
    text = http.HTTPStatus(status).phrase.encode()
    return Response(status, [("Content-Type", "text/plain; charset=utf-8")], text)
