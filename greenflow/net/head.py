"""From the bytes of a header section to a Request: httptools checks, this module judges.

llhttp reads the header section in its strict mode: method, field names and values, obs-fold, bare
CR and LF, Content-Length and Transfer-Encoding against each other. Only then are the lines cut into
names and values. What RFC 9112 and 9110 ask for beyond that is judged here: the protocol's name and
version, the forms of the target, Host, Expect, transfer codings. Whoever is refused gets no second
reading: `Refused` carries the status.

Nothing here does I/O or switches greenlets. A parser is shared by all connections of a server,
since each header section is fed whole, from its first byte to its empty line; bodies are framed by
the connection.
"""

from __future__ import annotations

import re
from functools import lru_cache

from httptools import (
    HttpParserError,
    HttpParserInvalidMethodError,
    HttpParserUpgrade,
    HttpRequestParser,
)

from greenflow.net.grammar import BLANKS, TOKEN, TOKEN_CHARACTERS, elements
from greenflow.net.limits import Limits
from greenflow.net.message import Request
from greenflow.net.refusal import Refused

# Header names remembered with their meaning; see CANONICAL_NAMES in greenflow.net.message.
FIELD_NAMES = 1024

# Digits of a Content-Length that is worth reading: more than 10^18 bytes is no body, it is an
# overflow being tried.
LENGTH_DIGITS = 18

# RFC 9112 3: three words, one space between. The target is visible ASCII; browsers send some of it
# that RFC 3986 does not have, such as | and ", and mean no harm.
_REQUEST_LINE = re.compile(rf"({TOKEN}) ([\x21-\x7e]+) HTTP/(1\.[01])\r\n")
_ANY_VERSION = re.compile(rf"{TOKEN} [\x21-\x7e]+ HTTP/[0-9]\.[0-9]\r\n")

# A line feed without its carriage return (RFC 9112 2.2 lets a server refuse it), and what can begin
# no request: found in a header section that is not whole yet, they end the wait.
_BARE_LF = re.compile(rb"(?<!\r)\n")
_NOT_A_START = re.compile(rf"\r[^\n]|[^{TOKEN_CHARACTERS}\r]".encode())

# RFC 9112 3.2 and RFC 3986 3.2.2: uri-host [ ":" port ]; an empty one is allowed.
_HOST = re.compile(
    r"(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})*(?::[0-9]*)?"
    r"|\[[0-9A-Fa-fv:.][0-9A-Za-z\-._~!$&'()*+,;=:]*\](?::[0-9]*)?"
)

# RFC 9112 3.2.2: scheme, authority, path, query.
_ABSOLUTE = re.compile(r"(?i:(https?)://)([^/?]*)([^?]*)(?:\?(.*))?")

# The header fields that decide framing or routing, in lower case.
_FRAMING = frozenset(
    ("connection", "content-length", "expect", "host", "transfer-encoding"),
)


# Characters of a Host whose verdict is remembered: a name of 253 (RFC 1035 2.3.4), a colon, a port.
HOST_LENGTH = 260


@lru_cache(maxsize=FIELD_NAMES)
def _framing(name: str) -> str:
    """The field's name in lower case if it is one of _FRAMING, else empty."""
    lower = name.lower()
    return lower if lower in _FRAMING else ""


@lru_cache(maxsize=FIELD_NAMES)
def _is_host(text: str) -> bool:
    return _HOST.fullmatch(text) is not None


def check_start(data: bytes, scanned: int, limits: Limits) -> None:
    """Refuses a header section that is not whole yet and can no longer become a good one. The
    first `scanned` bytes were looked at before."""
    if _NOT_A_START.match(data):
        raise Refused(400, "the first byte begins no method (RFC 9112 3)")
    if _BARE_LF.search(data, max(0, scanned - 1)):
        raise Refused(400, "line feed without carriage return (RFC 9112 2.2)")
    if len(data) > limits.request_line:
        line = data.find(b"\r\n")
        if line < 0 or line > limits.request_line:
            raise Refused(414, f"request line over {limits.request_line} bytes")
        if len(data) > limits.header_size:
            raise Refused(431, f"header section over {limits.header_size} bytes")


