from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenflow.errors import BodyTooLarge, EncodeError, InvalidArgument, UnsupportedCoding
from greenflow.mime.coding import (
    LEAST_BYTES,
    MAX_MEMBERS,
    compress,
    decompress,
    negotiate,
)

LIMIT = 10_000
BODY = b"0123456789" * 300
RAW = zlib.compressobj(9, zlib.DEFLATED, -15)
RAW_BODY = RAW.compress(BODY) + RAW.flush()


@pytest.mark.parametrize(
    ("body", "header"),
    [
        (BODY, ""),
        (BODY, "identity"),
        (gzip.compress(BODY), "gzip"),
        (gzip.compress(BODY), " GZIP "),
        (gzip.compress(BODY), "x-gzip"),
        (gzip.compress(BODY[:1000]) + gzip.compress(BODY[1000:]), "gzip"),
        (zlib.compress(BODY), "deflate"),
        (RAW_BODY, "deflate"),
        (gzip.compress(zlib.compress(BODY)), "deflate, gzip"),
        (gzip.compress(BODY), "identity, gzip"),
    ],
)
def test_bodies_are_decompressed(body: bytes, header: str) -> None:
    assert decompress(body, header, LIMIT) == BODY


@pytest.mark.parametrize(
    ("body", "header"),
    [
        (BODY, "gzip"),
        (BODY, "deflate"),
        (b"", "gzip"),
        (gzip.compress(BODY)[:-1], "gzip"),
        (zlib.compress(BODY)[:-1], "deflate"),
        (gzip.compress(BODY)[:-8] + bytes(8), "gzip"),
        (gzip.compress(BODY) + b"more", "gzip"),
        (zlib.compress(BODY) + b"more", "deflate"),
        (gzip.compress(b"") * (MAX_MEMBERS + 2), "gzip"),
    ],
)
def test_bad_bodies(body: bytes, header: str) -> None:
    with pytest.raises(InvalidArgument) as error:
        decompress(body, header, LIMIT)
    assert error.value.__cause__ is not None


@pytest.mark.parametrize("header", ["br2", "gzip, klingon", "gzip, gzip, gzip"])
def test_unknown_codings(header: str) -> None:
    with pytest.raises(UnsupportedCoding) as error:
        decompress(BODY, header, LIMIT)
    assert error.value.status == 415


def test_the_limit_is_exact() -> None:
    for header, body in (("gzip", gzip.compress(BODY)), ("deflate", zlib.compress(BODY))):
        assert decompress(body, header, len(BODY)) == BODY
        with pytest.raises(BodyTooLarge) as error:
            decompress(body, header, len(BODY) - 1)
        assert error.value.status == 413
    members = gzip.compress(BODY[:1000]) + gzip.compress(BODY[1000:])
    with pytest.raises(BodyTooLarge):
        decompress(members, "gzip", len(BODY) - 1)


def test_a_bomb_is_not_blown_up() -> None:
    bomb = gzip.compress(gzip.compress(bytes(50_000_000)))
    with pytest.raises(BodyTooLarge):
        decompress(bomb, "gzip, gzip", LIMIT)


def test_a_coding_that_the_workflow_set_is_carried_out() -> None:
    assert compress(BODY, "identity") == (BODY, None)
    body, header = compress(BODY, "gzip")
    assert header == "gzip"
    assert gzip.decompress(body) == BODY
    body, header = compress(BODY, "deflate, X-Gzip")
    assert header == "deflate, gzip"
    assert decompress(body, header, LIMIT) == BODY
    with pytest.raises(EncodeError):
        compress(BODY, "klingon")


def test_compression_has_no_clock_in_it() -> None:
    assert compress(BODY, "gzip")[0][4:8] == bytes(4)


@pytest.mark.parametrize(
    ("accept", "coding"),
    [
        (None, None),
        ("", None),
        ("identity", None),
        ("gzip", "gzip"),
        ("GZip;q=0.5", "gzip"),
        ("x-gzip", "gzip"),
        ("deflate", "deflate"),
        ("deflate, gzip", "gzip"),
        ("deflate, gzip;q=0.9", "deflate"),
        ("br, zstd", None),
        ("br, *", "gzip"),
        ("*;q=0.5, gzip;q=0", "deflate"),
        ("gzip;q=0", None),
        ("*;q=0", None),
        ("identity, gzip;q=0.5", None),
        ("identity;q=0.5, gzip;q=0.5", "gzip"),
        ("identity;q=0", None),
        ("gzip;q=2", None),
        ("gzip;level=9", None),
    ],
)
def test_the_best_coding(accept: str | None, coding: str | None) -> None:
    body, header, depended = negotiate(BODY, "text/plain", accept)
    assert header == coding
    assert depended
    assert decompress(body, coding or "", LIMIT) == BODY
    assert (len(body) < len(BODY)) == (coding is not None)


@pytest.mark.parametrize(
    "content_type",
    [
        *("image/png", "Video/mp4; a=b", "application/zip", "font/woff2", "application/gzip"),
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ],
)
def test_compressed_media_are_left_alone(content_type: str) -> None:
    assert negotiate(BODY, content_type, "gzip") == (BODY, None, False)


@pytest.mark.parametrize(
    "content_type", ["text/html", "image/svg+xml", "application/json", "", "application/wasm"]
)
def test_other_media_are_compressed(content_type: str) -> None:
    assert negotiate(BODY, content_type, "gzip")[1] == "gzip"


def test_small_bodies_are_left_alone() -> None:
    assert negotiate(b"x" * (LEAST_BYTES - 1), "text/plain", "gzip")[1:] == (None, False)
    assert negotiate(b"x" * LEAST_BYTES, "text/plain", "gzip")[1:] == ("gzip", True)


def test_what_does_not_shrink_is_sent_as_it_is() -> None:
    noise = zlib.compress(b"".join(b"%d" % n**5 for n in range(2000)), 9)
    assert negotiate(noise, "application/octet-stream", "gzip") == (noise, None, True)


@given(st.binary(max_size=3000), st.sampled_from(["gzip", "deflate", "gzip, deflate"]))
def test_what_was_compressed_is_read_back(body: bytes, header: str) -> None:
    got, sent = compress(body, header)
    assert sent == header
    assert decompress(got, header, len(body) + 100) == body


@given(st.binary(max_size=200), st.sampled_from(["gzip", "deflate"]))
def test_no_bytes_make_it_fail(body: bytes, header: str) -> None:
    try:
        assert len(decompress(body, header, 1000)) <= 1000
    except (InvalidArgument, BodyTooLarge):
        return
