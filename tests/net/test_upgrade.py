"""Requests that ask for another protocol: it is offered, taken or left (RFC 9110 7.8)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from greenflow.net.message import Request, Respond, Response
from greenflow.net.upgrade import Taken
from tests.net.loopback import serving
from tests.waiting import until

ASK = "GET / HTTP/1.{minor}\r\nHost: a\r\n{headers}\r\n"
BOTH = "Connection: Upgrade\r\nUpgrade: chat\r\n"


@pytest.mark.parametrize(
    ("minor", "headers", "is_offered"),
    [
        (1, BOTH, True),
        (1, "Connection: close, UPGRADE\r\nupgrade: chat\r\n", True),
        (1, "", False),
        (1, "Upgrade: chat\r\n", False),
        (1, "Connection: Upgrade\r\n", False),
        (0, BOTH, False),
    ],
)
def test_an_upgrade_is_offered_to_those_who_ask_for_it(
    minor: int, headers: str, is_offered: bool
) -> None:
    seen = []

    def handle(request: Request, respond: Respond) -> None:
        seen.append(request.upgrade is not None)
        respond(Response(200))

    with serving(handle) as served:
        client = served.connect()
        client.send(ASK.format(minor=minor, headers=headers))
        assert client.answer().status == 200
        client.socket.close()
        client = served.connect()  # the parser is the same, and has forgotten it
        client.send(ASK.format(minor=1, headers=""))
        assert client.answer().status == 200
    assert seen == [is_offered, False]


def test_an_offer_that_nobody_takes_is_no_hindrance() -> None:
    with serving(lambda request, respond: respond(Response(200, (), b"no"))) as served:
        client = served.connect()
        for _ in range(2):
            assert client.ask(headers=BOTH).text == "no"


def taken_and_answered(request: Request, respond: Respond) -> Taken:
    assert request.upgrade is not None
    taken = request.upgrade.take()
    with pytest.raises(RuntimeError, match="answered once"):
        respond(Response(200))
    return taken


def taken_twice(request: Request, respond: Respond) -> Taken:
    assert request.upgrade is not None
    taken = request.upgrade.take()
    with pytest.raises(RuntimeError, match="instead of an answer"):
        request.upgrade.take()
    return taken


@pytest.mark.parametrize("way", [taken_and_answered, taken_twice])
def test_an_offer_is_taken_once_and_instead_of_an_answer(
    way: Callable[[Request, Respond], Taken],
) -> None:
    taken: list[Taken] = []

    def handle(request: Request, respond: Respond) -> None:
        taken.append(way(request, respond))

    with serving(handle) as served:
        client = served.connect()
        client.send(ASK.format(minor=1, headers=BOTH) + "and more")
        until(lambda: bool(taken) and taken[0].greenlet.dead)
        home, socket, received, _ = taken[0]
        assert home is served.server
        assert received == b"and more"
        assert not served.server.connections
        socket.send(b"whatever the other protocol says")
        socket.close()
        assert client.rest() == b"whatever the other protocol says"


def test_an_answered_request_is_not_upgraded() -> None:
    raised = []

    def handle(request: Request, respond: Respond) -> None:
        respond(Response(200))
        assert request.upgrade is not None
        with pytest.raises(RuntimeError, match="instead of an answer") as error:
            request.upgrade.take()
        raised.append(error)

    with serving(handle) as served:
        assert served.connect().ask(headers=BOTH).status == 200
    assert raised


def test_a_426_says_what_to_upgrade_to() -> None:
    with serving(lambda request, respond: respond(Response(426))) as served:
        answer = served.connect().ask()
        assert answer.headers["upgrade"] == "websocket"
        assert answer.headers["connection"] == "Upgrade"
