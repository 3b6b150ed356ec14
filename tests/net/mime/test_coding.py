from __future__ import annotations

import gzip
import sys
import types
import zlib
from collections.abc import Iterator
from functools import partial

import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenflow.errors import BodyTooLarge, EncodeError, InvalidArgument, UnsupportedCoding
from greenflow.net.mime import coding
from greenflow.net.mime.coding import (
    LEAST_BYTES,
    MAX_MEMBERS,
    PIECE_BYTES,
    ZSTD_WINDOW_LOG,
    compress,
    decompress,
    negotiate,
)

try:
    from compression import zstd
except ImportError:  # before Python 3.14
    from backports import zstd

LIMIT = 10_000
BODY = b"0123456789" * 300
RAW = zlib.compressobj(9, zlib.DEFLATED, -15)
RAW_BODY = RAW.compress(BODY) + RAW.flush()
gzipped = partial(gzip.compress, mtime=0)  # a test is called the same each time


@pytest.mark.parametrize(
    ("body", "header"),
    [
        (BODY, ""),
        (BODY, "identity"),
        (gzipped(BODY), "gzip"),
        (gzipped(BODY), " GZIP "),
        (gzipped(BODY), "x-gzip"),
        (gzipped(BODY[:1000]) + gzipped(BODY[1000:]), "gzip"),
        (gzipped(BODY) + b"\0", "gzip"),
        (gzipped(BODY[:1000]) + gzipped(BODY[1000:]) + bytes(100_000), "gzip"),
        (zlib.compress(BODY), "deflate"),
        (RAW_BODY, "deflate"),
        (gzipped(zlib.compress(BODY)), "deflate, gzip"),
        (gzipped(BODY), "identity, gzip"),
        (gzipped(b"") * (MAX_MEMBERS - 1) + gzipped(BODY), "gzip"),
        (brotli.compress(BODY), "br"),
        (zstd.compress(BODY), "zstd"),
        (zstd.compress(BODY[:1000]) + zstd.compress(BODY[1000:]), "zstd"),
        (brotli.compress(zstd.compress(BODY)), "zstd, BR"),
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
        (gzipped(BODY)[:-1], "gzip"),
        (zlib.compress(BODY)[:-1], "deflate"),
        (gzipped(BODY)[:-8] + bytes(8), "gzip"),
        (gzipped(BODY) + b"more", "gzip"),
        (zlib.compress(BODY) + b"more", "deflate"),
        (gzipped(b"") * (MAX_MEMBERS + 1), "gzip"),
        (BODY, "br"),
        (b"", "br"),
        (brotli.compress(BODY)[:-1], "br"),
        (brotli.compress(BODY) + b"more", "br"),
        (brotli.compress(BODY) * 2, "br"),
        (BODY, "zstd"),
        (b"", "zstd"),
        (zstd.compress(BODY)[:-1], "zstd"),
        (zstd.compress(BODY) + b"more", "zstd"),
        (zstd.compress(b"") * (MAX_MEMBERS + 1), "zstd"),
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
    for header in ("gzip", "deflate", "br", "zstd"):
        body, _ = compress(BODY, header)
        assert decompress(body, header, len(BODY)) == BODY
        with pytest.raises(BodyTooLarge) as error:
            decompress(body, header, len(BODY) - 1)
        assert error.value.status == 413
    for header, one in (("gzip", gzip.compress), ("zstd", zstd.compress)):
        with pytest.raises(BodyTooLarge):
            decompress(one(BODY[:1000]) + one(BODY[1000:]), header, len(BODY) - 1)


@pytest.mark.parametrize("header", ["gzip", "deflate", "br", "zstd", "zstd, br"])
@pytest.mark.parametrize("size", [0, PIECE_BYTES, PIECE_BYTES + 1, 3_000_000])
def test_a_small_body_may_hold_a_large_one(header: str, size: int) -> None:
    body, _ = compress(b"x" * size, header)
    assert decompress(body, header, size + 100) == b"x" * size


@pytest.mark.parametrize("header", ["gzip", "gzip, gzip", "deflate", "br", "zstd", "br, zstd"])
def test_a_bomb_is_not_blown_up(header: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    add = coding._Content.add

    def counting(content: coding._Content, piece: bytes) -> None:
        made.append(len(piece))
        add(content, piece)

    monkeypatch.setattr(coding._Content, "add", counting)
    bomb, _ = compress(bytes(50_000_000), header)
    with pytest.raises(BodyTooLarge):
        decompress(bomb, header, LIMIT)
    # Brotli gives a little more than it is asked for.
    assert LIMIT < sum(made) < LIMIT + 2 * PIECE_BYTES


def test_a_frame_that_asks_for_much_memory_is_none() -> None:
    options = {
        zstd.CompressionParameter.window_log: ZSTD_WINDOW_LOG + 1,
        zstd.CompressionParameter.enable_long_distance_matching: 1,
    }
    stream = zstd.ZstdCompressor(options=options)
    body = stream.compress(BODY) + stream.flush()
    with pytest.raises(InvalidArgument):
        decompress(body, "zstd", LIMIT)


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
        ("br", "br"),
        ("br, zstd", "zstd"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip, deflate, br", "br"),
        ("br;q=0.1, *", "zstd"),
        ("lzma", None),
        ("*;q=0.5, zstd;q=0, br;q=0, gzip;q=0", "deflate"),
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


@pytest.fixture
def without_libraries(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No zstd, and a brotli that knows no limits."""
    old = types.ModuleType("brotli")
    old.Decompressor = object  # type: ignore[attr-defined]
    for name, module in (("brotli", old), ("compression.zstd", None), ("backports.zstd", None)):
        monkeypatch.setitem(sys.modules, name, module)
    coding.known_codings.cache_clear()
    yield
    coding.known_codings.cache_clear()


@pytest.mark.usefixtures("without_libraries")
def test_without_their_libraries_br_and_zstd_are_unknown() -> None:
    for name in ("br", "zstd"):
        with pytest.raises(UnsupportedCoding, match="not one of gzip, deflate"):
            decompress(BODY, name, LIMIT)
        with pytest.raises(EncodeError):
            compress(BODY, name)
    assert negotiate(BODY, "text/plain", "br, zstd, gzip;q=0.5")[1] == "gzip"
    assert negotiate(BODY, "text/plain", "br, zstd")[1:] == (None, True)


CODINGS = ["gzip", "deflate", "br", "zstd", "gzip, deflate", "br, zstd"]


@given(st.binary(max_size=3000), st.sampled_from(CODINGS))
def test_what_was_compressed_is_read_back(body: bytes, header: str) -> None:
    got, sent = compress(body, header)
    assert sent == header
    assert decompress(got, header, len(body) + 100) == body


@given(
    st.binary(max_size=200),
    st.sampled_from(["gzip", "deflate", "br", "zstd"]),
    st.integers(0, 60),
    st.booleans(),
)
def test_no_bytes_make_it_fail(noise: bytes, header: str, at: int, alone: bool) -> None:
    good, _ = compress(BODY, header)
    body = noise if alone else good[:at] + noise + good[at:]
    try:
        assert len(decompress(body, header, 1000)) <= 1000
    except (InvalidArgument, BodyTooLarge):
        return
