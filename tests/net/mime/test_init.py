from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from greenflow.errors import EncodeError, InvalidArgument
from greenflow.net.mime import decode, encode, parse_form

TEXT = "text/plain; charset=utf-8"
JSON = "application/json; charset=utf-8"
FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("content_type", "body", "value"),
    [
        ("application/json", b'{"a":1}', {"a": 1}),
        ("application/problem+json; charset=utf-8", b"[1.0]", [1.0]),
        ("text/plain", "ä".encode(), "ä"),
        ("text/plain;charset=ISO-8859-1", b"\xe4", "ä"),
        ("TEXT/PLAIN", b"", ""),
        (FORM, b"a=1&a=2", {"a": ["1", "2"]}),
        ("multipart/form-data; boundary=X", b"--X--", {"values": {}, "files": {}}),
        ("text/html", b"<p>", "<p>"),
        ("application/octet-stream", b"x", b"x"),
        ("nonsense", b"x", b"x"),
        ("", b"x", b"x"),
        (None, b"x", b"x"),
    ],
)
def test_bodies_become_values(content_type: str | None, body: bytes, value: Any) -> None:
    got = decode(content_type, body)
    assert got == value
    assert type(got) is type(value)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b""),
        ("application/json", b"{"),
        ("text/plain", b"\xff"),
        ("text/plain; charset=klingon", b"x"),
        ("multipart/form-data", b"--X--"),
        (FORM, b"a&" * 20_000),
    ],
)
def test_a_body_without_sense_says_why(content_type: str, body: bytes) -> None:
    with pytest.raises(InvalidArgument) as error:
        decode(content_type, body)
    assert str(error.value) == "invalid argument"
    assert error.value.__cause__ is not None


@pytest.mark.parametrize(
    ("value", "accept", "content_type", "body", "negotiated"),
    [
        ("pong", None, TEXT, b"pong", True),
        ("pong", "*/*", TEXT, b"pong", True),
        ("ä", "application/json", JSON, '"ä"\n'.encode(), True),
        ("pong", "image/png", TEXT, b"pong", True),
        (b"\xff", "text/plain", "application/octet-stream", b"\xff", False),
        ({"a": 1}, None, JSON, b'{"a":1}\n', True),
        ({"a": 1}, "text/plain", JSON, b'{"a":1}\n', True),
        ({"a": 1}, FORM, FORM, b"a=1", True),
        ({"a": {"b": 1}}, FORM, JSON, b'{"a":{"b":1}}\n', True),
        ({"a": {"b": 1}}, "multipart/*", JSON, b'{"a":{"b":1}}\n', True),
        ([1], "text/plain", JSON, b"[1]\n", False),
        (1, None, JSON, b"1\n", False),
        (None, None, JSON, b"null\n", False),
        (True, None, JSON, b"true\n", False),
        (ValueError("no"), None, JSON, b'"no"\n', False),
        (datetime(2026, 1, 2, tzinfo=UTC), None, JSON, b'"2026-01-02T00:00:00Z"\n', False),
    ],
)
def test_offers(
    value: Any, accept: str | None, content_type: str, body: bytes, negotiated: bool
) -> None:
    assert encode(value, None, accept) == (content_type, body, negotiated)


def test_multipart_is_offered_for_maps() -> None:
    content_type, body, negotiated = encode({"a": "1"}, None, "multipart/form-data")
    assert negotiated
    assert decode(content_type, body) == {"values": {"a": ["1"]}, "files": {}}


@pytest.mark.parametrize(
    ("value", "content_type", "body"),
    [
        ("<p>ä", "text/html", "<p>ä".encode()),
        ("ä", "text/plain; charset=latin-1", b"\xe4"),
        ("x", "application/json", b'"x"\n'),
        (None, "application/json", b"null\n"),
        ({"a": 1}, "application/hal+json", b'{"a":1}\n'),
        (b"\xff", "application/json", b'"/w=="\n'),
        (b"\xff", "image/png", b"\xff"),
        (None, "image/png", b""),
        (None, "text/plain", b""),
        ("a=b", FORM, b"a=b"),
        ({"a": "b c"}, FORM, b"a=b+c"),
        ([1, 2], "text/plain", b"[1,2]\n"),
        ("x", "nonsense", b"x"),
        (b"--X--", "multipart/mixed; boundary=X", b"--X--"),
    ],
)
def test_a_content_type_that_was_set_decides(value: Any, content_type: str, body: bytes) -> None:
    assert encode(value, content_type, "application/json;q=1") == (content_type, body, False)


def test_multipart_that_was_set_gets_a_boundary() -> None:
    content_type, body, _ = encode({"a": "1"}, "multipart/form-data")
    assert content_type.startswith("multipart/form-data; boundary=")
    assert decode(content_type, body)["values"] == {"a": ["1"]}
    kept, body, _ = encode({"a": "1"}, "multipart/form-data; boundary=X")
    assert kept == "multipart/form-data; boundary=X"
    assert decode(kept, body)["values"] == {"a": ["1"]}


@pytest.mark.parametrize(
    ("value", "content_type"),
    [
        ({"a": 1}, "image/png"),
        (1, "text/html"),
        ("ä", "text/plain; charset=us-ascii"),
        ("x", "text/plain; charset=klingon"),
        ("\ud800", None),
        ("\ud800", "text/html"),
        (float("nan"), None),
        ({"a": {"b": 1}}, FORM),
        ("text", "multipart/form-data"),
    ],
)
def test_what_cannot_be_encoded(value: Any, content_type: str | None) -> None:
    with pytest.raises(EncodeError):
        encode(value, content_type)


def test_queries_are_forms() -> None:
    assert parse_form("a=1&b") == {"a": ["1"], "b": [""]}
