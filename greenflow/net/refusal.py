"""Why a request is not served.

Lives here: Refused, which whatever reads a part of a request raises: head, body, PROXY header; and
what can be known of a request that was not understood. What is answered is the connection's to say.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from greenflow.net.fields import REQUEST_ID

#: Told of each request that the server refuses for itself: the method and the path, empty if the
#: head was not understood, the status of the answer, the reason, who asked, and what the request is
#: called.
TellRefused = Callable[[str, str, int, str, tuple[str, int], str | None], object]

#: The headers that an answer of the server itself has for a page of that origin, to a request that
#: has that name by the peer that sent it; None is none.
HeadersFor = Callable[[str | None, str | None, tuple[str, int]], Sequence[tuple[str, str]]]


def _field(name: str) -> re.Pattern[bytes]:
    """A whole line, of a header section that may be cut off or against its grammar."""
    return re.compile(rb"\r\n(?i:%b):[ \t]*([\x21-\x7e]+)[ \t]*(?=\r\n)" % name.encode())


_ORIGIN, _NAME = _field("origin"), _field(REQUEST_ID)


def origin_in(head: bytes) -> str | None:
    """The origin that sent a header section which was refused, or is not whole; None if it does not
    say so, or more than once."""
    return _once(_ORIGIN, head)


def name_in(head: bytes) -> str | None:
    """The name of its request by such a header section; None as for the origin."""
    return _once(_NAME, head)


def _once(field: re.Pattern[bytes], head: bytes) -> str | None:
    values = field.findall(head)
    return values[0].decode("ascii") if len(values) == 1 else None


class Refused(Exception):
    """The request is not served: the status to answer, whether without a body (to HEAD), and the
    reason for the log. Never leaves net/. `method` and `path` are empty until the head was
    understood; `head` is its bytes, empty until it was there."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.bodiless = False
        self.method = self.path = ""
        self.head = b""
