"""gateway: HTTP requests that become WebSockets, whose messages are processes (BEHAVIOUR 12)."""

from __future__ import annotations

import json
from typing import Any

import gevent
import pytest
from gevent.event import Event

from greenflow.errors import EncodeError, InvalidArgument, NotConnected, SpecInvalid
from greenflow.net.websocket.frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT
from greenflow.net.websocket.frames import close_payload as closing
from greenflow.nodes.websocket.peer import to_message
from greenflow.scheme.registry import Scheme
from tests.flows import flow
from tests.net.websockets import Frame, frame
from tests.nodes.sockets import (
    ECHO,
    GATEWAY,
    HEARD,
    LISTENER,
    Served,
    served,
)
from tests.waiting import until

# -- 12.2 to 12.4 --------------------------------------------------------------------------------


def test_io_upgrades_the_request_and_is_answered_nothing() -> None:
    text = """
- {kind: call, name: both, links: {out: {name: ws, port: io}, "out[1]": {name: after}}}
- {kind: probe, name: after}
"""
    listener = "- {kind: listener, name: http, port: 0, links: {out: {name: both}}}\n"
    with flow(listener + text + GATEWAY + ECHO) as running:
        found = Served(running)
        found.peer()
        assert running.probes.of("after") == [None]  # NOTHING goes on as null (13, call)
        found.peers[0].socket.close()


def test_after_an_upgrade_there_is_no_response() -> None:
    text = GATEWAY + ECHO + "- {kind: snippet, name: more, code: an answer that nobody gets}\n"
    links = LISTENER.replace("{name: ws, port: io}", "[{name: ws, port: io}, {name: more}]")
    with flow(links.replace("LINKS", "") + text) as running:
        peer = Served(running).peer()
        peer.text("the first bytes after the 101 are frames")
        assert peer.heard() == "the first bytes after the 101 are frames"
        peer.socket.close()


@pytest.mark.parametrize(
    ("headers", "status", "said"),
    [
        ("", 426, "no request for a WebSocket"),
        ("Connection: Upgrade\r\nUpgrade: h2c\r\n", 426, "asks for no WebSocket"),
        ("Connection: Upgrade\r\nUpgrade: websocket\r\n", 400, "no Sec-WebSocket-Version"),
        (
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 8\r\n",
            426,
            "the version of WebSocket is 13",
        ),
    ],
)
def test_a_request_that_cannot_be_upgraded_is_answered(
    headers: str, status: int, said: str
) -> None:
    with served() as found:
        client = found.client()
        answer = client.ask(headers=headers)
        assert answer.status == status
        assert said in answer.text
        if status == 426:
            assert answer.headers["upgrade"] == "websocket"
            assert answer.headers["sec-websocket-version"] == "13"
        assert client.ask().status == 426  # the connection goes on
        until(lambda: not found.processes)


def test_a_refusal_goes_to_error_and_that_answer_is_the_response() -> None:
    gateway = "- {kind: gateway, name: ws, links: {out: {name: heard}, error: {name: refused}}}\n"
    text = gateway + ECHO + "- {kind: probe, name: refused, answer: use the other door}\n"
    with served(text) as found:
        assert found.client().ask().text == "use the other door"
        (payload,) = found.probes.of("refused")
        assert payload["status"] == 426
        assert payload["header"] == {"Upgrade": ["websocket"], "Sec-WebSocket-Version": ["13"]}


def test_what_is_no_request_at_all_is_refused_too() -> None:
    with served() as found:
        assert found.running.call("ws", "hello", port="io")["status"] == 426


def test_one_request_is_upgraded_once() -> None:
    text = LISTENER.replace("{name: ws, port: io}", "[{name: ws, port: io}, {name: two, port: io}]")
    second = "- {kind: gateway, name: two, links: {error: {name: refused}}}\n"
    refused = "- {kind: probe, name: refused}\n"
    with flow(text.replace("LINKS", "") + GATEWAY + ECHO + second + refused) as running:
        peer = Served(running).peer()
        assert [payload["status"] for payload in running.probes.of("refused")] == [426]
        peer.text("x")
        assert peer.heard() == "x"
        peer.socket.close()


