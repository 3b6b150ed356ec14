"""Our server, h11 and httptools read the same bytes: what ours serves, all read alike.

Whoever sits in front of the server reads requests with a parser of its own. If the two take
different bytes for a request, one client's bytes become another's request. So what our server
serves must be what the others read: method, target, headers, body, and where each ends. It may
refuse more than they do.

The differences that are allowed, each with its reason:

- h11 takes no empty line before a request (RFC 9112 2.2: a server SHOULD ignore at least one).
- h11 does not serve another request on a connection of HTTP/1.0; it is asked about each anew
  (RFC 9112 9.3 and its appendix C.2.2: `Connection: keep-alive`).
- httptools hands over to the new protocol where an upgrade is asked for; our server ignores the
  Upgrade (RFC 9110 7.8) and reads the body.
- Both take no blanks around a chunk extension (RFC 9112 7.1.1: BWS, which a recipient MUST parse).
- httptools gives trailer fields as headers; our server drops them (RFC 9110 6.5.1).
- h11 writes the names of transfer codings in lower case; they are so in any (RFC 9112 7).
"""

from __future__ import annotations

import base64
from typing import Any, NamedTuple

import h11
import httptools
import pytest
from hypothesis import HealthCheck, given, settings

from greenflow.net.message import Request
from tests.conformance.corpus import CASES, REFUSALS, Verdict, verdict
from tests.net.loopback import Recorder, serving
from tests.net.messages import STREAMS


class Message(NamedTuple):
    """A request as a parser read it; names of headers and of transfer codings in lower case."""

    method: str
    target: str
    version: str
    headers: list[tuple[str, str]]
    body: bytes


def field(name: str, value: str) -> tuple[str, str]:
    name = name.lower()
    return name, value.lower() if name == "transfer-encoding" else value


class Reading(NamedTuple):
    """The requests up to what a parser refuses, hands over or needs more of, and which it was."""

    requests: list[Message]
    end: str


def by_h11(data: bytes) -> Reading:
    found: list[Message] = []
    while True:
        while data.startswith(b"\r\n"):
            data = data[2:]
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=len(data) + 1)
        connection.receive_data(data)
        head, body = None, b""
        try:
            while not isinstance(event := connection.next_event(), h11.EndOfMessage):
                if isinstance(event, h11.Request):
                    head = event
                elif isinstance(event, h11.Data):
                    body += bytes(event.data)
                else:
                    return Reading(found, "needs more")
        except h11.RemoteProtocolError as error:
            return Reading(found, str(error))
        assert head is not None
        headers = [field(name.decode(), value.decode("latin-1")) for name, value in head.headers]
        method, target, version = (
            part.decode() for part in (head.method, head.target, head.http_version)
        )
        found.append(Message(method, target, version, headers, body))
        data = connection.trailing_data[0]


class Callbacks:
    """What httptools calls."""

    def __init__(self) -> None:
        self.found: list[Message] = []
        self._target, self._body, self._headers = b"", b"", []
        self._in_head = True
        self.parser = httptools.HttpRequestParser(self)

    def on_message_begin(self) -> None:
        self._target, self._body, self._headers = b"", b"", []
        self._in_head = True

    def on_url(self, part: bytes) -> None:
        self._target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:
            self._headers.append(field(name.decode(), value.decode("latin-1").strip(" \t")))

    def on_headers_complete(self) -> None:
        self._in_head = False

    def on_body(self, part: bytes) -> None:
        self._body += part

    def on_message_complete(self) -> None:
        method, version = self.parser.get_method().decode(), self.parser.get_http_version()
        target = self._target.decode("latin-1")
        self.found.append(Message(method, target, version, self._headers, self._body))


def by_httptools(data: bytes) -> Reading:
    callbacks = Callbacks()
    try:
        callbacks.parser.feed_data(data)
    except httptools.HttpParserUpgrade:
        return Reading(callbacks.found, "upgrade")
    except httptools.HttpParserError as error:
        return Reading(callbacks.found, str(error))
    return Reading(callbacks.found, "needs more")


def by_us(request: Request) -> Message:
    headers = [field(name, value) for name, value in request.headers]
    assert isinstance(request.body, bytes)
    return Message(request.method, request.target, request.version, headers, request.body)


def closes(message: Message) -> bool:
    options = {
        option.strip().lower()
        for name, value in message.headers
        if name == "connection"
        for option in value.split(",")
    }
    return "close" in options or (message.version == "1.0" and "keep-alive" not in options)


def check(data: bytes, ours: Verdict) -> None:
    """Compares what was served with the other readings."""
    served = [by_us(request) for request in ours.requests]
    finals = [status for status in ours.statuses if status != 100]
    assert finals[: len(served)] == [200] * len(served)
    refusals = finals[len(served) :]
    assert len(refusals) <= 1
    assert set(refusals) <= REFUSALS

    theirs, end = by_h11(data)
    common = min(len(served), len(theirs))
    assert served[:common] == theirs[:common]
    if common < len(served):
        assert end.startswith("illegal chunk header")
    elif common < len(theirs):
        # What follows was refused, or stands behind an end that both sides know of.
        assert refusals or closes(served[-1])

    theirs, end = by_httptools(data)
    if end == "upgrade":
        assert "upgrade" in dict(theirs[-1].headers) or theirs[-1].method == "CONNECT"
        del theirs[-1]
    common = min(len(served), len(theirs))
    assert served[:common] == theirs[:common]
    if common < len(served) and end != "upgrade":
        assert end in ("Invalid character in chunk extensions", "Invalid character in chunk size")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_what_is_served_of_a_case_is_read_alike(case: dict[str, Any]) -> None:
    data = base64.b64decode(case["bytes_base64"])
    recorder = Recorder()
    with serving(recorder) as served:
        check(data, verdict([data], served, recorder))


@settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
@given(STREAMS)
def test_what_is_served_is_read_alike(data: bytes) -> None:
    recorder = Recorder()
    with serving(recorder) as served:
        check(data, verdict([data], served, recorder))
