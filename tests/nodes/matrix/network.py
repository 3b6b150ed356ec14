"""Kinds that speak with others: servers, clients, files that change."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gevent
from gevent.event import Event

from greenflow.net.message import Request, Respond, Response
from tests.net.loopback import Client, serving
from tests.net.websockets import Peer, sockets
from tests.nodes.matrix import GATE, PICKED, PICKY, Case, Exit, Missing, Row, Sent, call
from tests.waiting import until


class Refused(Exception):
    """A status that says that it went wrong."""


def address(case: Case) -> tuple[str, int]:
    found: tuple[str, int] = case.running.runtime.table.find("http").version.node.lease.address  # type: ignore[union-attr]
    return found


# -- HTTP ------------------------------------------------------------------------------------------


def post(case: Case, payload: Any) -> Any:
    """Ask the listener, with the payload as JSON, or bytes that say they are."""
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    client = Client(case.node.lease.address)
    try:
        head = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        client.send(f"POST / HTTP/1.1\r\nHost: a\r\n{head}\r\n".encode() + body)
        answer = client.answer()
    finally:
        client.socket.close()
    if answer.status != 200:
        raise Refused(str(answer.status))
    if not answer.body:
        return None
    return json.loads(answer.body) if "json" in answer.headers["content-type"] else answer.text


@contextmanager
def echoing() -> Iterator[dict[str, str]]:
    """A server that sends bodies back; the body "long" is never answered."""
    over = Event()

    def handle(request: Request, respond: Respond) -> None:
        body = request.body or b""
        if body == b"long":
            over.wait()
        respond(Response(200, (("Content-Type", "text/plain"),), bytes(body)))

    with serving(handle) as server:
        host, port = server.server.address
        yield {"URL": f"http://{host}:{port}"}
        over.set()


def fetched(case: Case, payload: Any) -> Any:
    """What the server answered."""
    answer = call(case, payload)
    return answer["body"] if isinstance(answer, dict) else answer


# -- WebSockets ------------------------------------------------------------------------------------


@contextmanager
def talking() -> Iterator[dict[str, str]]:
    with sockets() as server:
        host, port = server.server.address
        yield {"URL": f"ws://{host}:{port}"}


def converse(case: Case, payload: Any) -> Any:
    """Connect, say the payload, and hear it again."""
    before = len(case.probes.of(GATE))
    try:
        answer = case.running.call("both", payload)
        if answer is not None:
            return answer
        until(lambda: len(case.probes.of(GATE)) > before)
    finally:
        for process in list(case.processes):
            process.exit()
    return case.probes.of(GATE)[before]["data"]


def visit(case: Case, payload: Any) -> Any:
    """Connect to the gateway, say the payload, and hear it again."""
    peer = Peer(address(case))
    try:
        peer.upgrade()
        peer.text(payload)
        heard = peer.heard()
        peer.end_with(1000)
        return heard
    finally:
        peer.socket.close()


def knock(case: Case, payload: Any) -> Any:
    """The status for what comes to `io`."""
    return case.running.call("n", payload, port="io")["status"]


def leave_gateway(case: Case) -> None:
    """A process of a connection is exited while a message of it is handled."""
    case.probes.gates[GATE] = Event()
    peer = Peer(address(case))
    try:
        peer.upgrade()
        peer.text("x")
        until(lambda: case.probes.of(GATE))
        (process,) = case.processes
        exiting = gevent.spawn(process.exit)
        peer.end_with(peer.frame().code)  # it says goodbye
        exiting.get()
    finally:
        peer.socket.close()
    case.probes.gates.clear()
    case.quiet()
    assert visit(case, "again") == "again"


# -- files that change -----------------------------------------------------------------------------


def change(case: Case, payload: Any) -> Any:
    """Make a file, and see the event."""
    (case.folder / f"{payload}.txt").write_text("x")
    name = str(case.folder / f"{payload}.txt")
    until(lambda: any(event["path"] == name for event in case.probes.of(GATE)))
    return {event["path"] for event in case.probes.of(GATE)} == {name}


def change_badly(case: Case) -> None:
    change(case, "bad")
    if case.linked:
        until(lambda: case.handled)
        assert PICKED in case.handled[0]
    else:
        until(lambda: PICKED in case.log.text)


def leave_watch(case: Case) -> None:
    case.probes.gates[GATE] = Event()
    change(case, "first")
    for process in list(case.processes):
        process.exit()
    case.probes.gates.clear()
    case.quiet()
    (case.folder / "second.txt").write_text("x")
    until(lambda: any("second" in event["path"] for event in case.probes.of(GATE)))


TAKES_NOTHING = Missing("a source has no in port")

ROWS = {
    "listener": Row(
        flow="- {kind: listener, name: n, port: 0, links: {out: {name: gate}}}\n"
        "- {kind: probe, name: gate, links: {out: {name: a}}}"
        + PICKY.replace('self == "bad"', 'self.body == "bad"').replace(
            "? self * 2 : self", "? self.body * 2 : self.body"
        ),
        happy=Sent("x", "x"),
        error=Sent("bad", error=PICKED, raised="500"),
        null=Sent(None, None),
        wrong=Sent(b"{no JSON", error="400"),
        exits=Exit("x", answer=Refused),
        ask=post,
    ),
    "http": Row(
        flow="- {kind: http, name: n, url: URL}",
        happy=Sent("x", "x"),
        error=Sent({"method": "NO WAY"}, error="invalid argument"),
        null=Sent(None, None),
        wrong=Sent({"header": 5}, error="invalid argument"),
        exits=Exit("long", began=lambda case: case.node.in_flight),
        ask=fetched,
        using=echoing,
    ),
    "websocket": Row(
        flow="""
- {kind: probe, name: both, links: {out: [{name: n, port: io}, {name: n}]}}
- {kind: websocket, name: n, url: URL, links: {out: {name: gate}}}
- {kind: probe, name: gate}
""",
        happy=Sent("x", "x"),
        error=Sent({"type": 99, "data": "x"}, error="invalid argument"),
        null=Sent(None, "null"),
        wrong=Sent({"type": "one"}, '{"type":"one"}'),
        exits=Exit("x", answer="x"),
        ask=converse,
        using=talking,
    ),
    "gateway": Row(
        flow="""
- {kind: listener, name: http, port: 0, links: {out: {name: n, port: io}}}
- {kind: gateway, name: n, timeout: 10ms, links: {out: {name: gate}}}
- {kind: probe, name: gate, links: {out: {name: n}}}
""",
        happy=Sent("x", "x"),
        error=Sent("x", error="no WebSocket", by=call),
        null=Sent(None, error="no WebSocket", by=call),
        wrong=Sent("no request", 426, by=knock),
        exits=leave_gateway,
        ask=visit,
    ),
    "watch": Row(
        flow="- {kind: watch, name: n, path: FOLDER, links: {out: {name: gate}}}\n"
        "- {kind: probe, name: gate, links: {out: {name: a}}}"
        + PICKY.replace('self == "bad" ? self', 'self.path.contains("bad") ? self.path'),
        happy=Sent("x", True),
        error=change_badly,
        null=TAKES_NOTHING,
        wrong=TAKES_NOTHING,
        exits=leave_watch,
        ask=change,
    ),
}