def test_a_response_that_was_there_first_wins() -> None:
    text = """
- {kind: listener, name: http, port: 0, links: {out: {name: f}}}
- {kind: fork, name: f, links: {out: {name: late}}}
- {kind: probe, name: late, links: {out: {name: ws, port: io}}}
"""
    gateway = "- {kind: gateway, name: ws, links: {error: {name: refused}}}\n"
    with flow(text + gateway + "- {kind: probe, name: refused}\n") as running:
        running.probes.gates["late"] = Event()
        client = Served(running).client()
        answer = client.ask(headers="Connection: Upgrade\r\nUpgrade: websocket\r\n")
        assert answer.status == 200
        running.probes.gates["late"].set()
        until(lambda: bool(running.probes.of("refused")))
        client.socket.close()


def test_the_connection_lives_in_a_child_of_the_process_that_upgraded() -> None:
    text = GATEWAY + ECHO + "- {kind: probe, name: first}\n"
    listener = LISTENER.replace("{name: ws, port: io}", "[{name: first}, {name: ws, port: io}]")
    with flow(listener.replace("LINKS", "") + text) as running:
        found = Served(running)
        peer = found.peer()
        peer.text("x")
        peer.heard()
        upgraded, message = running.probes.processes
        assert found.processes == {upgraded}
        assert message.parent is not None
        assert message.parent.parent is upgraded
        assert upgraded.children == {message.parent}
        peer.end_with(1000)
        until(lambda: not found.processes)
        peer.socket.close()


def test_a_child_process_may_upgrade_the_request() -> None:
    text = """
- {kind: listener, name: http, port: 0, links: {out: [{name: f}, {name: hold}]}}
- {kind: fork, name: f, links: {out: {name: ws, port: io}}}
- {kind: probe, name: hold}
"""
    with flow(text + GATEWAY + ECHO) as running:
        running.probes.gates["hold"] = Event()
        found = Served(running)
        peer = found.peer()
        running.probes.gates["hold"].set()
        peer.text("x")
        assert peer.heard() == "x"
        peer.end_with(1000)
        until(lambda: not found.processes)
        peer.socket.close()


# -- settling ------------------------------------------------------------------------------------

FAILS = """
- kind: listener
  name: http
  port: 0
  links: {out: [{name: works}, {name: ws, port: io}, {name: fails}]}
- {kind: probe, name: works, resource: true}
- {kind: probe, name: fails, raises: on purpose}
"""


