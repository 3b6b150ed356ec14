from __future__ import annotations

from collections.abc import Iterator

import gevent
import pytest
from gevent.event import Event

from greenflow.errors import AddressInUse
from greenflow.net.limits import Limits
from greenflow.net.message import Handler, Request, Respond, Response
from greenflow.net.pool import Lease, Servers
from tests.net.loopback import DEADLINE_SECONDS, Client
from tests.waiting import until

PING = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class Listener:
    """An owner of leases."""

    def __init__(self) -> None:
        self.retiring = False


def saying(text: str) -> Handler:
    def handler(request: Request, respond: Respond) -> None:
        respond(Response(200, (), text.encode()))

    return handler


class Leases:
    """A pool; whatever was acquired or connected is released at the end."""

    def __init__(self) -> None:
        self.servers = Servers()
        self.made: list[Lease] = []
        self.clients: list[Client] = []

    def acquire(self, owner: Listener, port: int = 0, key: object = None) -> Lease:
        lease = self.servers.acquire("127.0.0.1", port, owner, key)
        self.made.append(lease)
        return lease

    def connect(self, lease: Lease) -> Client:
        client = Client(lease.address)
        self.clients.append(client)
        return client


@pytest.fixture
def pool() -> Iterator[Leases]:
    pool = Leases()
    yield pool
    for client in pool.clients:
        client.socket.close()
    for lease in pool.made:
        lease.release(0.0)
    pool.servers.close()


def test_a_lease_serves_and_its_release_ends_it(pool: Leases) -> None:
    lease = pool.acquire(Listener())
    lease.serve(saying("one"), Limits())
    client = pool.connect(lease)
    assert client.ask().text == "one"
    assert lease.connections == 1
    lease.release(DEADLINE_SECONDS)
    lease.release(DEADLINE_SECONDS)
    assert client.closed()
    with pytest.raises(ConnectionRefusedError):
        Client(lease.address)


def test_a_second_owner_of_an_address_is_refused(pool: Leases) -> None:
    lease = _fixed(pool, Listener())
    host, port = lease.address
    with pytest.raises(AddressInUse, match=f"cannot listen on {host}:{port}: another listener"):
        pool.acquire(Listener(), port)


def _fixed(pool: Leases, owner: Listener) -> Lease:
    """A lease on a port asked for by its number."""
    probe = pool.acquire(Listener())
    port = probe.address[1]
    probe.release(0.0)
    return pool.acquire(owner, port)


def test_a_replaced_listener_loses_no_connection_and_no_request(pool: Leases) -> None:
    old_owner = Listener()
    old = _fixed(pool, old_owner)
    old.serve(saying("old"), Limits())
    client = pool.connect(old)
    assert client.ask().text == "old"

    old_owner.retiring = True
    new = pool.acquire(Listener(), old.address[1])
    assert new.address == old.address
    assert client.ask().text == "old"
    new.serve(saying("new"), Limits())
    assert client.ask().text == "new"
    old.release(DEADLINE_SECONDS)
    assert client.ask().text == "new"
    assert pool.connect(new).ask().text == "new"


def test_a_request_under_way_is_finished_by_the_old_handler(pool: Leases) -> None:
    under_way, release = Event(), Event()

    def slow(request: Request, respond: Respond) -> None:
        under_way.set()
        release.wait()
        respond(Response(200, (), b"old"))

    owner = Listener()
    old = _fixed(pool, owner)
    old.serve(slow, Limits())
    client = pool.connect(old)
    client.send(PING * 2)
    assert under_way.wait(DEADLINE_SECONDS)
    owner.retiring = True
    new = pool.acquire(Listener(), old.address[1])
    new.serve(saying("new"), Limits())
    old.release(0.0)
    release.set()
    assert client.answer().text == "old"
    assert client.answer().text == "new"


def test_requests_wait_between_two_handlers(pool: Leases) -> None:
    owner = Listener()
    old = _fixed(pool, owner)
    old.serve(saying("old"), Limits())
    client = pool.connect(old)
    assert client.ask().text == "old"
    owner.retiring = True
    new = pool.acquire(Listener(), old.address[1])
    old.release(0.0)
    client.send(PING)
    until(lambda: new._shared.server._ready.linkcount() == 1)
    new.serve(saying("new"), Limits())
    assert client.answer().text == "new"


def test_a_replacement_that_fails_changes_nothing(pool: Leases) -> None:
    owner = Listener()
    old = _fixed(pool, owner)
    old.serve(saying("old"), Limits())
    client = pool.connect(old)
    owner.retiring = True
    pool.acquire(Listener(), old.address[1]).release(0.0)
    owner.retiring = False
    assert client.ask().text == "old"
    with pytest.raises(AddressInUse):
        pool.acquire(Listener(), old.address[1])


def test_port_0_is_shared_only_by_its_key(pool: Leases) -> None:
    owner = Listener()
    assert pool.acquire(Listener()).address != pool.acquire(Listener()).address
    first = pool.acquire(owner, key="listener-1")
    other = pool.acquire(Listener(), key="listener-2")
    assert other.address != first.address
    owner.retiring = True
    assert pool.acquire(Listener(), key="listener-1").address == first.address
    assert pool.acquire(Listener()).address != first.address


def test_an_address_is_free_after_its_last_lease(pool: Leases) -> None:
    lease = _fixed(pool, Listener())
    lease.serve(saying("one"), Limits())
    client = pool.connect(lease)
    client.ask()
    lease.release(DEADLINE_SECONDS)
    again = pool.acquire(Listener(), lease.address[1])
    again.serve(saying("two"))
    assert pool.connect(again).ask().text == "two"


def test_an_address_can_be_taken_while_the_last_requests_finish(pool: Leases) -> None:
    under_way, release = Event(), Event()

    def slow(request: Request, respond: Respond) -> None:
        under_way.set()
        release.wait()
        respond(Response(200, (), b"old"))

    lease = _fixed(pool, Listener())
    lease.serve(slow)
    client = pool.connect(lease)
    client.send(PING)
    assert under_way.wait(DEADLINE_SECONDS)
    lease.release(DEADLINE_SECONDS)  # which waits for nothing
    again = pool.acquire(Listener(), lease.address[1])
    again.serve(saying("new"))
    assert pool.connect(again).ask().text == "new"
    closing = gevent.spawn(pool.servers.close)
    gevent.idle()
    assert not closing.ready()
    release.set()
    assert client.answer().text == "old"
    client.socket.close()
    closing.get(timeout=DEADLINE_SECONDS)
