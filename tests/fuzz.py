"""A listener with a workflow behind it, and clients that send it what is nearly HTTP.

Whatever comes, the server answers or closes: no answer is a 500, no connection hangs, and the next
client is served.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import gevent
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from tests.flows import flow
from tests.net.loopback import Client
from tests.net.messages import STREAMS, pieces
from tests.waiting import until

# Every part of a request comes back through the encoder of answers.
WORKFLOW = """
- kind: listener
  name: http
  port: 0
  limits: {body: 2000}
  links: {out: {name: router}, error: {name: told}}
- kind: router
  name: router
  routes:
    - {method: GET, path: "*", port: "out[0]"}
    - {method: POST, path: /:a, port: "out[0]"}
    - {method: PUT, path: /:a, port: "out[0]"}
  links: {"out[0]": {name: echo}}
- {kind: snippet, name: echo, language: cel, code: '{"body": self}'}
- {kind: snippet, name: told, language: cel, code: '{"status": 400, "body": self}'}
"""

# Answers of 500 and more that are given on purpose.
ALLOWED = frozenset((501, 505))

STREAM_IN_PIECES = STREAMS.flatmap(pieces)

SETTINGS = settings(
    deadline=None, suppress_health_check=list(HealthCheck), print_blob=True, database=None
)

Fuzz = Callable[[list[bytes], str], None]

# How a client ends: it ends its sending side and reads on, it leaves, it resets.
ENDINGS = st.sampled_from(["reads", "reads", "reads", "leaves", "resets"])


@contextmanager
def fuzzed() -> Iterator[Fuzz]:
    """What sends the pieces and raises AssertionError or TimeoutError. At the end every connection
    must be gone."""
    with flow(WORKFLOW) as running:
        lease = running.runtime.table.find("http").version.node.lease  # type: ignore[union-attr]

        def fuzz(pieces: list[bytes], ending: str) -> None:
            client = Client(lease.address)
            try:
                _send(client, pieces)
                if ending == "reads":
                    check(_answers(client))
                elif ending == "resets":
                    client.reset()
            finally:
                client.socket.close()

        yield fuzz
        until(lambda: lease.connections == 0)
        client = Client(lease.address)
        assert client.ask("/still").status == 200
        client.socket.close()


def _send(client: Client, pieces: list[bytes]) -> None:
    with suppress(BrokenPipeError, ConnectionResetError):  # it has refused what came before
        for piece in pieces:
            client.send(piece)
            gevent.sleep(0)
        client.end()


def _answers(client: Client) -> bytes:
    try:
        return client.rest()
    except ConnectionResetError:
        return client.buffer


def check(answers: bytes) -> None:
    statuses = {int(found) for found in re.findall(rb"HTTP/1\.1 (\d{3}) ", answers)}
    assert not answers or statuses
    assert all(status < 500 or status in ALLOWED for status in statuses), answers[:2000]