def test_a_process_that_upgraded_and_fails_is_rolled_back_and_closes_with_1011(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with flow(FAILS + GATEWAY + HEARD) as running:
        found = Served(running)
        peer = found.peer()
        assert peer.frame() == Frame(CLOSE, closing(1011))
        assert ("works", "rolled back") in running.probes.seen
        until(lambda: not found.processes)
        assert found.heard() == [{"type": CLOSE, "data": closing(1011)}]
        peer.socket.close()
    assert [r.message for r in caplog.records if "unhandled" in r.message] == [
        "unhandled error: InvalidArgument: invalid argument, because of ValueError: on purpose"
    ]


def test_what_the_process_did_is_committed_before_the_first_message_is_looked_at() -> None:
    text = """
- kind: listener
  name: http
  port: 0
  links: {out: [{name: works}, {name: ws, port: io}, {name: hold}]}
- {kind: probe, name: works, resource: true}
- {kind: probe, name: hold}
"""
    with flow(text + GATEWAY + ECHO) as running:
        running.probes.gates["hold"] = Event()
        peer = Served(running).peer()
        peer.text("early")
        peer.send(frame(PING, b"the engine answers"))
        assert peer.frame() == Frame(PONG, b"the engine answers")
        assert running.probes.of("heard") == []
        running.probes.gates["hold"].set()
        assert peer.heard() == "early"
        seen = running.probes.seen
        assert seen.index(("works", "committed")) < seen.index(
            ("heard", {"type": TEXT, "data": "early"})
        )
        peer.socket.close()


# -- 12.5, 12.6 ----------------------------------------------------------------------------------


def test_messages_leave_as_type_and_data() -> None:
    with served(GATEWAY + HEARD) as found:
        peer = found.peer()
        peer.text("grüße")
        peer.binary(b"\x00\xff")
        peer.send(frame(TEXT, b"a", fin=False) + frame(CONTINUATION, b"b"))
        peer.send(frame(PING) + frame(PONG))
        peer.end_with(4000, "bye")
        until(lambda: len(found.heard()) == 4)
        assert found.heard() == [
            {"type": TEXT, "data": "grüße"},
            {"type": BINARY, "data": b"\x00\xff"},
            {"type": TEXT, "data": "ab"},
            {"type": CLOSE, "data": closing(4000, "bye")},
        ]
        until(lambda: not found.processes)


def test_the_answer_to_a_message_is_not_sent() -> None:
    with served(GATEWAY + "- {kind: probe, name: heard, answer: not sent}\n") as found:
        peer = found.peer()
        peer.text("x")
        peer.send(frame(PING, b"after it"))
        assert peer.frame() == Frame(PONG, b"after it")


def test_each_message_is_a_child_and_the_next_waits_for_it_and_its_children() -> None:
    text = """
- {kind: probe, name: heard, links: {out: {name: f}}}
- {kind: fork, name: f, links: {out: {name: slow}}}
- {kind: probe, name: slow}
"""
    with served(GATEWAY + text) as found:
        probes = found.probes
        peer = found.peer()
        for gate in ("heard", "slow"):
            probes.gates[gate], probes.reached[gate] = Event(), Event()
            peer.text(gate)
        probes.reached["heard"].wait()
        peer.send(frame(PING))
        assert peer.frame() == Frame(PONG, b"")  # so the second message was seen by the engine
        assert len(found.heard()) == 1
        probes.gates["heard"].set()
        probes.reached["slow"].wait()
        assert len(found.heard()) == 1
        probes.gates["slow"].set()
        until(lambda: len(found.heard()) == 2)
        passed = zip(probes.processes, probes.seen, strict=True)
        first, second = (process for process, (name, _) in passed if name == "heard")
        assert first is not second
        assert first.parent is second.parent


def test_connections_are_independent_of_each_other() -> None:
    with served() as found:
        found.probes.gates["heard"] = Event()
        found.probes.reached["heard"] = Event()
        slow = found.peer()
        slow.text("slow")
        found.probes.reached["heard"].wait()
        gate = found.probes.gates.pop("heard")
        quick = found.peer()
        quick.text("quick")
        assert quick.heard() == "quick"
        gate.set()
        assert slow.heard() == "slow"


@pytest.mark.parametrize("is_linked", [True, False])
def test_an_error_that_no_node_took_goes_to_error_else_to_the_log(
    is_linked: bool, caplog: pytest.LogCaptureFixture
) -> None:
    links = "{out: {name: heard}, error: {name: failed}}" if is_linked else "{out: {name: heard}}"
    text = f"""
- {{kind: gateway, name: ws, links: {links}}}
- kind: probe
  name: heard
  raises: on purpose
  times: 1
  resource: true
  links: {{out: {{name: ws}}}}
- {{kind: probe, name: failed, answer: taken}}
"""
    with served(text) as found:
        peer = found.peer()
        peer.text("first")
        peer.text("second")  # the connection goes on
        assert peer.heard() == "second"
        errors = [str(error) for error in found.probes.of("failed")]
        assert errors == (["invalid argument"] if is_linked else [])
        ends = [said for said in found.heard() if said in ("committed", "rolled back")]
        assert ends[0] == ("committed" if is_linked else "rolled back")
    unhandled = [r for r in caplog.records if "unhandled" in r.message]
    assert len(unhandled) == (0 if is_linked else 1)


# -- 12.7 ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ("grüße", (TEXT, "grüße".encode())),
        (b"\x00\xff", (BINARY, b"\x00\xff")),
        ({"a": [1, None]}, (TEXT, b'{"a":[1,null]}')),
        (None, (TEXT, b"null")),
        (1.5, (TEXT, b"1.5")),
        (ValueError("said"), (TEXT, b'"said"')),
        ({"type": 1, "data": "x"}, (TEXT, b"x")),
        ({"type": 1, "data": b"x"}, (TEXT, b"x")),
        ({"type": 1, "data": None}, (TEXT, b"")),
        ({"type": 1, "data": {"a": 1}}, (TEXT, b'{"a":1}')),
        ({"type": 2, "data": b"x"}, (BINARY, b"x")),
        ({"type": 2, "data": "x"}, (BINARY, b"x")),
        ({"type": 8, "data": closing(4000, "bye")}, (CLOSE, closing(4000, "bye"))),
        ({"type": 8, "data": "bye"}, (CLOSE, closing(1000, "bye"))),
        ({"type": 8, "data": None}, (CLOSE, b"")),
        ({"type": 8}, (CLOSE, b"")),
        # A close that came without a code, or did not come, is passed on without one.
        ({"type": 8, "data": closing(1005)}, (CLOSE, b"")),
        ({"type": 8, "data": closing(1006, "lost")}, (CLOSE, b"")),
        # What only looks like a message.
        ({"type": 1}, (TEXT, b'{"type":1}')),
        ({"type": "chat", "data": "x"}, (TEXT, b'{"type":"chat","data":"x"}')),
        ({"type": True, "data": "x"}, (TEXT, b'{"type":true,"data":"x"}')),
        ({"type": 1, "data": "x", "to": "all"}, (TEXT, b'{"type":1,"data":"x","to":"all"}')),
    ],
)
def test_a_payload_is_a_message(payload: Any, message: tuple[int, bytes]) -> None:
    assert to_message(payload) == message


