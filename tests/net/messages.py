"""Requests, good and nearly good, as bytes: strategies for property tests and for fuzzing."""

from __future__ import annotations

import gzip
from itertools import pairwise

from hypothesis import strategies as st

# What a body may hold, so that a reader who takes a wrong end reads a request there.
HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n"

LINES = [
    *(b"GET / HTTP/1.1", b"POST /b?c=%20&d HTTP/1.1", b"HEAD /e HTTP/1.1", b"PUT /f HTTP/1.0"),
    *(b"OPTIONS * HTTP/1.1", b"GET http://b/x HTTP/1.1", b"DELETE //..//g HTTP/1.1"),
]
BAD_LINES = [
    *(b"CONNECT a:1 HTTP/1.1", b"BREW / HTTP/1.1", b"GET / HTTP/2.0", b"GET  / HTTP/1.1"),
]

FIELDS = [
    *(b"Connection: close", b"Connection: keep-alive", b"Expect: 100-continue", b"TE: trailers"),
    *(b"Content_Length: 30", b"Connection: upgrade\r\nUpgrade: websocket", b"Upgrade: h2c"),
    *(b"Content-Encoding: gzip", b"Content-Encoding: br", b"Content-Encoding: zstd, deflate"),
    *(b"Content-Encoding: rot13", b"Accept: multipart/form-data, text/plain"),
    *(b"Accept: application/json;q=0.5, */*;q=0.1", b"Accept-Encoding: gzip, *;q=0"),
    *(b"Cookie: a=b; c", b"X: \xe4\xff", b"Range: bytes=0-1", b"Forwarded: for=x", b"X:\t y \t"),
]
BAD_FIELDS = [
    *(b"Host: b", b"Content-Length: 5, 5", b"Content-Length: +5", b"content-length : 7"),
    *(b"Content-Length: 1\r\n 0", b"Content-Length:", b"Content-Length: 5", b"X:\r\n\tz"),
    *(b"Transfer-Encoding: Chunked", b"Transfer-Encoding: gzip, chunked", b"X-\xe4: \xe4"),
    *(b"Transfer-Encoding : chunked", b"Transfer-Encoding:\x0bchunked", b"Transfer-Encoding: x"),
    *(b"Transfer-Encoding\t:chunked", b"X: y\nTransfer-Encoding: chunked", b"X: a\0"),
    *(b"Transfer-Encoding: chunked, identity", b"Expect: tea"),
]

# Content-Types with what is, or is nearly, a body of theirs.
CONTENTS = {
    b"": [b"", b"hello", HIDDEN, b"0\r\n\r\n" + HIDDEN, gzip.compress(b"x" * 40), b"\xff\0"],
    b"application/json": [b'{"a": [1, 1e5, null]}', b'"\\ud800"', b"[" * 300, b"1e999", b"{"],
    b"application/x-www-form-urlencoded": [b"a=b&c=%zz&a=", b"%ed%a0%80=\xff", b"&;==&%"],
    b"text/plain; charset=utf-16": [b"\xff\xfea\0", b"\xff\xfe\0\xd8", b"a"],
    b"text/plain; charset=x": [b"a"],
    b"multipart/form-data; boundary=b": [
        b'--b\r\nContent-Disposition: form-data; name="f"; filename="g"\r\n\r\nh\r\n--b--\r\n',
        b'--b\r\nContent-Disposition: form-data; name="f"\r\n\r\n\xff\r\n--b--\r\n',
        b"--b\r\n\r\n\r\n--b\r\n",
    ],
}

SIZES = [b"%x", b"%X", b"0%x"]
EXTENSIONS = [b"", b"", b"", b";a", b";a=b", b';a="b\\""', b" ; a = b"]
TRAILERS = [b"", b"", b"", b"X: y\r\n", b"Y:\r\nX: y\r\n"]
BAD_SIZES = [b"0x%x", b"+%x", b" %x", b"%x "]
BAD_EXTENSIONS = [b"; ", b";\n", b" a", b";a\r", b";\0"]
BAD_TRAILERS = [b"Content-Length: 9\r\n", b"Host: c\r\n", b"X : y\r\n", b" z\r\n", b"X: y\n"]

# What is put anywhere into a request.
NOISE = [
    *(b"\r", b"\n", b"\r\n", b"\r\n\r\n", b" ", b"\t", b"\0", b"\x0b", b"\x7f", b"\x80", b":"),
    *(b";", b",", b"0", b"1", b"f", b"-", b"+", b'"', b"\\", b"%", b"#", b"?", b"/", b"chunked"),
    *(b"\r\nContent-Length: 3\r\n", b"\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
]


def mostly(good: list[bytes], bad: list[bytes]) -> st.SearchStrategy[bytes]:
    """A good one, and now and then a bad one."""
    return st.integers(0, 9).flatmap(lambda chance: st.sampled_from(good if chance else bad))


@st.composite
def chunked(draw: st.DrawFn, body: bytes) -> bytes:
    """A body in chunks, now and then against the grammar."""
    cuts = sorted(draw(st.sets(st.integers(0, len(body)), max_size=3)) | {0, len(body)})
    coded = b""
    for start, end in pairwise(cuts):
        size = draw(mostly(SIZES, BAD_SIZES)) % (end - start)
        extension = draw(mostly(EXTENSIONS, BAD_EXTENSIONS))
        coded += size + extension + b"\r\n" + body[start:end] + b"\r\n"
    return coded + b"0\r\n" + draw(mostly(TRAILERS, BAD_TRAILERS)) + b"\r\n"


@st.composite
def request(draw: st.DrawFn) -> bytes:
    """One request; most are good."""
    content_type = draw(st.sampled_from(list(CONTENTS)))
    body = draw(mostly(CONTENTS[content_type], [gzip.compress(b"{}"), b"x", b""]))
    fields = [b"Host: a", *draw(st.lists(st.sampled_from(FIELDS), max_size=2))]
    if content_type:
        fields.append(b"Content-Type: " + content_type)
    if not draw(st.integers(0, 9)):
        fields += [draw(st.sampled_from(BAD_FIELDS))]
    framing = draw(st.sampled_from(["length", "length", "chunked", "chunked", "none"]))
    if framing == "length":
        fields.append(b"Content-Length: %d" % len(body))
    elif framing == "chunked":
        fields.append(b"Transfer-Encoding: chunked")
        body = draw(chunked(body))
    else:
        body = b""
    line = draw(mostly(LINES, BAD_LINES))
    return b"\r\n".join((line, *draw(st.permutations(fields)), b"", body))


@st.composite
def mutated(draw: st.DrawFn, data: bytes) -> bytes:
    """The bytes with up to three places changed."""
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 1, 2]))):
        at = draw(st.integers(0, len(data)))
        removed = draw(st.sampled_from([0, 0, 1, 1, 2, 5, 30]))
        noise = draw(st.sampled_from(NOISE) | st.binary(max_size=2))
        data = data[:at] + noise + data[at + removed :]
    return data


STREAMS = st.lists(request(), min_size=1, max_size=3).map(b"".join).flatmap(mutated)
"""What one client sends on one connection."""


@st.composite
def pieces(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """The bytes as they may arrive."""
    cuts = sorted(draw(st.sets(st.integers(0, len(data)), max_size=4)) | {0, len(data)})
    return [data[start:end] for start, end in pairwise(cuts)]
