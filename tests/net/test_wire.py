from __future__ import annotations

from collections.abc import Callable, Iterator
from time import monotonic

import gevent
import pytest
from gevent.event import Event

from greenflow.net import wire
from greenflow.net.limits import Limits
from greenflow.net.message import Request, Respond, Response
from greenflow.net.wire import LINGERING
from tests.net.loopback import DEADLINE_SECONDS, Client, Served, serving
from tests.waiting import until

PING = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
SHORT = 0.05  # seconds


class Gate:
    """A handler that waits to be let through, and counts."""

    def __init__(self) -> None:
        self.handled = 0
        self.under_way = Event()
        self.release = Event()

    def __call__(self, request: Request, respond: Respond) -> None:
        self.under_way.set()
        self.release.wait()
        self.handled += 1
        respond(Response(200, (), b"pong"))


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def served(gate: Gate) -> Iterator[Served]:
    with serving(gate) as served:
        yield served


def only(served: Served) -> wire.Wire:
    until(lambda: len(served.server.connections) == 1)
    (connection,) = served.server.connections
    return connection


@pytest.mark.parametrize(
    ("rate", "waits", "left"),
    [
        (100, [(4.0, 0), (4.0, 0)], 2.0),
        (100, [(4.0, 0), (4.0, 0), (4.0, 0)], 0.0),
        (100, [(1.0, 100)] * 1000, 10.0),
        (100, [(2.0, 199)] * 1010, 0.0),
        (100, [(0.1, 1)] * 1000, 0.0),
        (100, [(1.0, 10**9)], 10.0),
        (0, [(9.0, 1)] * 1000, 10.0),
        (0, [(10.0, 0)], 0.0),
    ],
)
def test_patience(rate: int, waits: list[tuple[float, int]], left: float) -> None:
    patience = wire.Patience(10.0, rate)
    goes_on = True
    for seconds, moved in waits:
        goes_on = patience.spend(seconds, moved)
        if not goes_on:
            break
    assert max(0.0, patience.left) == pytest.approx(left, abs=0.1)
    assert goes_on is (left > 0.0)


def test_what_is_sent_ahead_is_buffered_up_to_a_bound(gate: Gate, served: Served) -> None:
    client = served.connect()
    client.send(PING)
    assert gate.under_way.wait(DEADLINE_SECONDS)
    count = 4 * wire.AHEAD_BYTES // len(PING)
    client.send(PING * count)
    connection = only(served)
    until(lambda: connection._paused)
    assert wire.AHEAD_BYTES < len(connection._buffer) <= wire.AHEAD_BYTES + wire.RECV_BYTES
    assert not connection._reader.active
    gate.release.set()
    for _ in range(count + 1):
        assert client.answer().text == "pong"
    assert gate.handled == count + 1


def test_the_end_is_seen_after_a_pause(gate: Gate, served: Served) -> None:
    client = served.connect()
    client.send(PING)
    assert gate.under_way.wait(DEADLINE_SECONDS)
    count = 4 * wire.AHEAD_BYTES // len(PING)
    client.send(PING * count)
    client.end()
    until(lambda: only(served)._paused)
    gate.release.set()
    assert client.rest().count(b"pong") == count + 1
    until(lambda: not served.server.connections)


def test_nothing_is_spent_on_a_request_that_does_not_block() -> None:
    """One recv and one send; the reading watcher stays as it is."""
    calls: list[str] = []

    class Counting:
        def __init__(self, socket: object) -> None:
            self.socket = socket

        def __getattr__(self, name: str) -> object:
            calls.append(name)
            return getattr(self.socket, name)

    with serving(lambda request, respond: respond(Response(200))) as served:
        client = served.connect()
        client.ask()
        connection = only(served)
        connection._socket = Counting(connection._socket)  # type: ignore[assignment]
        reader = connection._reader
        client.ask()
        client.ask()
        assert calls == ["recv", "send", "recv", "send"]
        assert connection._reader is reader
        assert reader.active


def refuse_upload(client: Client, size: int) -> None:
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size)


def test_an_answer_to_who_still_sends_can_be_read(gate: Gate) -> None:
    """Without lingering the kernel resets the connection, and the answer is lost."""
    with serving(gate, Limits(body=10)) as served:
        client = served.connect()
        refuse_upload(client, 5_000_000)
        client.send(b"x" * 5_000_000)
        answer = client.answer()
        assert answer.status == 413
        client.end()
        assert client.closed()
        until(lambda: not served.server.connections)


def test_a_close_that_the_client_does_not_expect_lingers() -> None:
    """Its next request may be on the way."""
    closing = Response(200, [("Connection", "close")], b"bye")
    with serving(lambda request, respond: respond(closing)) as served:
        client = served.connect()
        assert client.ask().text == "bye"
        connection = only(served)
        until(lambda: connection.state == LINGERING)
        client.send(PING)
        client.end()
        assert client.closed()
        until(lambda: not served.server.connections)


def test_lingering_ends_with_its_time(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "LINGER_SECONDS", 0.01)
    with serving(gate, Limits(body=10)) as served:
        client = served.connect()
        refuse_upload(client, 100)
        assert client.answer().status == 413
        until(lambda: not served.server.connections)