@pytest.mark.parametrize(
    "payload",
    [
        {"type": 9, "data": b""},
        {"type": 0, "data": b""},
        {"type": 1, "data": b"\xff"},
        {"type": 8, "data": 1000},
        {"type": 8, "data": b"\x03"},
        {"type": 8, "data": closing(999)},
        {"type": 8, "data": b"\x03\xe8\xff"},
        {"type": 8, "data": closing(1000) + bytes(124)},
        "half a pair: \ud800",
        {"type": 1, "data": "\ud800"},
        float("nan"),
    ],
)
def test_a_payload_that_is_no_message_is_an_error(payload: Any) -> None:
    with pytest.raises((InvalidArgument, EncodeError)):
        to_message(payload)


def test_in_sends_and_answers_nothing() -> None:
    text = """
- kind: call
  name: heard
  links: {out: {name: say}, "out[1]": {name: ws}, "out[2]": {name: after}}
- {kind: snippet, name: say, language: json, code: '{"a": "ü"}'}
- {kind: probe, name: after}
"""
    with served(GATEWAY + text) as found:
        peer = found.peer()
        peer.text("x")
        assert json.loads(peer.heard()) == {"a": "ü"}
        until(lambda: found.probes.of("after") == [None])


def test_the_process_that_upgrades_may_greet() -> None:
    # In both orders: `in` waits for the connection.
    for order in ("[{name: ws, port: io}, {name: hello}]", "[{name: hello}, {name: ws, port: io}]"):
        text = LISTENER.replace("{name: ws, port: io}", order).replace("LINKS", "")
        hello = "- {kind: snippet, name: hello, code: hello, links: {out: {name: ws}}}\n"
        with flow(text + GATEWAY + ECHO + hello) as running:
            found = Served(running)
            peer = found.peer()
            assert peer.heard() == "hello"
            peer.text("x")
            assert peer.heard() == "x"
            peer.socket.close()


