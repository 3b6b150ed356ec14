"""What one client may ask of a server: sizes, counts and times, each with its reason.

A limit guards the server's memory or time against a client that is slow, broken or hostile; it
is no statement about what is sensible HTTP. They can be changed while connections are open: the
next request uses the new ones.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one server; a request beyond one is answered as named, then its connection
    is closed (BEHAVIOUR 8.9)."""

    # Bytes of method, target and version: 414. RFC 9112 3 asks for 8,000 octets at least.
    request_line: int = 8 * 1024

    # Header fields of a request, and trailer fields of a chunked body: 431. Browsers behind
    # several proxies send 40; a hundred is what Apache and gunicorn take.
    header_count: int = 100

    # Bytes of the whole header section, of the trailer section, and of all the chunk extensions of
    # a body: 431, for the extensions 400. Room for eight cookies of the 4 KiB of RFC 6265 6.1.
    header_size: int = 64 * 1024

    # Bytes of a body, chunked coding removed: 413 (BEHAVIOUR 8.8).
    body: int = 8 * 1024 * 1024

    # Seconds for the whole header section from its first byte, and from a new connection to its
    # first byte: 408. A phone on a bad network needs 3; a slow-header attack wants minutes.
    header_timeout: float = 10.0

    # Seconds without a byte while a body is awaited: 408.
    body_timeout: float = 30.0

    # Seconds a kept-alive connection may wait for its next request, then it is closed. More than
    # the 60 s for which usual proxies keep theirs, so that they close first and lose no request.
    idle_timeout: float = 75.0

    # Seconds in which a client takes not a single byte of its answer; then it is broken off.
    write_timeout: float = 30.0

    # Bytes a second that a client has to send of a body, or to take of an answer, while it is
    # waited for: body_timeout and write_timeout are used up by waiting, and so many bytes give a
    # second back. 0: any byte gives all back. A modem of 1995 did 3,000; without a rate a byte
    # every 29 s would hold a connection for years.
    least_rate: int = 500

    # Requests under way at one time: from when they are there whole to their answer. One more is
    # answered 503 with Retry-After: who waits behind a thousand others is served too late, and each
    # holds its body. A WebSocket is none, once it is open.
    in_flight: int = 1_000

    # Open connections; one more is answered 503. Each costs at most 40 KiB, so 800 MiB in all.
    connections: int = 20_000