def test_lingering_ends_with_its_bytes(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "LINGER_BYTES", 1000)
    monkeypatch.setattr(wire, "LINGER_SECONDS", 1000.0)
    with serving(gate, Limits(body=10)) as served:
        client = served.connect()
        refuse_upload(client, 5000)
        assert client.answer().status == 413
        connection = only(served)
        assert connection.state == LINGERING
        assert connection.greenlet is None
        client.send(b"x" * 1000)
        assert only(served) is connection
        client.send(b"x" * 100)
        until(lambda: not served.server.connections)


def test_lingering_ends_with_a_reset(gate: Gate) -> None:
    with serving(gate, Limits(body=10)) as served:
        client = served.connect()
        refuse_upload(client, 100)
        assert client.answer().status == 413
        client.reset()
        until(lambda: not served.server.connections)


def test_a_client_that_resets_while_idle_is_forgotten(gate: Gate, served: Served) -> None:
    gate.release.set()
    client = served.connect()
    client.ask()
    client.reset()
    until(lambda: not served.server.connections)


def sweep(served: Served, connection: wire.Wire) -> None:
    """Lets the deadline of the connection's state have passed."""
    connection.deadline = 0.0
    gevent.get_hub().loop.run_callback(served.server._sweep)
    until(lambda: connection.deadline > 0.0 or connection.state == wire.CLOSED)


# The kernel takes so much of an answer although the client reads nothing.
TAKEN_BYTES = 300_000


def test_an_answer_that_the_kernel_has_is_to_be_taken_too() -> None:
    """The connection is idle, and its client holds the kernel's memory."""
    answer = Response(200, (), b"x" * TAKEN_BYTES)
    limits = Limits(write_timeout=SHORT, least_rate=10**9)
    with serving(lambda request, respond: respond(answer), limits) as served:
        client = served.connect(receive_bytes=4096)
        client.send(PING)
        connection = only(served)
        until(lambda: connection.state == wire.IDLE)
        assert connection._queued() > 0
        sweep(served, connection)
        assert connection.deadline <= monotonic() + SHORT
        until(lambda: connection.state == wire.CLOSED)
        with pytest.raises(ConnectionResetError):
            client.rest()


def test_a_client_that_takes_the_answer_from_the_kernel_stays() -> None:
    body = b"x" * TAKEN_BYTES
    with serving(lambda request, respond: respond(Response(200, (), body))) as served:
        client = served.connect(receive_bytes=4096)
        client.send(PING)
        connection = only(served)
        until(lambda: connection.state == wire.IDLE)
        for _ in range(3):
            queued = connection._queued()
            while connection._queued() >= queued:
                client.buffer += client.socket.recv(20_000)
                gevent.sleep(0)
            sweep(served, connection)
            assert connection.state == wire.IDLE
            assert connection.deadline < connection._idle_until
        assert client.answer().body == body
        until(lambda: connection._queued() == 0)
        sweep(served, connection)
        assert connection.deadline == connection._idle_until
        client.send(PING)
        assert client.answer().body == body


def test_a_client_that_reads_slowly_gets_everything() -> None:
    """It makes the kernel report room for more long after the write time-out has passed."""
    body = b"0123456789" * 1_000_000
    with serving(lambda request, respond: respond(Response(200, (), body))) as served:
        client = served.connect()
        client.send(PING)
        connection = only(served)
        until(lambda: connection.state == wire.WRITING)
        for _ in range(3):
            queued = connection._queued()
            while connection._queued() >= queued:
                client.buffer += client.socket.recv(100_000)
                gevent.sleep(0)
            sweep(served, connection)
        assert client.answer().body == body
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert client.answer().body == body
        assert client.closed()


def test_where_the_hub_is_late_requests_take_turns(
    gate: Gate, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "STRETCH", -1e9)  # it always is
    gate.release.set()
    clients = [served.connect() for _ in range(5)]
    for _ in range(3):
        for client in clients:
            client.send(PING)
        assert [client.answer().text for client in clients] == ["pong"] * 5
    clients[0].send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n")
    clients[0].send_bytewise(b"body")
    assert clients[0].answer().status == 200
    assert gate.handled == 16


def test_one_that_leaves_before_its_turn_is_not_served(
    gate: Gate, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = served.connect()
    gate.release.set()
    assert client.ask().status == 200
    connection = only(served)
    turns: list[Callable[[], object]] = []
    monkeypatch.setattr(wire, "STRETCH", -1e9)
    monkeypatch.setattr(wire, "in_turn", turns.append)
    client.send(PING)
    until(lambda: turns)
    client.reset()
    until(lambda: connection._is_reset())
    for begin in turns:
        gevent.get_hub().loop.run_callback(begin)
    until(lambda: not served.server.connections)
    assert gate.handled == 1


def test_one_that_is_broken_off_before_its_turn_has_none(
    gate: Gate, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = served.connect()
    gate.release.set()
    assert client.ask().status == 200
    turns: list[Callable[[], object]] = []
    monkeypatch.setattr(wire, "STRETCH", -1e9)
    monkeypatch.setattr(wire, "in_turn", turns.append)
    client.send(PING)
    until(lambda: turns)
    served.server.stop(0.0)
    for begin in turns:
        gevent.get_hub().loop.run_callback(begin)
    gevent.sleep(0)
    assert gate.handled == 1
