from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenflow.net.chunked import LINE_BYTES, ChunkedDecoder
from greenflow.net.limits import Limits
from greenflow.net.refusal import Refused


def decode(data: bytes, limits: Limits | None = None) -> tuple[bytes, bytes]:
    decoder = ChunkedDecoder(limits or Limits())
    assert decoder.feed(data)
    return decoder.body, decoder.rest


@pytest.mark.parametrize(
    ("data", "body"),
    [
        (b"0\r\n\r\n", b""),
        (b"000\r\n\r\n", b""),
        (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", b"0123456789" * 2),
        (b"2\r\n\r\n\r\n0\r\n\r\n", b"\r\n"),
        (b"1;a\r\nx\r\n0;b=c\r\n\r\n", b"x"),
        (b"1 ; a = b\t;c\r\nx\r\n0\r\n\r\n", b"x"),
        (b'1;a="b;\\"\r\nx\r\n'.replace(b'\\"', b'\\""') + b"0\r\n\r\n", b"x"),
        (b"0\r\nX: y\r\nTrailer-Two:\r\n\r\n", b""),
        (b"0\r\nContent-Type: text/plain\r\n\r\n", b""),
    ],
)
def test_good_bodies(data: bytes, body: bytes) -> None:
    assert decode(data) == (body, b"")
    assert decode(data + b"GET /") == (body, b"GET /")


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n",
        b"g\r\n",
        b"-1\r\n",
        b"+1\r\n",
        b"0x1\r\n",
        b"1_0\r\n",
        b" 1\r\nx",
        b"1 \r\nx",
        b"1;\r\nx",
        b"1;a=\r\nx",
        b'1;a="b\r\nx',
        b"1;a\x01\r\nx",
        b"1 a\r\nx",
        b"1\nx",
        b"1\rx\r\n",
        b"1\r\nxy\r\n",
        b"1\r\nxy",
        b"1\r\nx\n",
        b"1\r\nx\r\r\n",
        b"1\r\nx0\r\n\r\n",
        b"f" * 16 + b"\r\n",
        b"0" * 16 + b"\r\n",
        b"0\r\nX : y\r\n\r\n",
        b"0\r\n X: y\r\n\r\n",
        b"0\r\nX: y\r\n z\r\n\r\n",
        b"0\r\nX\r\n\r\n",
        b"0\r\nX: \0\r\n\r\n",
        b"0\r\n\n",
        b"0\r\nContent-Length: 1\r\n\r\n",
        b"0\r\ntransfer-encoding: chunked\r\n\r\n",
        b"0\r\nHOST: b\r\n\r\n",
        b"0\r\nX: y\r\nAuthorization: Basic eA==\r\n\r\n",
        b"0\r\nIf-Match: x\r\n\r\n",
        b"0\r\nCookie: a=b\r\n\r\n",
        b"0\r\nContent-Encoding: gzip\r\n\r\n",
        b"0\r\nConnection: close\r\n\r\n",
        b"1;" + b"a" * LINE_BYTES,
    ],
)
def test_bad_bodies(data: bytes) -> None:
    with pytest.raises(Refused) as refused:
        ChunkedDecoder(Limits()).feed(data)
    assert refused.value.status == 400


def test_limits() -> None:
    limits = Limits(body=10, header_size=20, header_count=2)
    assert decode(b"5\r\nhello\r\n5\r\nworld\r\n0\r\n\r\n", limits)[0] == b"helloworld"
    for data, status in (
        (b"b\r\n", 413),
        (b"5\r\nhello\r\n6\r\n", 413),
        (b"1;aaaaaaaaa\r\nx\r\n" * 2, None),
        (b"1;aaaaaaaaa\r\nx\r\n" * 3, 400),
        (b"0\r\na:1\r\nb:2\r\nc:3\r\n", 431),
        (b"0\r\na:" + b"x" * 20 + b"\r\n", 431),
        (b"0\r\na:" + b"x" * LINE_BYTES, 431),
    ):
        decoder = ChunkedDecoder(limits)
        if status is None:
            assert not decoder.feed(data)
            continue
        with pytest.raises(Refused) as refused:
            decoder.feed(data)
        assert refused.value.status == status


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8), st.binary(max_size=10), st.data())
def test_the_pieces_do_not_matter(chunks: list[bytes], rest: bytes, data: st.DataObject) -> None:
    coded = b"".join(b"%x;e=1\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    coded += b"0\r\nX: y\r\n\r\n"
    whole = coded + rest
    cuts = sorted(data.draw(st.sets(st.integers(0, len(coded) - 1), max_size=6)))
    decoder = ChunkedDecoder(Limits())
    for start, end in zip((0, *cuts), cuts, strict=False):
        assert not decoder.feed(whole[start:end])
    assert decoder.feed(whole[(cuts or [0])[-1] :])
    assert decoder.body == b"".join(chunks)
    assert decoder.rest == rest


@given(st.binary(max_size=60), st.integers(1, 5))
def test_noise_is_refused_or_waited_for_alike_in_pieces(noise: bytes, size: int) -> None:
    def outcome(pieces: list[bytes]) -> object:
        decoder = ChunkedDecoder(Limits(body=100))
        try:
            for piece in pieces:
                if decoder.feed(piece):
                    return decoder.body
        except Refused as refused:
            return refused.status
        return None

    whole = outcome([b"3\r\nabc\r\n" + noise])
    pieces = [noise[at : at + size] for at in range(0, len(noise), size)]
    assert outcome([b"3\r\nabc\r\n", *pieces]) == whole
