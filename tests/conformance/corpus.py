"""The corpus of HTTP cases, and what the server makes of the bytes of one connection.

The corpus is read in place; see its README there.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import gevent

from greenflow.net.message import Request
from tests import corpora
from tests.net.loopback import Recorder, Served

# The statuses of a server that refuses on purpose.
REFUSALS = frozenset((400, 408, 411, 413, 414, 417, 421, 431, 501, 505))


CASES = corpora.cases("http")


class Verdict(NamedTuple):
    """What reached the application, and the statuses that were answered."""

    requests: list[Request]
    statuses: list[int]
    cut_short: bool
    """Whether the server closed while bytes were still on their way."""


def verdict(pieces: list[bytes], served: Served, recorder: Recorder) -> Verdict:
    """Send them on a connection whose sending side then ends, and read to its end. Recorder and the
    server write nothing into an answer that looks like another."""
    recorder.requests = []
    client = served.connect()
    cut_short = False
    try:
        for piece in pieces:
            client.send(piece)
            gevent.sleep(0)
        client.end()
    except (BrokenPipeError, ConnectionResetError):
        cut_short = True
    statuses = [int(found) for found in re.findall(rb"HTTP/1\.1 (\d{3}) ", client.rest())]
    client.socket.close()
    return Verdict(recorder.requests, statuses, cut_short)
