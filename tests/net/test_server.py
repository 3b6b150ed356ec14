from __future__ import annotations

import errno
import logging
import os
import resource
import socket as standard_socket
from email.utils import parsedate_to_datetime
from time import time

import gevent
import pytest
from gevent import socket
from gevent.event import Event

from greenflow.errors import AddressInUse
from greenflow.net import server as server_module
from greenflow.net.limits import Limits
from greenflow.net.message import Request, Respond, Response
from greenflow.net.server import Place, Server, resolve
from tests.net.loopback import DEADLINE_SECONDS, Client, Served, serving
from tests.waiting import until

PING = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def pong(request: Request, respond: Respond) -> None:
    respond(Response(200, (), b"pong"))


class Gate:
    """A handler that waits to be let through."""

    def __init__(self) -> None:
        self.under_way = 0
        self.release = Event()
        self.interrupted = 0

    def __call__(self, request: Request, respond: Respond) -> None:
        self.under_way += 1
        try:
            self.release.wait()
        except gevent.GreenletExit:
            self.interrupted += 1
            raise
        respond(Response(200, (), b"pong"))


# Binding


def test_addresses_are_resolved() -> None:
    assert resolve("127.0.0.1", 80) == Place(socket.AF_INET, "127.0.0.1", 80)
    assert resolve("", 80) == Place(socket.AF_INET, "0.0.0.0", 80)
    assert resolve("::1", 80) == Place(socket.AF_INET6, "::1", 80)


def test_an_unknown_host_is_an_error_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*arguments: object) -> None:
        raise standard_socket.gaierror(standard_socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(server_module, "getaddrinfo", unknown)
    with pytest.raises(OSError, match=r"cannot listen on nowhere\.invalid:80: Name or service"):
        resolve("nowhere.invalid", 80)


def test_port_0_is_a_port_of_the_systems_choice() -> None:
    with serving(pong) as served:
        assert served.server.address[0] == "127.0.0.1"
        assert served.server.address[1] > 0


def test_an_address_in_use_is_named() -> None:
    with serving(pong) as served:
        host, port = served.server.address
        with pytest.raises(AddressInUse, match=f"cannot listen on {host}:{port}: something"):
            Server.bind(resolve(host, port))


def test_an_address_that_is_not_ours_is_named() -> None:
    with pytest.raises(OSError, match=r"cannot listen on 192\.0\.2\.1:1: ") as error:
        Server.bind(resolve("192.0.2.1", 1))
    assert error.value.errno == errno.EADDRNOTAVAIL


def test_ipv6() -> None:
    server = Server.bind(resolve("::1", 0))
    try:
        server.handler = pong
        server.start()
        client = socket.socket(socket.AF_INET6)
        client.connect(server.address)
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert client.recv(1000).endswith(b"pong")
        client.close()
    finally:
        server.stop(0.0)


def test_clients_wait_until_the_server_starts() -> None:
    server = Server.bind(resolve("127.0.0.1", 0))
    try:
        client = Client(server.address)
        client.send(PING)
        server.handler = pong
        server.start()
        server.start()
        assert client.answer().text == "pong"
        client.socket.close()
    finally:
        server.stop(0.0)


# Accepting


def test_small_answers_are_not_delayed() -> None:
    with serving(pong) as served:
        served.connect().ask()
        (connection,) = served.server.connections
        assert connection._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_the_date_is_that_of_the_answer() -> None:
    with serving(pong) as served:
        served.server.date_line = "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
        served.server._sweep()
        date = served.connect().ask().headers["date"]
        assert abs(parsedate_to_datetime(date).timestamp() - time()) < DEADLINE_SECONDS


def test_one_connection_too_many_is_answered_503() -> None:
    with serving(pong, Limits(connections=2)) as served:
        first, second, third = served.connect(), served.connect(), served.connect()
        first.ask()
        second.ask()
        third.send(PING)
        answer = third.answer()
        assert (answer.status, answer.text) == (503, "Service Unavailable")
        assert answer.headers["retry-after"] == "1"
        assert third.closed()
        third.socket.close()
        assert second.ask().status == 200
        second.socket.close()
        until(lambda: len(served.server.connections) == 1)
        assert served.connect().ask().status == 200


def test_far_too_many_connections_are_closed_unanswered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "TURNED_AWAY", 1)
    with serving(pong, Limits(connections=0)) as served:
        assert served.connect().answer().status == 503
        assert served.connect().closed()
        assert len(served.server.connections) == 1


def test_many_connections_at_once() -> None:
    with serving(pong) as served:
        clients = [served.connect() for _ in range(3 * server_module.ACCEPTS)]
        for client in clients:
            client.send(PING)
        assert all(client.answer().status == 200 for client in clients)


def _fill(filling: list[int], descriptor: int) -> None:
    """Copies a descriptor until there is room for no other."""
    try:
        while True:
            filling.append(os.dup(descriptor))
    except OSError as error:
        if error.errno != errno.EMFILE:
            raise