class HeadParser:
    """Turns header sections into requests. One for each server: it is used by one thread."""

    def __init__(self) -> None:
        self._has_upgrade = False
        self._renew()

    def _renew(self) -> None:
        """A parser that expects a request line."""
        self._parser = HttpRequestParser(self)
        self._reusable = False

    def on_message_complete(self) -> None:
        """Called by httptools."""
        self._reusable = self._parser.should_keep_alive()

    def parse(self, head: bytes, limits: Limits) -> Request:
        """The request that the header section `head` begins, which ends with its empty line.

        Raises Refused with 400, 414, 417, 431, 501 or 505.
        """
        text = head.decode("latin-1")
        match = _REQUEST_LINE.match(text)
        if match is None:
            raise _bad_request_line(text, limits)
        method, target, version = match.groups()
        if len(head) > limits.request_line and match.end() - 2 > limits.request_line:
            raise Refused(414, f"request line over {limits.request_line} bytes")
        if len(head) > limits.header_size:
            raise Refused(431, f"header section over {limits.header_size} bytes")
        self._feed(head)
        headers, framing = _fields(text[match.end() : -4])
        if len(headers) > limits.header_count:
            raise Refused(431, f"more than {limits.header_count} header fields")
        request = _judge(method, target, version, headers, framing)
        if self._has_upgrade:  # which HTTP/1.0 does not have (RFC 9110 7.8)
            self._has_upgrade = False
            request.wants_upgrade = version == "1.1"
        return request

    def _feed(self, head: bytes) -> None:
        """Has llhttp read the header section. A parser is used again only if it said itself that
        the message is complete and the next one may follow; one with a body, an upgrade, a close or
        an error behind it is not."""
        reusable, self._reusable, self._has_upgrade = False, False, False
        try:
            self._parser.feed_data(head)
            reusable = self._reusable
        except HttpParserUpgrade:
            # The fields Upgrade and Connection ask for another protocol, which a server may ignore
            # (RFC 9110 7.8): the header section was read whole.
            self._has_upgrade = True
        except HttpParserInvalidMethodError as error:
            raise Refused(501, f"method unknown: {error} (RFC 9110 9.1)") from error
        except HttpParserError as error:
            raise Refused(400, str(error)) from error
        finally:
            if not reusable:
                self._renew()


def _fields(lines: str) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """The header fields, and those of _FRAMING, of lines that llhttp found sound: each has a name
    and a colon, and none goes on in the next one. (Its own callbacks for each field would take
    twice as long.)"""
    headers: list[tuple[str, str]] = []
    framing: list[tuple[str, str]] = []
    if lines:
        for line in lines.split("\r\n"):
            name, _, value = line.partition(":")
            value = value.strip(BLANKS)
            headers.append((name, value))
            kind = _framing(name)
            if kind:
                framing.append((kind, value))
    return headers, framing


def _bad_request_line(head: str, limits: Limits) -> Refused:
    if head.find("\r\n") > limits.request_line:
        return Refused(414, f"request line over {limits.request_line} bytes")
    if _ANY_VERSION.match(head):
        return Refused(505, "the version is neither HTTP/1.0 nor HTTP/1.1 (RFC 9110 15.6.6)")
    return Refused(400, "the request line is not method, target and version (RFC 9112 3)")


