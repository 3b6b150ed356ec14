"""The server's side of the opening handshake (RFC 6455 4.2)."""

from __future__ import annotations

import pytest

from greenflow.net.head import HeadParser
from greenflow.net.limits import Limits
from greenflow.net.message import Request
from greenflow.net.websocket.handshake import HandshakeRefused, Offer, accept_key, agree
from tests.net.websockets import ACCEPT, HANDSHAKE, KEY


def request(headers: str = "", *, without: str = "", first: str = "GET / HTTP/1.1") -> Request:
    text = HANDSHAKE.format(target="/").replace("GET / HTTP/1.1", first)
    lines = [line for line in text.split("\r\n") if not (without and line.startswith(without))]
    return HeadParser().parse(("\r\n".join(lines) + headers + "\r\n").encode(), Limits())


def head(request: Request, offer: Offer = Offer()) -> list[str]:  # noqa: B008 - a tuple
    return agree(request, offer).head.decode().split("\r\n")


def test_the_answer_proves_that_the_key_was_read() -> None:
    assert accept_key(KEY) == ACCEPT
    assert head(request()) == [
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {ACCEPT}",
        "",
        "",
    ]


def test_fields_are_read_in_any_case_and_among_others() -> None:
    asked = request(
        "upgrade: foo, WebSocket\r\nconnection: keep-alive, UPGRADE\r\n",
        without="Upgrade",
    )
    assert head(asked)[0].endswith("101 Switching Protocols")


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        (request(without="Upgrade"), 426),
        (request(without="Connection"), 426),
        (request("Upgrade: h2c\r\n", without="Upgrade"), 426),
        (request(first="GET / HTTP/1.0"), 426),
        (request(first="POST / HTTP/1.1"), 400),
        (request(without="Sec-WebSocket-Version"), 400),
        (request("Sec-WebSocket-Version: 8\r\n", without="Sec-WebSocket-Version"), 426),
        (request("Sec-WebSocket-Version: 8\r\n"), 426),
        (request(without="Sec-WebSocket-Key"), 400),
        (request("Sec-WebSocket-Key: c2hvcnQ=\r\n", without="Sec-WebSocket-Key"), 400),
        (request(f"Sec-WebSocket-Key: {KEY}\r\n"), 400),
        (request("Sec-WebSocket-Protocol: a b\r\n"), 400),
        (request("Sec-WebSocket-Extensions: =\r\n"), 400),
        (request("Origin: https://evil.example\r\n"), 403),
        (request("Origin: null\r\n"), 403),
    ],
)
def test_what_is_refused(asked: Request, status: int) -> None:
    offer = Offer(compression=True, origins=("https://good.example",))
    with pytest.raises(HandshakeRefused) as refused:
        agree(asked, offer)
    assert refused.value.status == status
    assert refused.value.headers == (
        {"Upgrade": "websocket", "Sec-WebSocket-Version": "13"} if status == 426 else {}
    )


def test_a_body_that_was_not_read_is_in_the_way() -> None:
    asked = request()
    asked.unread = True
    with pytest.raises(HandshakeRefused, match="body"):
        agree(asked, Offer())


@pytest.mark.parametrize("origin", ["Origin: https://good.example\r\n", ""])
def test_pages_of_an_origin_that_is_named_and_what_is_no_page_may_connect(origin: str) -> None:
    agree(request(origin), Offer(origins=("https://good.example",)))


@pytest.mark.parametrize(
    ("ours", "theirs", "chosen"),
    [
        (("b", "a"), "a, b", "b"),
        (("a",), "b,a", "a"),
        (("a",), "A", None),
        (("a",), "b", None),
        ((), "a", None),
    ],
)
def test_the_best_subprotocol_of_ours_is_chosen(
    ours: tuple[str, ...], theirs: str, chosen: str | None
) -> None:
    lines = head(request(f"Sec-WebSocket-Protocol: {theirs}\r\n"), Offer(ours))
    said = [line for line in lines if line.startswith("Sec-WebSocket-Protocol")]
    assert said == ([] if chosen is None else [f"Sec-WebSocket-Protocol: {chosen}"])


def test_messages_are_compressed_only_if_both_want_it() -> None:
    asks = request("Sec-WebSocket-Extensions: permessage-deflate\r\n")
    assert agree(asks, Offer()).deflate is None
    assert agree(request(), Offer(compression=True)).deflate is None
    agreed = agree(asks, Offer(compression=True))
    assert agreed.deflate is not None
    assert b"\r\nSec-WebSocket-Extensions: permessage-deflate\r\n" in agreed.head
