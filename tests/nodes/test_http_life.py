"""http: connections that end with their node and their process, and bodies that are streams."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gevent
import pytest

from greenflow.errors import (
    InvalidArgument,
    ProcessExited,
)
from greenflow.payload.stream import Stream
from tests.flows import flow
from tests.net.loopback import DEADLINE_SECONDS, Client
from tests.net.scripted import Answer, Closing, Scripted, reply, scripted
from tests.nodes.upstream import OK, asked
from tests.waiting import until

# -- the life of a node ------------------------------------------------------------------------


def test_a_node_that_is_replaced_closes_its_connections_when_they_are_not_used() -> None:
    go = gevent.event.Event()

    def late(sock: Any) -> None:
        go.wait(DEADLINE_SECONDS)
        sock.sendall(reply(b"late", "Content-Type: text/plain"))

    with asked(OK, late, OK) as one:
        asking = gevent.spawn(one.call)
        asking.join()
        asking = gevent.spawn(one.call)
        until(lambda: len(one.server.requests) == 2)
        spec = {"kind": "http", "name": "http", "url": f"http://127.0.0.1:{one.server.port}/new"}
        one.flow.runtime.operations.apply(spec)
        until(lambda: one.flow.runtime.table.find("http").version.node.spec.url.endswith("new"))
        assert one.call()["status"] == 200
        assert one.line == "GET /new"
        go.set()
        assert asking.get()["body"] == "late"
        until(lambda: one.server.open == 1)
        assert one.server.accepted == 2


def test_a_process_that_exits_closes_its_connection() -> None:
    with asked(b"", b"HTTP/1.1 200 OK\r\n\r\nbegun") as one:
        for number in (1, 2):
            asking = gevent.spawn(one.call)
            until(lambda: len(one.server.requests) == number)  # noqa: B023
            (process,) = one.flow.runtime.services.processes
            process.exit()
            with pytest.raises(ProcessExited):
                asking.get(timeout=DEADLINE_SECONDS)
            until(lambda: one.server.open == 0)


def test_many_requests_at_once() -> None:
    with asked(*[reply(b"x")] * 200) as one:
        calls = [gevent.spawn(one.call) for _ in range(200)]
        assert all(call.get()["body"] == b"x" for call in calls)
        assert one.server.accepted <= 200
        until(lambda: one.server.open <= 64)


def test_urllib3_is_imported_by_the_first_node_that_opens() -> None:
    program = """
import sys
from greenflow import Runtime
spec = {"kind": "http", "name": "a", "url": "http://a.test/"}
with Runtime("memory://") as flow:
    from greenflow.nodes import http
    assert not {"urllib3", "http.client"} & set(sys.modules)
    flow.operations.apply(spec)
    import gevent
    while not flow.status():
        gevent.sleep(0.01)
    assert "urllib3" in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)


# -- streams -----------------------------------------------------------------------------------


@contextmanager
def passing(*answers: Answer, **fields: Any) -> Iterator[tuple[Client, Scripted]]:
    """A client of a listener that passes requests on to a server, streamed both ways."""
    with scripted(*answers) as server:
        url = f"http://{server.host}:{server.port}"
        specs = [
            {
                "kind": "listener",
                "name": "in",
                "port": 0,
                "on_disconnect": {"exit_after": "10ms"},
                "links": {"out": {"name": "up"}},
            },
            {"kind": "http", "name": "up", "url": url, **fields},
        ]
        for spec in specs:
            spec["stream"] = True
        with flow(json.dumps(specs)) as running:
            listener = running.runtime.table.find("in").version.node
            client = Client(listener.lease.address)
            try:
                yield client, server
            finally:
                client.socket.close()


def test_a_stream_passes_as_it_comes() -> None:
    steps = [gevent.event.Event() for _ in range(2)]

    def answer(sock: Any) -> None:
        sock.sendall(b"HTTP/1.1 201 X\r\nX-A: b\r\nTransfer-Encoding: chunked\r\n\r\n")
        for step in steps:
            step.wait(DEADLINE_SECONDS)
            sock.sendall(b"3\r\none\r\n")
        sock.sendall(b"0\r\n\r\n")

    with passing(answer, OK) as (client, server):
        client.send("GET /x HTTP/1.1\r\nHost: a\r\nAccept-Encoding: br\r\n\r\n")
        status, headers = client.head()
        assert (status, headers["x-a"], headers["transfer-encoding"]) == (201, "b", "chunked")
        assert server.header("Accept-Encoding") == "br"
        for step in steps:
            step.set()
            assert client._exactly(8) == b"3\r\none\r\n"
        assert client._exactly(5) == b"0\r\n\r\n"
        assert client.ask("/empty").body == b""
        assert server.accepted == 1


def test_a_body_passes_as_it_comes() -> None:
    with passing(reply(b"ok"), reply(b"ok")) as (client, server):
        client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
        until(lambda: server.open == 1)
        client.send("3\r\ntwo\r\n0\r\n\r\n")
        assert client.answer().body == b"ok"
        assert server.body() == b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"
        assert server.header("Content-Type") == "application/octet-stream"


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\n\r\nbegun"])
def test_a_client_that_leaves_closes_the_connection_behind(answer: bytes) -> None:
    with passing(answer) as (client, server):
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        until(lambda: len(server.requests) == 1)
        if answer:
            assert client.head()[0] == 200
        client.reset()
        until(lambda: server.open == 0)


def test_a_server_that_fails_in_the_middle_breaks_the_answer_off() -> None:
    with passing(Closing(reply(b"begun", length=100))) as (client, _):
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        client.head()
        with pytest.raises((ConnectionResetError, EOFError)):
            client._exactly(100)


def test_a_limit_breaks_a_stream() -> None:
    with passing(reply(b"x" * 100), limits={"body": 99}) as (client, _):
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        client.head()
        with pytest.raises((ConnectionResetError, EOFError)):
            client._exactly(120)


def test_a_stream_that_is_not_read_is_given_up_with_its_process() -> None:
    with asked(reply(b"x" * 1_000_000), reply(b""), stream=True) as one:
        body = one.call()["body"]
        assert isinstance(body, Stream)
        until(lambda: one.server.open == 0)
        with pytest.raises(InvalidArgument):
            body.read(10)
        assert one.call()["body"] is None


def test_a_body_of_many_times_the_memory_passes_through() -> None:
    piece, count = b"x" * 2**20, 64

    def answer(sock: Any) -> None:
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (count * len(piece)))
        for _ in range(count):
            sock.sendall(piece)

    with passing(answer) as (client, _):
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        client.head()
        received, end = len(client.buffer), b""
        while not end.endswith(b"\r\n0\r\n\r\n"):
            data = client.socket.recv(2**20)
            received, end = received + len(data), (end + data)[-7:]
        assert count * len(piece) < received < 1.01 * count * len(piece)
