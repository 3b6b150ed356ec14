from __future__ import annotations

from gevent.event import Event

from greenflow.net.message import Request, Response, canonical_name
from tests.net.loopback import DEADLINE_SECONDS


def request(*headers: tuple[str, str]) -> Request:
    got = Request("GET", "/x?y", "/x", "y", "1.1", "a", list(headers))
    got.client = got.server = ("127.0.0.1", 1)
    return got


def test_headers_are_found_in_any_case() -> None:
    got = request(("host", "a"), ("X-One", "1"), ("x-ONE", "2"), ("Cookie", "a=1"), ("cookie", "b"))
    assert got.header("HOST") == "a"
    assert got.header("x-one") == "1, 2"
    assert got.header("Cookie") == "a=1; b"
    assert got.header("missing") is None


def test_headers_as_a_payload_has_them() -> None:
    got = request(("host", "a"), ("x-one", "1"), ("X-ONE", "2"))
    assert got.header_lists() == {"Host": ["a"], "X-One": ["1", "2"]}


def test_canonical_names() -> None:
    assert canonical_name("content-type") == "Content-Type"
    assert canonical_name("ETAG") == "Etag"
    assert canonical_name("x--Y") == "X--Y"


def test_a_late_callback_is_told_too() -> None:
    told = Event()
    gone = request()
    gone.on_disconnect = None
    gone.disconnected = True
    gone.on_disconnect = told.set
    assert gone.on_disconnect == told.set
    assert not told.is_set()
    assert told.wait(DEADLINE_SECONDS)


def test_neither_shows_a_header_or_a_body() -> None:
    secret = request(("Authorization", "secret"))
    secret.body = b"secret"
    assert repr(secret) == "<Request GET /x from 127.0.0.1>"
    assert repr(Response(200, [("Set-Cookie", "secret")], b"secret")) == "<Response 200>"