def _judge(
    method: str,
    target: str,
    version: str,
    headers: list[tuple[str, str]],
    framing: list[tuple[str, str]],
) -> Request:
    """The request, if its target and framing fields are sound and mean one thing only."""
    host: str | None = None
    length: str | None = None
    codings = connection = expectation = ""
    for name, value in framing:
        if name == "host":
            if host is not None:
                raise Refused(400, "more than one Host (RFC 9112 3.2)")
            host = value
        elif name == "connection":
            connection = f"{connection},{value}"
        elif name == "content-length":
            if length is not None:
                # Also if they are equal (RFC 9110 8.6 leaves the choice).
                raise Refused(400, "more than one Content-Length (RFC 9112 6.3)")
            length = value
        elif name == "transfer-encoding":
            codings = f"{codings},{value}"
        else:
            expectation = f"{expectation},{value}"

    if host is None:
        if version == "1.1":
            raise Refused(400, "no Host (RFC 9112 3.2)")
        host = ""
    elif not (_is_host(host) if len(host) <= HOST_LENGTH else _HOST.fullmatch(host)):
        raise Refused(400, "Host is no authority (RFC 9112 3.2)")
    scheme = "http"
    if target[0] == "/" and method != "CONNECT":
        path, query = target, ""
        if "?" in target:
            path, _, query = target.partition("?")
    else:
        scheme, host, path, query = _other_form(method, target, host)
    if "#" in target:
        raise Refused(400, "fragment in the target (RFC 9112 3.2)")

    request = Request(method, target, path, query, version, host, headers, scheme)
    if codings:
        _judge_codings(codings, length, version)
        request.chunked = True
    elif length is not None:
        request.content_length = _judge_length(length)
    if connection:
        options = elements(connection)
        request.keep_alive = "close" not in options and (
            version == "1.1" or "keep-alive" in options
        )
    if expectation and version == "1.1":
        # RFC 9110 10.1.1: in a request of HTTP/1.0 the expectation is ignored.
        if expectation.lower() != ",100-continue":
            raise Refused(417, "the only expectation known is 100-continue (RFC 9110 10.1.1)")
        request.expects_continue = True
    return request


def _other_form(method: str, target: str, host: str) -> tuple[str, str, str, str]:
    """Scheme, host, path and query of a target that is no path (RFC 9112 3.2.2 to 3.2.4)."""
    if method == "CONNECT":
        # A 2xx to CONNECT makes the connection a tunnel (RFC 9110 9.3.6); no handler may send one.
        raise Refused(501, "CONNECT is for proxies (RFC 9110 9.3.6)")
    if target == "*":
        if method != "OPTIONS":
            raise Refused(400, "the target * is for OPTIONS (RFC 9112 3.2.4)")
        return "http", host, "*", ""
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None:
        raise Refused(400, "the target is neither a path nor an http URI (RFC 9112 3.2)")
    scheme, authority, path, query = absolute.groups(default="")
    if not authority or _HOST.fullmatch(authority) is None:
        # Also user names in it (RFC 9110 4.2.4).
        raise Refused(400, "the target's authority is no host and port (RFC 9110 4.2)")
    return scheme.lower(), authority, path or "/", query


def _judge_codings(codings: str, length: str | None, version: str) -> None:
    """Refuses every transfer coding but chunked, once. `codings` begins with a comma."""
    if version == "1.0":
        raise Refused(400, "Transfer-Encoding in HTTP/1.0 (RFC 9112 6.1)")
    if length is not None:
        raise Refused(400, "Transfer-Encoding and Content-Length together (RFC 9112 6.3)")
    names = elements(codings[1:])
    if names[-1] != "chunked" or names.count("chunked") > 1:
        raise Refused(400, "chunked is not the last and only the last coding (RFC 9112 6.3)")
    if len(names) > 1:
        raise Refused(501, "a transfer coding besides chunked (RFC 9112 6.1)")


def _judge_length(digits: str) -> int:
    if not (digits.isascii() and digits.isdigit()):
        raise Refused(400, "Content-Length is not a number (RFC 9110 8.6)")
    if len(digits) > LENGTH_DIGITS:
        raise Refused(413, "Content-Length beyond any limit")
    return int(digits)
