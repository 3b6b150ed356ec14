from __future__ import annotations

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenflow.errors import EncodeError, InvalidArgument
from greenflow.net.mime import types
from greenflow.net.mime.types import (
    MAX_PARAMETERS,
    MAX_RANGES,
    REMEMBERED_LENGTH,
    MediaType,
    choose,
    codec_of,
    decode_text,
    media_type,
    utf8,
)

OFFERS = ("text/plain; charset=utf-8", "application/json; charset=utf-8")
TEXT, JSON = OFFERS


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("text/plain", MediaType("text/plain", {})),
        (
            " Text/HTML ;Charset=UTF-8; ; a=b",
            MediaType("text/html", {"charset": "UTF-8", "a": "b"}),
        ),
        (r'a/b; c="d;\"e\\"', MediaType("a/b", {"c": 'd;"e\\'})),
        ("a/b;c=1;c=2", MediaType("a/b", {"c": "1"})),
        ("a/b;", MediaType("a/b", {})),
        ("", MediaType("", {})),
        ("text", MediaType("", {})),
        ("text/", MediaType("", {})),
        ("text/plain x", MediaType("", {})),
        ("text/plain; x", MediaType("", {})),
        ('text/plain; x="y', MediaType("", {})),
        ("text/plain; x=y z", MediaType("", {})),
    ],
)
def test_media_types(text: str, expected: MediaType) -> None:
    assert media_type(text) == expected


@pytest.mark.parametrize(
    ("name", "is_json"),
    [
        ("application/json", True),
        ("Application/Problem+JSON", True),
        ("text/json", True),
        ("application/jsonp", False),
        ("application/json-seq", False),
        ("text/plain", False),
    ],
)
def test_json_types(name: str, is_json: bool) -> None:
    assert media_type(name).is_json is is_json


@given(st.text(alphabet='a/; \t="\\,q', max_size=40))
def test_no_content_type_makes_it_fail(text: str) -> None:
    assert isinstance(media_type(text), MediaType)
    assert choose(text, OFFERS) in OFFERS


@pytest.mark.parametrize(
    ("charset", "codec"),
    [
        ("utf-8", "utf-8"),
        ("UTF8", "utf-8"),
        ("ISO-8859-1", "iso8859-1"),
        ("Shift_JIS", "shift_jis"),
    ],
)
def test_charsets(charset: str, codec: str) -> None:
    assert codec_of(charset) == codec


@pytest.mark.parametrize(
    "charset",
    [
        *("", "klingon", "utf-7", "base64", "rot13", "zip", "idna", "punycode", "tactis", "mbcs"),
        *("unicode_escape", "raw_unicode_escape", "undefined", "..sys", "a\0b", "x" * 1000),
    ],
)
def test_what_is_no_charset(charset: str) -> None:
    with pytest.raises(InvalidArgument):
        codec_of(charset)


def test_unknown_charsets_are_not_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python remembers every name it was ever asked for."""

    def lookup(name: str) -> codecs.CodecInfo:
        raise AssertionError(name)

    monkeypatch.setattr(codecs, "lookup", lookup)
    with pytest.raises(InvalidArgument):
        codec_of("never-heard-of")


def test_text() -> None:
    assert decode_text("ä".encode(), None) == "ä"
    assert decode_text(b"\xe4", "latin-1") == "ä"
    assert utf8("ä") == "ä".encode()
    for body, charset in ((b"\xe4", None), (b"\xe4", "us-ascii"), (b"\0\xd8", "utf-16-le")):
        with pytest.raises(InvalidArgument) as error:
            decode_text(body, charset)
        assert isinstance(error.value.__cause__, UnicodeDecodeError)
    with pytest.raises(EncodeError):
        utf8("\ud800")


@pytest.mark.parametrize(
    ("accept", "offer"),
    [
        (None, TEXT),
        ("", TEXT),
        ("*/*", TEXT),
        ("application/json", JSON),
        ("APPLICATION/JSON", JSON),
        ("application/*", JSON),
        ("application/json, text/plain", JSON),
        ("text/plain, application/json", TEXT),
        ("*/*, application/json", TEXT),
        ("text/plain;q=0.5, application/json;q=0.9", JSON),
        ("text/plain;q=0.9, */*;q=0.5", TEXT),
        ("text/plain;q=0.1, */*;q=0.5", JSON),
        ("*/*;q=0.9, text/plain;q=0", JSON),
        ("text/plain;q=0", TEXT),
        ("text/plain;q=0, application/json;q=0", TEXT),
        ("image/png", TEXT),
        ("image/png, application/json;q=0.001", JSON),
        ("text/*;q=0.3, text/plain;q=0.1, application/json;q=0.2", JSON),
        ("application/json;version=1", JSON),
        ("text/plain;q=0.1, text/plain;format=flowed, application/json;q=0.5", TEXT),
        ("application/json;q=1.0;ext=1, text/plain;q=0.9", JSON),
        ("application/json;q=2, text/plain;q=0.1", TEXT),
        ("application/json;q=, text/plain;q=0.1", TEXT),
        ('application/json;a=",text/plain", text/plain;q=0.2', JSON),
        ("nonsense, application/json", JSON),
        ("application/vnd.api+json", TEXT),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", TEXT),
        ("application/json" + "," * 2 * REMEMBERED_LENGTH, JSON),
    ],
)
def test_the_best_offer(accept: str | None, offer: str) -> None:
    assert choose(accept, OFFERS) == offer


@given(
    st.text(max_size=60),
    st.sampled_from(["utf-8", "utf-16", "utf-32", "gb18030", "latin-1", "shift_jis", "utf-8-sig"]),
    st.binary(max_size=3),
    st.integers(1, 9),
)
def test_a_long_text_is_decoded_as_a_short_one(
    text: str, codec: str, noise: bytes, size: int
) -> None:
    body = text.encode(codec, "ignore") + noise

    def outcome() -> object:
        try:
            return decode_text(body, codec)
        except InvalidArgument as error:
            return type(error.__cause__)

    whole = outcome()
    kept, types.DECODED_BYTES = types.DECODED_BYTES, size
    try:
        assert outcome() == whole
    finally:
        types.DECODED_BYTES = kept


def test_where_a_long_text_is_wrong_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(types, "DECODED_BYTES", 5)
    with pytest.raises(InvalidArgument) as refused:
        decode_text("ääää".encode() + b"x\xff" + b"y" * 10, None)
    assert "position 9" in str(refused.value.__cause__)


@pytest.mark.parametrize("parameter", [";", "; a=b", '; a="b"'])
def test_parameters_have_a_limit(parameter: str) -> None:
    assert media_type("a/b" + parameter * MAX_PARAMETERS).name == "a/b"
    assert media_type("a/b" + parameter * (MAX_PARAMETERS + 1)).name == ""


def test_ranges_have_a_limit() -> None:
    assert choose("a/b, " * (MAX_RANGES - 1) + "application/json", OFFERS) == OFFERS[1]
    assert choose("a/b, " * MAX_RANGES + "application/json", OFFERS) == OFFERS[0]
