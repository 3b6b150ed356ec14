"""Bodies that are texts, by their charset (BEHAVIOUR 10.1)."""

from __future__ import annotations

import codecs
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenflow.errors import EncodeError, InvalidArgument
from greenflow.net.mime import decode, encode

TEXTS = [
    *("text/html", "text/csv", "text/xml", "text/css", "text/markdown", "text/event-stream"),
    *("application/xml", "application/soap+xml", "image/svg+xml", "application/xhtml+xml"),
    *("application/atom+xml", "application/xml-dtd", "TEXT/X-Something", "application/yaml"),
    *("application/javascript", "application/openapi+yaml", "application/graphql"),
]
XML = '<?xml version="1.0" encoding="%s"?><a>\xe4</a>'


@pytest.mark.parametrize("kind", [*TEXTS, "text/plain"])
def test_texts_are_strings(kind: str) -> None:
    assert decode(kind, "ä€".encode()) == "ä€"
    assert decode(f"{kind}; charset=iso-8859-1", b"\xe4") == "ä"
    assert decode(f'{kind}; charset="windows-1252"', b"\x80") == "€"
    assert decode(f'{kind}; charset=""', "\ufeffä".encode()) == "ä"
    assert decode(kind, b"") == ""


@pytest.mark.parametrize("kind", [*TEXTS, "text/plain"])
@pytest.mark.parametrize("charset", ["utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_a_byte_order_mark_is_taken_off(kind: str, charset: str) -> None:
    marked = "\ufeffä€\ufeff" if charset[-2:] in ("-8", "le", "be") else "ä€\ufeff"
    body = marked.encode(charset)
    assert decode(kind, body) == "ä€\ufeff"
    assert decode(f"{kind}; charset={charset}", body) == "ä€\ufeff"


@pytest.mark.parametrize("kind", TEXTS)
def test_what_is_in_no_charset_that_is_known_stays_as_it_is(kind: str) -> None:
    assert decode(kind, b"M\xfcller") == b"M\xfcller"


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("text/plain", b"\xff"),
        ("text/html; charset=utf-8", b"\xff"),
        ("text/csv; charset=ascii", b"\xff"),
        ("text/csv; charset=klingon", b"x"),
        ("text/csv", codecs.BOM_UTF8 + b"\xff"),
        ("text/csv", codecs.BOM_UTF16_LE + b"\x00\xd8"),
        ("application/xml", XML.encode("latin-1") % b"utf-8"),
    ],
)
def test_a_text_that_is_not_what_it_claims(content_type: str, body: bytes) -> None:
    with pytest.raises(InvalidArgument) as error:
        decode(content_type, body)
    assert error.value.__cause__ is not None


@pytest.mark.parametrize("quote", ['"', "'"])
def test_xml_says_its_charset_itself(quote: str) -> None:
    text = XML.replace('"', quote) % "iso-8859-1"
    assert decode("application/xml", text.encode("latin-1")) == text
    # and is written in it; the word of HTTP counts more (RFC 7303 3)
    assert encode(text, "application/xml")[1] == text.encode("latin-1")
    assert encode(text, "text/xml; charset=utf-8")[1] == text.encode()
    assert decode("text/xml; charset=utf-8", text.encode()) == text
    unknown = XML % "klingon"
    assert decode("application/xml", unknown.encode()) == unknown


def test_xml_that_does_not_fit_what_it_declares() -> None:
    with pytest.raises(EncodeError, match="application/xml"):
        encode((XML % "us-ascii"), "application/xml")


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_text_is_read_back(text: str) -> None:
    for charset in ("utf-8", "utf-16", "utf-32-be"):
        content_type, body, _ = encode(text, f"text/csv; charset={charset}")
        assert decode(content_type, body) == text.removeprefix("\ufeff")


# -- JSON and forms in other charsets ----------------------------------------------------------


@pytest.mark.parametrize(
    ("content_type", "body", "value"),
    [
        ("application/json; charset=iso-8859-1", b'["\xe4"]', ["ä"]),
        ("application/json; charset=iso-8859-1", '["ä"]'.encode(), ["ä"]),  # RFC 8259 8.1
        ("application/json; charset=utf-16", '["ä"]'.encode("utf-16"), ["ä"]),
        ("application/json; charset=utf-16le", '["ä"]'.encode("utf-16-le"), ["ä"]),
        ("application/hal+json; charset=klingon", b"[1]", [1]),
        ("application/x-www-form-urlencoded; charset=windows-1252", b"a=%80+%fc", {"a": ["€ ü"]}),
        ("application/x-www-form-urlencoded; charset=UTF-8", b"a=%c3%bc", {"a": ["ü"]}),
    ],
)
def test_other_types_have_charsets_too(content_type: str, body: bytes, value: Any) -> None:
    assert decode(content_type, body) == value


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json; charset=iso-8859-1", b"[\xe4"),
        ("application/json; charset=klingon", b"["),
        ("application/json; charset=utf-16", b"[\xff"),
        ("application/x-www-form-urlencoded; charset=klingon", b"a=b"),
    ],
)
def test_but_make_no_more_sense_by_them(content_type: str, body: bytes) -> None:
    with pytest.raises(InvalidArgument):
        decode(content_type, body)
