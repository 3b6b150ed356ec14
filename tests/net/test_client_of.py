"""Who asked, as the proxies say that are believed, and nobody else."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenflow.net.forwarded import Proxies, client_of
from greenflow.net.message import Request

PROXIES = Proxies(["10.0.0.0/8", "unix"])


def request(peer: str, *headers: tuple[str, str]) -> Request:
    made = Request("GET", "/", "/", "", "1.1", "a", list(headers))
    made.client = made.peer = peer, 1
    return made


@pytest.mark.parametrize(
    ("peer", "header", "client"),
    [
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", "203.0.113.7", "203.0.113.7"),
        ("10.0.0.1", "198.51.100.1, 203.0.113.7", "203.0.113.7"),
        ("10.0.0.1", "198.51.100.1, 203.0.113.7,10.1.1.1", "203.0.113.7"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", "203.0.113.7:4711", "203.0.113.7"),
        ("10.0.0.1", "[2001:db8::1]:4711", "2001:db8::1"),
        ("10.0.0.1", "2001:db8::1", "2001:db8::1"),
        ("10.0.0.1", "203.0.113.7, unknown", "-"),
        ("10.0.0.1", "203.0.113.7, <script>", "-"),
        ("192.0.2.1", "203.0.113.7", "192.0.2.1"),
        ("unix:/run/web.sock", "203.0.113.7", "203.0.113.7"),
        ("unix:/run/web.sock", None, "-"),
        ("", None, "-"),
    ],
)
def test_x_forwarded_for(peer: str, header: str | None, client: str) -> None:
    headers = [] if header is None else [("X-Forwarded-For", header)]
    assert client_of(request(peer, *headers), PROXIES) == client


@pytest.mark.parametrize(
    ("header", "client"),
    [
        ("for=203.0.113.7", "203.0.113.7"),
        ('for=198.51.100.1, for="[2001:db8::1]:80";by=x, for=10.2.2.2', "2001:db8::1"),
        ('for="a, b\\", c";proto=http, for=203.0.113.7', "203.0.113.7"),
        ("for=_hidden", "-"),
        ("proto=https", "-"),
    ],
)
def test_forwarded_comes_first(header: str, client: str) -> None:
    headers = ("Forwarded", header), ("X-Forwarded-For", "192.0.2.9")
    assert client_of(request("10.0.0.1", *headers), PROXIES) == client


def test_without_proxies_it_is_the_peer_and_with_a_proxy_header_its_client() -> None:
    asked = request("10.0.0.1", ("X-Forwarded-For", "203.0.113.7"))
    assert client_of(asked, None) == "10.0.0.1"
    asked.client = "192.0.2.4", 5
    assert client_of(asked, PROXIES) == "192.0.2.4"


@given(st.text(max_size=60), st.sampled_from(["Forwarded", "X-Forwarded-For"]))
def test_whatever_is_written_there_is_an_address_or_nobody(text: str, name: str) -> None:
    found = client_of(request("10.0.0.1", (name, text)), PROXIES)
    assert found == "-" or ip_address(found)