def test_without_descriptors_it_waits_and_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "greenflow.net")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    filling: list[int] = []
    with serving(pong) as served:
        client, late = served.connect(), socket.socket(socket.AF_INET)
        assert client.ask().status == 200
        resource.setrlimit(resource.RLIMIT_NOFILE, (late.fileno() + 1, limits[1]))
        try:
            _fill(filling, late.fileno())
            late.connect(served.server.address)
            late.sendall(PING.encode())
            until(lambda: served.server._backoff.failures > 1)
            assert client.ask().status == 200
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            for descriptor in filling:
                os.close(descriptor)
        assert late.recv(1000).endswith(b"pong")
        late.close()
        assert len(caplog.records) == 1
        assert "Too many open files" in caplog.text


# Ending


def test_stop_closes_idle_connections_at_once() -> None:
    with serving(pong) as served:
        used, fresh = served.connect(), served.connect()
        used.ask()
        until(lambda: len(served.server.connections) == 2)
        served.server.stop(DEADLINE_SECONDS)
        assert used.closed()
        assert fresh.closed()
        assert not served.server.connections
        with pytest.raises(ConnectionRefusedError):
            Client(served.server.address)


def test_stop_lets_requests_under_way_finish() -> None:
    gate = Gate()
    with serving(gate) as served:
        client = served.connect()
        client.send(PING)
        half = served.connect()
        half.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nx")
        until(lambda: gate.under_way == 1)
        stopping = gevent.spawn(served.server.stop, DEADLINE_SECONDS)
        until(lambda: served.server.stopping)
        half.send("x")
        gate.release.set()
        for one in (client, half):
            answer = one.answer()
            assert answer.text == "pong"
            assert answer.headers["connection"] == "close"
            assert one.closed()
            one.socket.close()
        stopping.get(timeout=DEADLINE_SECONDS)
        assert not served.server.connections


def test_stop_waits_for_work_after_the_answer_and_for_no_further_request() -> None:
    answered, release = Event(), Event()

    def handler(request: Request, respond: Respond) -> None:
        respond(Response(200, (), b"pong"))
        answered.set()
        release.wait()

    with serving(handler) as served:
        client = served.connect()
        client.ask()
        assert answered.wait(DEADLINE_SECONDS)
        stopping = gevent.spawn(served.server.stop, 10 * DEADLINE_SECONDS)
        until(lambda: served.server.stopping)
        assert not stopping.ready()
        release.set()
        stopping.get(timeout=DEADLINE_SECONDS)
        assert client.closed()


def test_stop_serves_what_was_sent_already() -> None:
    """Also on connections that wait in the backlog, or whose bytes nobody has read yet."""
    with serving(pong) as served:
        known = served.connect()
        known.ask()
        known.send(PING)
        queued = standard_socket.create_connection(served.server.address)
        queued.sendall(PING.encode())
        stopping = gevent.spawn(served.server.stop, DEADLINE_SECONDS)
        assert known.answer().text == "pong"
        known.socket.close()
        assert queued.recv(1000).endswith(b"pong")
        queued.close()
        stopping.get(timeout=DEADLINE_SECONDS)


def test_after_the_grace_handlers_are_interrupted() -> None:
    gate = Gate()
    with serving(gate) as served:
        clients = [served.connect() for _ in range(3)]
        for client in clients:
            client.send(PING)
        until(lambda: gate.under_way == 3)
        greenlets = [connection.greenlet for connection in served.server.connections]
        served.server.stop(0.01)
        assert gate.interrupted == 3
        assert not served.server.connections
        assert all(one is not None and one.dead for one in greenlets)
        for client in clients:
            with pytest.raises(ConnectionResetError):
                client.rest()


def test_a_handler_that_does_not_end_is_reported(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(server_module, "ABORT_SECONDS", 0.01)
    release, under_way = Event(), Event()

    def stubborn(request: Request, respond: Respond) -> None:
        under_way.set()
        try:
            release.wait()
        finally:
            release.wait()

    with serving(stubborn) as served:
        client = served.connect()
        client.send(PING)
        assert under_way.wait(DEADLINE_SECONDS)
        served.server.stop(0.0)
        assert "a handler does not end" in caplog.text
        assert not served.server.connections
        assert client.closed()
        release.set()


def test_a_handler_may_stop_its_own_server() -> None:
    def stopping(request: Request, respond: Respond) -> None:
        served.server.stop(DEADLINE_SECONDS)
        respond(Response(200, (), b"stopped"))

    with serving(stopping) as served:
        idle = served.connect()
        client = served.connect()
        answer = client.ask()
        assert (answer.text, answer.headers["connection"]) == ("stopped", "close")
        assert idle.closed()
        assert client.closed()
        client.socket.close()
        until(lambda: not served.server.connections)


def test_a_second_stop_waits_with_the_first() -> None:
    gate = Gate()
    with serving(gate) as served:
        client = served.connect()
        client.send(PING)
        until(lambda: gate.under_way == 1)
        stops = [gevent.spawn(served.server.stop, DEADLINE_SECONDS) for _ in range(2)]
        until(lambda: served.server.stopping)
        gate.release.set()
        assert client.answer().text == "pong"
        client.socket.close()
        assert len(gevent.joinall(stops, timeout=DEADLINE_SECONDS)) == 2
        served.server.start()
        with pytest.raises(ConnectionRefusedError):
            Client(served.server.address)


def test_a_server_that_never_started_can_be_stopped() -> None:
    served = Served(None)
    served.server.stop(0.0)
    bare = Server.bind(resolve("127.0.0.1", 0))
    bare.stop(0.0)
