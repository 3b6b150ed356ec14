"""listener: what is done with more requests than can be under way (BEHAVIOUR 8.9)."""

from __future__ import annotations

import logging

import pytest
from gevent.event import Event

from greenflow.hub import breathing
from tests.net.loopback import DEADLINE_SECONDS
from tests.nodes.test_listener import connect, served
from tests.waiting import until

GET = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
BUSY = "- {kind: probe, name: a, answer: pong}"
PART = b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n'
TWO = "limits: {in_flight: 2}"


def test_beyond_the_limit_is_answered_503(caplog: pytest.LogCaptureFixture) -> None:
    with served(BUSY, fields=TWO) as (running, client):
        gate = running.probes.gates["a"] = Event()
        others = [connect(running) for _ in range(2)]
        for other in others:
            other.send(GET)
        until(lambda: len(running.probes.seen) == 2)
        for _ in range(3):
            refused = client.ask()
            assert (refused.status, refused.text) == (503, "Service Unavailable")
            assert refused.headers["retry-after"] == "1"
        assert len(running.probes.seen) == 2
        gate.set()
        for other in others:
            assert other.answer().text == "pong"
            other.socket.close()
        assert client.ask().text == "pong"  # on the connection that was refused
    lines = [record for record in caplog.records if "limits.in_flight" in record.getMessage()]
    assert [line.levelno for line in lines] == [logging.WARNING]


def test_it_carries_what_pages_of_other_origins_need() -> None:
    fields = "limits: {in_flight: 1}, cors: {origins: ['https://a.test']}"
    with served(BUSY, fields=fields) as (running, client):
        gate = running.probes.gates["a"] = Event()
        other = connect(running)
        other.send(GET)
        until(lambda: running.probes.seen)
        refused = client.ask(headers="Origin: https://a.test\r\n")
        assert refused.status == 503
        assert refused.headers["access-control-allow-origin"] == "https://a.test"
        gate.set()
        assert other.answer().status == 200
        other.socket.close()


def test_one_that_exits_makes_room() -> None:
    fields = "limits: {in_flight: 1}, on_disconnect: {exit_after: 1ms}"
    with served(BUSY, fields=fields) as (running, client):
        running.probes.gates["a"] = Event()
        running.probes.reached["a"] = Event()
        other = connect(running)
        other.send(GET)
        assert running.probes.reached["a"].wait(DEADLINE_SECONDS)
        assert client.ask().status == 503
        other.reset()
        node = running.runtime.table.find("http").version.node  # type: ignore[union-attr]
        until(lambda: not node.processes)
        del running.probes.gates["a"]
        assert client.ask().text == "pong"


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b"[" + b"2.2250738585072011e-308," * 10_000 + b"1]"),
        ("application/x-www-form-urlencoded", b"a=" + b"%41" * 50_000),
        ("multipart/form-data; boundary=b", PART * 100 + b"--b--\r\n"),
        ("text/plain", b"a" * 2_000_000),
    ],
)
def test_a_large_body_lets_others_go_first(
    kind: str, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breathing, "SLICE", -1.0)  # a turn after every step
    with served(BUSY) as (running, client):
        other = connect(running)
        assert other.ask().status == 200
        head = f"POST /large HTTP/1.1\r\nHost: a\r\nContent-Type: {kind}\r\n"
        client.send(f"{head}Content-Length: {len(body)}\r\n\r\n")
        client.send(body[:-1])
        client.send(body[-1:])
        other.send(GET.replace("/", "/small", 1))
        assert other.answer().status == 200
        assert client.answer().status == 200
        assert [seen["path"] for seen in running.probes.of("a")] == ["/", "/small", "/large"]
        other.socket.close()


def test_what_is_being_decoded_is_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breathing, "SLICE", -1.0)
    body = b"[" + b"2.2250738585072011e-308," * 50_000 + b"1]"
    with served(BUSY, fields="limits: {in_flight: 1}") as (running, client):
        node = running.runtime.table.find("http").version.node  # type: ignore[union-attr]
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n")
        client.send(f"Content-Length: {len(body)}\r\n\r\n")
        client.send(body)
        while not node.decoding:
            breathing.let_others_run()
        assert node.in_flight == 1
        other = connect(running)
        other.send(GET)
        assert other.answer().status == 503
        assert client.answer().status == 200
        other.socket.close()