def test_a_process_without_a_connection_waits_for_it_and_then_fails() -> None:
    gateway = "- {kind: gateway, name: ws, timeout: 20ms, links: {out: {name: heard}}}\n"
    with served(gateway + ECHO) as found:
        found.peer()  # that of another process does not count
        with pytest.raises(NotConnected, match=r"within 0\.02 s"):
            found.running.call("ws", "hello")


def test_a_message_that_is_sent_where_no_connection_is_is_an_error_of_the_workflow(
    caplog: pytest.LogCaptureFixture,
) -> None:
    text = "- {kind: gateway, name: other, timeout: 1ms}\n"
    with served(GATEWAY.replace("heard", "other") + text) as found:
        found.peer().text("x")
        until(lambda: "unhandled" in caplog.text)
        assert "opened no WebSocket connection here" in caplog.text


def test_sessions_and_a_gateway_are_a_broadcast() -> None:
    text = """
- {kind: listener, name: http, port: 0, links: {out: [{name: ws, port: io}, {name: who}]}}
- kind: snippet
  name: who
  language: cel
  code: self.path.substring(1)
  links: {out: {name: all, port: io}}
- {kind: gateway, name: ws, links: {out: {name: only}, error: {name: gone}}}
- {kind: if, name: only, when: self.type == 1, links: {out: {name: text}}}
- {kind: snippet, name: text, language: cel, code: self.data, links: {out: {name: all}}}
- {kind: session, name: all, links: {out: {name: line}}}
- kind: snippet
  name: line
  language: cel
  code: 'self[0] + ": " + self[1]'
  links: {out: {name: ws}}
- {kind: nop, name: gone}
"""
    with flow(text) as running:
        found = Served(running)
        ann, bob = found.peer(target="/ann"), found.peer(target="/bob")
        bob.text("hi")
        assert ann.heard() == "ann: hi"
        assert bob.heard() == "bob: hi"
        ann.end_with(1000)
        until(lambda: len(found.processes) == 1)
        bob.text("anybody?")
        assert bob.heard() == "bob: anybody?"
        bob.reset()
        until(lambda: not found.processes)
        ann.socket.close()


# -- 12.8 ----------------------------------------------------------------------------------------


def test_in_closes_with_type_8() -> None:
    text = (
        "- {kind: snippet, name: heard, language: cel, "
        'code: \'{"type": 8, "data": "enough"}\', links: {out: [{name: told}, {name: ws}]}}\n'
        "- {kind: probe, name: told}\n"
    )
    with served(GATEWAY + text) as found:
        peer = found.peer()
        peer.text("x")
        assert peer.frame() == Frame(CLOSE, closing(1000, "enough"))
        # The message of the close closes again, which does nothing.
        until(lambda: not found.processes)
        assert len(found.probes.of("told")) == 2
        peer.end_with(1000)
        assert peer.closed()


@pytest.mark.parametrize(
    ("wire", "code"),
    [
        (frame(TEXT, bytes(1001)), 1009),
        (frame(TEXT, bytes(600), fin=False) + frame(CONTINUATION, bytes(401)), 1009),
        (frame(TEXT, b"\xff"), 1007),
        (frame(TEXT, b"x", masked=False), 1002),
    ],
)
def test_what_is_not_allowed_closes_and_the_workflow_is_told(wire: bytes, code: int) -> None:
    gateway = "- {kind: gateway, name: ws, limits: {message: 1000}, links: {out: {name: heard}}}\n"
    with served(gateway + HEARD) as found:
        peer = found.peer()
        peer.text("x" * 1000)
        peer.send(wire)
        assert peer.frame().code == code
        until(lambda: not found.processes)
        last = found.heard()[-1]
        assert last["type"] == CLOSE
        assert int.from_bytes(last["data"][:2], "big") == code


def test_a_client_that_resets_is_a_close_with_1006() -> None:
    with served(GATEWAY + HEARD) as found:
        peer = found.peer()
        peer.text("last words")
        until(lambda: len(found.heard()) == 1)
        peer.reset()
        until(lambda: not found.processes)
        assert found.heard()[1]["data"][:2] == closing(1006)


