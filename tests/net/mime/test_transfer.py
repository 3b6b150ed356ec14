"""Content-Transfer-Encoding, and encoded words in names."""

from __future__ import annotations

import base64
import quopri

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenflow.errors import InvalidArgument
from greenflow.net.mime import transfer
from greenflow.net.mime.disposition import Disposition, parse_disposition
from greenflow.net.mime.transfer import decode_transfer, decode_words


@given(st.binary(max_size=400), st.sampled_from([4, 64, 262144]))
def test_what_was_encoded_is_read_back(data: bytes, slice_bytes: int) -> None:
    before = transfer.SLICE_BYTES
    transfer.SLICE_BYTES = slice_bytes
    try:
        assert decode_transfer(base64.encodebytes(data), "base64") == data
        written = quopri.encodestring(data, quotetabs=True)
        assert decode_transfer(written, "Quoted-Printable") == data
    finally:
        transfer.SLICE_BYTES = before
    for other in ("7bit", "8bit", "binary", "", "x-unknown"):
        assert decode_transfer(data, other) is data


@pytest.mark.parametrize("data", [b"AAE", b"A=AA", b"AA\xff="])
def test_no_base64(data: bytes) -> None:
    with pytest.raises(InvalidArgument) as error:
        decode_transfer(data, "BASE64")
    assert "base64" in str(error.value.__cause__)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("=?utf-8?B?w6Q=?=", "ä"),
        ("=?iso-8859-1?q?=E4_b?=", "ä b"),
        ("=?utf-8*de?Q?=C3=A4?= =?utf-8?Q?b?=", "äb"),
        ("a =?utf-8?Q?b?= c", "a b c"),
        ("a=?b", "a=?b"),
        ("=?klingon?Q?b?=", "=?klingon?Q?b?="),
        ("=?utf-8?B?w?=", "=?utf-8?B?w?="),
        ("=?utf-8?B?/w==?=", "=?utf-8?B?/w==?="),
        ("=?utf-8?X?b?=", "=?utf-8?X?b?="),
    ],
)
def test_encoded_words(text: str, words: str) -> None:
    assert decode_words(text) == words


@pytest.mark.parametrize(
    ("text", "name", "filename"),
    [
        ("form-data; name=a;", "a", None),
        ("form-data;;name=a; ;filename=b", "a", "b"),
        ("form-data ; name = a ; filename = b c ", "a", "b c"),
        ("form-data; name=files[]", "files[]", None),
        ("attachment", None, None),
        ("attachment; filename*0=a; filename*1=b.txt", None, "ab.txt"),
        ("form-data; name=a; filename*0*=iso-8859-1''%E4; filename*1*=%F6", "a", "äö"),
        ("form-data; name=a; filename*0*=''%C3; filename*1*=%A4", "a", "ä"),
        ("form-data; name*=utf-8''%C3%A4", "ä", None),
    ],
)
def test_dispositions(text: str, name: str | None, filename: str | None) -> None:
    assert parse_disposition(text) == Disposition(name, filename)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "form-data name=a",
        'form-data; name="a" b',
        'form-data; name="a',
        "form-data; name",
        "form-data; name=a; filename*0=a; filename*2=b",
        "form-data; name=a; filename*0*=klingon''a",
        "form-data; name=a; filename*=a",
    ],
)
def test_no_dispositions(text: str) -> None:
    with pytest.raises(InvalidArgument) as error:
        parse_disposition(text)
    assert error.value.__cause__ is not None