def test_a_client_that_leaves_while_its_message_is_handled_is_no_error_of_the_workflow(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    with served(GATEWAY + ECHO) as found:
        found.probes.gates["heard"] = Event()
        found.probes.reached["heard"] = Event()
        peer = found.peer()
        peer.text("x")
        found.probes.reached["heard"].wait()
        peer.reset()
        connections = found.running.runtime.table.find("ws").version.node.connections  # type: ignore[union-attr]
        (channel,) = connections.open
        until(lambda: not channel.is_open)
        found.probes.gates["heard"].set()
        until(lambda: not found.processes)
    assert "the peer left before its message was answered" in caplog.text
    assert "unhandled" not in caplog.text


def test_the_close_of_a_connection_releases_what_hangs_on_its_process() -> None:
    text = """
- kind: listener
  name: http
  port: 0
  links: {out: [{name: ws, port: io}, {name: kept, port: io}]}
- {kind: session, name: kept, links: {out: {name: each}}}
- {kind: probe, name: each}
"""
    with flow(text + GATEWAY + HEARD) as running:
        found = Served(running)
        peer = found.peer()
        session = running.runtime.table.find("kept").version.node
        until(lambda: len(session.sessions) == 1)  # type: ignore[union-attr]
        peer.end_with(1000)
        until(lambda: not session.sessions)  # type: ignore[union-attr]
        peer.socket.close()


def test_a_connection_whose_process_exits_is_closed_with_1011() -> None:
    with served(GATEWAY + HEARD) as found:
        peer = found.peer()
        peer.text("x")
        until(lambda: bool(found.heard()))
        (process,) = found.processes
        process.exit()
        assert peer.frame() == Frame(CLOSE, closing(1011))
        until(lambda: not found.processes)


# -- changes (6.5 to 6.12) -----------------------------------------------------------------------


def test_an_open_connection_delays_no_change_and_is_served_by_the_new_version() -> None:
    text = (
        GATEWAY
        + "- {kind: snippet, name: heard, code: old, links: {out: {name: ws}}}\n"
        + "- {kind: snippet, name: other, code: other, links: {out: {name: ws}}}\n"
    )
    with served(text) as found:
        peer = found.peer()
        peer.text("x")
        assert peer.heard() == "old"
        found.edit(name="heard", code="new")  # a node downstream
        peer.text("x")
        assert peer.heard() == "new"
        gateway = found.running.runtime.table.find("ws").version.node
        found.edit(name="ws", links={"out": [{"name": "other", "port": "in"}]})
        assert found.running.runtime.table.find("ws").version.node is not gateway
        until(lambda: not found.running.runtime.table.draining)  # it does not wait for the end
        peer.text("x")
        assert peer.heard() == "other"
        found.edit(name="http", annotations={"edited": "yes"})  # the listener
        until(lambda: not found.running.runtime.table.draining)
        peer.text("x")
        assert peer.heard() == "other"
        again = found.peer()
        again.text("x")
        assert again.heard() == "other"


def test_a_new_version_changes_the_limits_of_open_connections() -> None:
    with served() as found:
        peer = found.peer()
        peer.text("12345")
        assert peer.heard() == "12345"
        found.edit(name="ws", limits={"message": 4})
        peer.text("1234")
        assert peer.heard() == "1234"
        peer.text("12345")
        assert peer.frame().code == 1009


def test_a_message_under_way_is_finished_by_the_old_version() -> None:
    with served() as found:
        found.probes.gates["heard"] = Event()
        found.probes.reached["heard"] = Event()
        peer = found.peer()
        peer.text("old")
        found.probes.reached["heard"].wait()
        old = found.running.runtime.table.find("ws").version.node
        assert old is not None
        found.edit(name="ws", buffer=1000)
        assert old.in_flight == 1
        found.probes.gates["heard"].set()
        assert peer.heard() == "old"
        until(lambda: not old.in_flight)
        peer.text("new")
        assert peer.heard() == "new"


def test_a_version_that_is_refused_leaves_connections_alone() -> None:
    with served() as found:
        peer = found.peer()
        found.edit(name="ws", links={"out": [{"name": "nobody", "port": "in"}]})
        assert "nobody" in found.running.reason("ws")
        peer.text("x")
        assert peer.heard() == "x"


def test_a_gateway_that_is_removed_closes_its_connections_with_1001() -> None:
    with served() as found:
        peer = found.peer()
        peer.text("x")
        peer.heard()
        found.edit(name="http", links={"out": [{"name": "heard", "port": "in"}]})
        found.running.runtime.operations.delete({"name": "ws"})
        assert peer.frame() == Frame(CLOSE, closing(1001))
        peer.socket.close()
        until(lambda: not found.processes)
        until(lambda: not found.running.runtime.table.draining)
        assert not found.running.runtime.services.share("websockets", dict, lambda _: None)


def test_a_gateway_that_is_made_anew_while_the_old_one_still_ends() -> None:
    with served() as found:
        found.probes.gates["heard"] = Event()
        found.probes.reached["heard"] = Event()
        old = found.peer()
        old.text("takes its time")
        found.probes.reached["heard"].wait()
        gate = found.probes.gates.pop("heard")
        document = dict(found.running.runtime.operations.read({"name": "ws"})[0].document)
        old_node = found.running.runtime.table.find("ws").version.node
        found.edit(name="http", links={"out": []})
        found.edit(name="heard", links={"out": []})
        found.running.runtime.operations.delete({"name": "ws"})
        until(lambda: "ws" not in found.running.runtime.table.names)
        (record,) = found.running.runtime.operations.create(document)
        found.running.followed(record.revision)
        found.edit(name="heard", links={"out": [{"name": "ws", "port": "in"}]})
        found.edit(name="http", links={"out": [{"name": "ws", "port": "io"}]})
        new = found.peer()
        new.text("goes on")
        assert new.heard() == "goes on"
        assert old_node is not None
        assert old_node.in_flight == 1  # the message, and no connection
        gate.set()
        until(lambda: not found.running.runtime.table.draining)
        assert old.heard() == "takes its time"
        assert old.frame().code == 1001
        new.text("still goes on")
        assert new.heard() == "still goes on"


def test_an_open_connection_keeps_no_old_version_of_anything() -> None:
    with served(GATEWAY + ECHO + "- {kind: snippet, name: other, code: old}\n") as found:
        peer = found.peer()
        peer.text("x")
        assert peer.heard() == "x"
        table = found.running.runtime.table
        old = table.find("ws").version.node
        found.edit(name="ws", timeout=9)
        until(lambda: not table.draining)
        assert table.find("ws").version.node is not old
        assert not table.services.generations.old
        peer.text("y")
        assert peer.heard() == "y"


def test_a_client_that_does_not_close_delays_no_change() -> None:
    text = GATEWAY + ECHO + "- {kind: snippet, name: other, code: old}\n"
    with served(text) as found:
        peer = found.peer()
        found.running.runtime.operations.delete({"name": "http"})
        assert peer.frame().code == 1001
        (record,) = found.running.runtime.operations.update({"name": "other", "code": "new"})
        found.running.followed(record.revision)
        assert found.running.call("other") == "new"
        peer.text("goes on as if nothing had been said")
        peer.socket.close()


def test_a_gateway_that_becomes_inactive_and_active_again() -> None:
    with served() as found:
        peer = found.peer()
        found.running.runtime.operations.delete({"name": "heard"})
        assert peer.frame().code == 1001
        peer.socket.close()
        until(lambda: not found.processes)
        probe = {"kind": "probe", "name": "heard", "links": {"out": {"name": "ws", "port": "in"}}}
        (record,) = found.running.runtime.operations.create(probe)
        found.running.followed(record.revision)
        again = found.peer()
        again.text("x")
        assert again.heard() == "x"


def test_at_shutdown_connections_are_closed_with_1001_after_the_message_in_hand() -> None:
    with served() as found:
        found.probes.gates["heard"] = Event()
        found.probes.reached["heard"] = Event()
        idle, busy = found.peer(), found.peer()
        busy.text("under way")
        found.probes.reached["heard"].wait()
        stopping = gevent.spawn(found.running.runtime.stop)
        assert idle.frame() == Frame(CLOSE, closing(1001))
        found.probes.gates["heard"].set()
        assert busy.heard() == "under way"
        assert busy.frame() == Frame(CLOSE, closing(1001))
        for peer in (idle, busy):
            peer.end_with(1001)
            assert peer.closed()
            peer.socket.close()
        stopping.get()
        told = [payload for payload in found.heard() if payload["type"] == CLOSE]
        assert told == [{"type": CLOSE, "data": closing(1001)}] * 2


def test_a_message_that_outlives_the_grace_is_exited() -> None:
    with served(GATEWAY + "- {kind: probe, name: heard, resource: true}\n", grace=0.05) as found:
        found.probes.gates["heard"] = Event()
        found.probes.reached["heard"] = Event()
        peer = found.peer()
        peer.text("never done")
        found.probes.reached["heard"].wait()
        found.running.runtime.stop()
        assert ("heard", "rolled back") in found.probes.seen
        peer.rest()


# -- the spec ------------------------------------------------------------------------------------


def test_subprotocols_origins_and_compression() -> None:
    gateway = (
        "- {kind: gateway, name: ws, subprotocols: [v2, v1], origins: 'https://a.example', "
        "compression: true, links: {out: {name: heard}}}\n"
    )
    with served(gateway + ECHO) as found:
        client = found.client()
        headers = (
            "Sec-WebSocket-Protocol: v1, v2\r\nOrigin: https://a.example\r\n"
            "Sec-WebSocket-Extensions: permessage-deflate\r\n"
        )
        answered = client.upgrade(headers)
        assert answered["sec-websocket-protocol"] == "v2"
        assert answered["sec-websocket-extensions"] == "permessage-deflate"
        client.text("abc" * 100)
        assert client.frame().rsv == 4
        other = found.client()
        other.send(
            "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            "Origin: https://evil.example\r\n\r\n"
        )
        assert other.answer().status == 403


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"protocol": "http"}, "$.protocol"),
        ({"timeout": -1}, "$.timeout"),
        ({"buffer": -1}, "$.buffer"),
        ({"limits": {"message": 0}}, "$.limits.message"),
        ({"ping": {"timeout": 0}}, "$.ping.timeout"),
        ({"subprotocols": ["a b"]}, "$.subprotocols[0]"),
        ({"origins": ["a.example"]}, "$.origins[0]"),
        ({"url": "ws://x"}, "$.url"),
        ({"links": {"out[1]": []}}, "$.links.out[1]"),
    ],
)
def test_a_faulty_gateway_is_refused(fields: dict[str, Any], path: str) -> None:
    with pytest.raises(SpecInvalid) as invalid:
        Scheme.installed().decode({"kind": "gateway", **fields}, "default")
    assert [fault.path for fault in invalid.value.faults] == [path]


def test_what_the_other_engine_writes_is_understood() -> None:
    spec = {"kind": "gateway", "protocol": "websocket", "timeout": 1_000_000_000, "buffer": 64}
    decoded = Scheme.installed().decode(spec, "default")
    assert (decoded.timeout, decoded.buffer) == (1.0, 64)  # type: ignore[attr-defined]


def test_a_tiny_buffer_is_enough() -> None:
    gateway = "- {kind: gateway, name: ws, buffer: 0, links: {out: {name: heard}}}\n"
    with served(gateway + ECHO) as found:
        peer = found.peer()
        for i in range(300):
            peer.text(str(i))
        assert [peer.heard() for _ in range(300)] == [str(i) for i in range(300)]
