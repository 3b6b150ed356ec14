"""websocket: connections that workflows open to servers (BEHAVIOUR 12)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gevent
import pytest
import trustme
from gevent.event import Event

from greenflow.config import HttpSettings
from greenflow.engine.process import Process
from greenflow.errors import (
    AddressForbidden,
    InvalidArgument,
    NotConnected,
    RequestFailed,
    RequestTimedOut,
    SpecInvalid,
)
from greenflow.hub.clock import Clock
from greenflow.net.websocket.frames import BINARY, CLOSE, PING, PONG, TEXT
from greenflow.net.websocket.frames import close_payload as closing
from greenflow.nodes.websocket.client import WebSocketSpec, read_url, to_handshake
from greenflow.scheme.registry import Scheme
from tests.flows import Flow, flow
from tests.net.websockets import Frame, Peer, frame, listening
from tests.nodes.sockets import (
    CLIENT,
    ECHO,
    HEARD,
    OPEN,
    Outgoing,
    outgoing,
)
from tests.waiting import until

CLOSES = """
- {kind: snippet, name: heard, language: json, code: '{"type": 8}', links: {out: {name: ws}}}
"""


# -- 12.2: connecting ----------------------------------------------------------------------------


def test_io_connects_and_is_answered_nothing() -> None:
    with outgoing() as found:
        caller = found.open()
        assert found.probes.of("opened") == [None]
        assert caller.request == "GET / HTTP/1.1"
        assert caller.header("Host") == f"127.0.0.1:{found.server.port}"
        assert caller.header("Upgrade") == "websocket"
        assert caller.header("Sec-WebSocket-Version") == "13"
        assert caller.header("Sec-WebSocket-Extensions") is None
        caller.text("x")
        assert caller.heard() == "x"


def test_the_connection_lives_in_a_child_of_the_process_that_opened_it() -> None:
    with outgoing() as found:
        caller = found.open()
        caller.text("x")
        assert caller.heard() == "x"
        opener, message = found.probes.processes
        assert message.parent is not None
        assert message.parent.parent is opener
        assert found.processes == {opener}  # it was answered, and waits for the connection
        caller.end_with(1000)
        until(lambda: not found.processes)


@pytest.mark.parametrize(
    ("url", "payload", "asked"),
    [
        ("ws://a.example", {}, "http://a.example/"),
        ("wss://a.example/chat?room=1", None, "https://a.example/chat?room=1"),
        ("wss://a.example:8443", "no request", "https://a.example:8443/"),
        ("http://a.example", {}, "http://a.example/"),
        # The payload says what the url leaves out ...
        ("", {"host": "b.example"}, "https://b.example/"),
        ("", {"scheme": "ws", "host": "b.example:81", "path": "x y"}, "http://b.example:81/x%20y"),
        ("", {"scheme": "http", "host": "[::1]:81"}, "http://[::1]:81/"),
        (
            "ws://a.example",
            {"path": "/p", "query": {"q": ["1", "2"]}},
            "http://a.example/p?q=1&q=2",
        ),
        ("/only/path", {"host": "b.example"}, "https://b.example/only/path"),
        # ... and the url overrides the rest, part by part.
        (
            "ws://a.example/chat?room=1",
            {"scheme": "wss", "host": "b.example", "path": "/p", "query": {"q": ["1"]}},
            "http://a.example/chat?room=1",
        ),
    ],
)
def test_the_parts_of_the_url_override_those_of_the_payload(
    url: str, payload: Any, asked: str
) -> None:
    spec = WebSocketSpec(kind="websocket", url=url)
    target = to_handshake(read_url(url), payload, spec).url
    assert f"{target}{target.target}" == asked


def test_headers_of_the_payload_are_sent_less_those_of_the_hop_and_the_handshake() -> None:
    payload = {
        "header": {
            "cookie": ["a=b", "c=d"],
            "Authorization": "Bearer x",
            "x-many": ["1", "2"],
            "Host": ["evil"],
            "Connection": ["Upgrade, X-Hop"],
            "X-Hop": ["y"],
            "Content-Length": ["5"],
            "Sec-WebSocket-Key": ["AAAA"],
            "Sec-WebSocket-Extensions": ["permessage-deflate"],
            "Sec-WebSocket-Protocol": ["v1, v2"],
        }
    }
    with outgoing() as found:
        opening = gevent.spawn(found.running.call, "open", payload)
        caller = found.server.caller()
        assert caller.header("Cookie") == "a=b; c=d"
        assert caller.header("Authorization") == "Bearer x"
        assert [value for name, value in caller.headers if name == "X-Many"] == ["1", "2"]
        assert caller.header("X-Hop") is None
        assert caller.header("Content-Length") is None
        assert caller.header("Sec-WebSocket-Key") != "AAAA"
        assert caller.header("Sec-WebSocket-Extensions") is None
        assert caller.header("Sec-WebSocket-Protocol") == "v1, v2"
        caller.accept("Sec-WebSocket-Protocol: v2\r\n")
        opening.get()


def test_subprotocols_compression_and_a_user() -> None:
    with outgoing(", compression: true, subprotocols: [b, a]") as found:
        found.edit(url=found.server.url.replace("//", "//name:secret@"))
        opening = gevent.spawn(
            found.running.call, "open", {"header": {"Sec-WebSocket-Protocol": "x"}}
        )
        caller = found.server.caller()
        assert caller.header("Sec-WebSocket-Protocol") == "b, a"
        assert caller.header("Sec-WebSocket-Extensions") == (
            "permessage-deflate; client_max_window_bits"
        )
        assert caller.header("Authorization") == "Basic bmFtZTpzZWNyZXQ="
        caller.accept("Sec-WebSocket-Extensions: permessage-deflate\r\n")
        opening.get()
        caller.text("abc" * 100)
        assert caller.frame().rsv == 4


@pytest.mark.parametrize(
    "payload",
    [
        {"header": []},
        {"header": {"X": [None]}},
        {"header": {"X": "a\r\nb: c"}},
        {"header": {"a b": "x"}},
        {"header": {"X": "☃"}},
        {"path": 5},
    ],
)
def test_a_payload_that_makes_no_request_is_an_error(payload: Any) -> None:
    with outgoing() as found, pytest.raises(InvalidArgument):
        found.running.call("open", payload)


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"host": 5},
        {"host": "a b"},
        {"host": "u:p@b"},
        {"host": "b:99999"},
        {"host": "b", "scheme": "ftp"},
        {"host": "b", "scheme": 1},
    ],
)
def test_a_payload_without_a_host_is_an_error(payload: Any) -> None:
    with pytest.raises(InvalidArgument):
        to_handshake(read_url(""), payload, WebSocketSpec(kind="websocket"))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "answered 404"),
        ("HTTP/1.1 302 Found\r\nLocation: http://b/\r\n\r\n", "answered 302"),
        ("HTTP/1.1 200 OK\r\n\r\n", "answered 200"),
        ("HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n", "broke the handshake"),
        ("HTTP/1.1 101 Switching\r\nno header\r\n\r\n", "broke the handshake"),
        ("SSH-2.0-OpenSSH\r\n\r\n", "is no HTTP"),
        ("HTTP/1.1 200 OK\r\n", "ended the connection in the handshake"),
        ("HTTP/1.1 200 OK\r\nX: " + "x" * 70_000, "has no end"),
    ],
)
def test_a_server_that_does_not_agree_is_an_error(answer: str, said: str) -> None:
    with outgoing() as found:
        opening = gevent.spawn(found.running.call, "open")
        caller = found.server.caller()
        caller.send(answer)
        caller.end()
        with pytest.raises(RequestFailed, match=said) as failed:
            opening.get()
        assert str(failed.value).startswith(found.server.url)
        until(lambda: not found.processes)


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ("", "bm9uc2Vuc2U="),
        ("Sec-WebSocket-Protocol: not-asked-for\r\n", None),
        ("Sec-WebSocket-Extensions: permessage-deflate\r\n", None),
    ],
)
def test_a_server_that_agrees_to_something_else_is_an_error(headers: str, key: str | None) -> None:
    with outgoing() as found:
        opening = gevent.spawn(found.running.call, "open")
        found.server.caller().accept(headers, key=key)
        with pytest.raises(RequestFailed, match="broke the handshake"):
            opening.get()


def test_a_bad_agreement_on_compression_is_an_error() -> None:
    with outgoing(", compression: true") as found:
        opening = gevent.spawn(found.running.call, "open")
        agreed = "permessage-deflate; client_max_window_bits=8"
        found.server.caller().accept(f"Sec-WebSocket-Extensions: {agreed}\r\n")
        with pytest.raises(RequestFailed, match="broke the handshake"):
            opening.get()


def test_interim_answers_are_passed_over() -> None:
    with outgoing() as found:
        opening = gevent.spawn(found.running.call, "open")
        caller = found.server.caller()
        caller.send("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")
        caller.accept(ahead=frame(TEXT, b"at once", masked=False))
        opening.get()
        assert caller.heard() == "at once"


def test_connecting_has_a_time_limit() -> None:
    with outgoing(", timeout: 20ms") as found:
        opening = gevent.spawn(found.running.call, "open")
        caller = found.server.caller()
        with pytest.raises(RequestTimedOut, match=r"no WebSocket within 0\.02 s"):
            opening.get()
        assert caller.closed()


def test_a_server_that_is_not_there_is_an_error() -> None:
    with outgoing() as found:
        found.server.socket.close()
        with pytest.raises(RequestFailed, match="Connection refused"):
            found.running.call("open")


def test_a_failure_goes_to_error() -> None:
    text = "- {kind: probe, name: failed, answer: taken}\n"
    with outgoing(text=ECHO + text) as found:
        links = {"out": {"name": "heard", "port": "in"}, "error": {"name": "failed", "port": "in"}}
        found.edit(links=links)
        found.server.socket.close()
        assert found.running.call("ws", port="io") == "taken"
        assert isinstance(found.probes.of("failed")[0], RequestFailed)


def test_a_process_that_exits_while_it_connects_leaves_nothing_behind() -> None:
    with outgoing() as found:
        opening = gevent.spawn(found.running.call, "open")
        caller = found.server.caller()
        (process,) = found.processes
        process.exit()
        with pytest.raises(Exception, match="process exited"):
            opening.get()
        assert caller.closed()


# -- who may be connected to (11.6) --------------------------------------------------------------


def test_a_host_of_a_payload_must_be_public() -> None:
    with outgoing(url="/") as found:
        for host in ("127.0.0.1", "127.1", "[::1]", "169.254.169.254"):
            payload = {"scheme": "ws", "host": f"{host}:{found.server.port}"}
            with pytest.raises(AddressForbidden):
                found.running.call("open", payload)


def test_the_setting_allows_others() -> None:
    client = CLIENT.replace("URL", "").replace("FIELDS", "")
    with (
        listening() as server,
        flow(client + OPEN + ECHO, http=HttpSettings(allow=["loopback"])) as running,
    ):
        found = Outgoing(running, server)
        caller = found.open({"scheme": "ws", "host": f"127.0.0.1:{server.port}"})
        caller.text("x")
        assert caller.heard() == "x"
        caller.socket.close()


# -- 12.5 to 12.8 --------------------------------------------------------------------------------


def test_messages_go_both_ways() -> None:
    with outgoing() as found:
        caller = found.open()
        caller.text("grüße")
        assert caller.heard() == "grüße"
        caller.binary(b"\x00\xff")
        assert caller.frame() == Frame(BINARY, b"\x00\xff")
        caller.send(frame(PING, b"there?", masked=False))
        assert caller.frame() == Frame(PONG, b"there?")
        caller.end_with(4000, "bye")
        assert caller.frame() == Frame(CLOSE, b"\x0f\xa0")
        until(lambda: not found.processes)
        assert found.heard()[-1] == {"type": CLOSE, "data": closing(4000, "bye")}
        caller.end()
        assert caller.closed()  # the server ends TCP, and the client follows


def test_frames_are_masked_each_with_another_key() -> None:
    with outgoing() as found:
        caller = found.open()
        keys = set()
        for _ in range(4):
            caller.text("x")
            raw = caller._exactly(7)
            assert raw[:2] == b"\x81\x81"
            keys.add(raw[2:6])
        assert len(keys) > 1


def test_in_waits_for_the_connection_and_sends_on_that_of_its_process() -> None:
    text = (
        HEARD
        + """
- {kind: snippet, name: hello, code: hello, links: {out: {name: ws}}}
- {kind: nop, name: both_done}
- {kind: split, name: both, links: {out: {name: hello}, "out[1]": {name: ws, port: io}}}
"""
    )
    with outgoing(text=text) as found:
        opening = gevent.spawn(found.running.call, "both", ["greet", None])
        caller = found.server.accepted()
        assert caller.heard() == "hello"
        opening.get()
        found.open()
        found.edit(timeout=0.02)
        with pytest.raises(NotConnected):
            found.running.call("ws", "whose?")


def test_in_closes() -> None:
    text = CLOSES
    with outgoing(text=text) as found:
        caller = found.open()
        caller.text("x")
        assert caller.frame() == Frame(CLOSE, b"")
        until(lambda: not found.processes)
        caller.end_with(1000)
        caller.end()
        assert caller.closed()


def test_a_connection_that_breaks_is_a_close_with_1006() -> None:
    with outgoing(text=HEARD) as found:
        caller = found.open()
        caller.reset()
        until(lambda: not found.processes)
        (last,) = found.heard()
        assert last["data"][:2] == closing(1006)


def test_a_server_that_is_silently_gone_is_found_out() -> None:
    with outgoing(", ping: {interval: 1ms, timeout: 1ms}", HEARD) as found:
        caller = found.open()
        assert caller.frame() == Frame(PING, b"")
        until(lambda: not found.processes)
        assert found.heard()[-1]["data"][:2] == closing(1006)
        assert caller.closed()


def test_a_message_over_the_limit_closes_with_1009() -> None:
    with outgoing(", limits: {message: 10}", HEARD) as found:
        caller = found.open()
        caller.text("x" * 11)
        assert caller.frame().code == 1009
        until(lambda: not found.processes)


def test_a_proxy_of_a_gateway_and_a_websocket() -> None:
    text = """
- kind: listener
  name: http
  port: 0
  links: {out: [{name: near, port: io}, {name: far, port: io}]}
- {kind: gateway, name: near, links: {out: {name: far}}}
- {kind: websocket, name: far, url: 'URL', links: {out: {name: near}}}
"""
    with listening() as server, flow(text.replace("URL", server.url)) as running:
        peer = Peer(running.runtime.table.find("http").version.node.lease.address)  # type: ignore[union-attr]
        peer.upgrade(target="/chat?x=1")
        caller = server.accepted()
        assert caller.request == "GET /chat?x=1 HTTP/1.1"
        peer.text("there")
        assert caller.heard() == "there"
        caller.text("and back")
        assert peer.heard() == "and back"
        peer.end_with(4000, "bye")
        assert caller.frame() == Frame(CLOSE, closing(4000, "bye"))
        caller.end_with(4000)
        until(lambda: not running.runtime.services.processes)
        peer.socket.close()
        caller.socket.close()


# -- reconnecting --------------------------------------------------------------------------------

QUICKLY = ", reconnect: {initial: 1ms, max: 2ms}"


@pytest.mark.parametrize("code", [1001, 1006, 1012])
def test_a_connection_that_was_lost_is_opened_again(code: int) -> None:
    with outgoing(QUICKLY) as found:
        caller = found.open({"path": "/again"})
        opener = found.probes.processes[0]
        caller.text("first")
        assert caller.heard() == "first"
        if code == 1006:
            caller.reset()
        else:
            caller.end_with(code)
        again = found.server.accepted()
        assert again.request == "GET /again HTTP/1.1"
        again.text("second")
        assert again.heard() == "second"
        assert found.processes == {opener}
        assert [said["type"] for said in found.heard()] == [TEXT, CLOSE, TEXT]
        again.end_with(1000)
        until(lambda: not found.processes)


def test_it_tries_until_the_server_is_there_again_and_in_waits_meanwhile(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with outgoing(QUICKLY) as found:
        opening = gevent.spawn(found.running.call, "open")
        caller = found.server.accepted()
        opening.get()
        found.server.socket.close()
        caller.reset()
        until(lambda: "not connected again yet" in caplog.text)
        opener = found.probes.processes[0]
        node = found.running.runtime.table.find("ws").version.node
        connections = node.connections  # type: ignore[union-attr]
        assert opener.data.get(connections) is None
        waiting = gevent.spawn(connections.of, opener, 10.0, Clock())
        found.server.listen()
        found.server.accepted()
        assert waiting.get().is_open


@pytest.mark.parametrize("by", ["server", "workflow"])
def test_a_connection_that_was_closed_on_purpose_is_not_opened_again(by: str) -> None:
    text = CLOSES
    with outgoing(QUICKLY, text) as found:
        caller = found.open()
        if by == "server":
            caller.end_with(1000)
        else:
            caller.text("close, please")
        assert caller.frame().opcode == CLOSE
        until(lambda: not found.processes)


def test_a_node_that_is_removed_does_not_reconnect() -> None:
    with outgoing(", reconnect: {initial: 1h}", HEARD) as found:
        caller = found.open()
        caller.reset()
        until(lambda: bool(found.heard()))
        found.running.runtime.operations.delete({"name": "open"})
        found.running.runtime.operations.delete({"name": "ws"})
        until(lambda: not found.processes)


def test_a_process_that_exits_ends_the_reconnecting() -> None:
    with outgoing(", reconnect: {initial: 1h}", HEARD) as found:
        caller = found.open()
        caller.reset()
        until(lambda: bool(found.heard()))
        (process,) = found.processes
        process.exit()
        until(lambda: not found.processes)


def test_an_edit_counts_for_the_next_connection_and_leaves_this_one_open() -> None:
    with outgoing(", reconnect: {initial: 1ms}") as found, listening() as other:
        caller = found.open()
        found.edit(url=other.url)
        caller.text("still here")
        assert caller.heard() == "still here"
        until(lambda: not found.running.runtime.table.draining)
        caller.end_with(1012)
        moved = other.accepted()
        moved.text("and now here")
        assert moved.heard() == "and now here"
        found.edit(reconnect=None)
        moved.end_with(1012)
        until(lambda: not found.processes)


# -- the end -------------------------------------------------------------------------------------


def test_at_shutdown_connections_are_closed_with_1001_after_the_message_in_hand() -> None:
    with outgoing() as found:
        found.probes.gates["heard"] = Event()
        found.probes.reached["heard"] = Event()
        caller = found.open()
        caller.text("under way")
        found.probes.reached["heard"].wait()
        stopping = gevent.spawn(found.running.runtime.stop)
        gevent.idle()
        found.probes.gates["heard"].set()
        assert caller.heard() == "under way"
        assert caller.frame() == Frame(CLOSE, closing(1001))
        caller.end_with(1001)
        caller.end()
        stopping.get()
        assert caller.closed()


# -- TLS -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@contextmanager
def encrypted(authority: trustme.CA, folder: Path, **tls: object) -> Iterator[Flow]:
    """A gateway behind TLS that sends everything back, and a node that connects to it."""
    made = authority.issue_cert("127.0.0.1")
    made.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    made.private_key_pem.write_to_path(folder / "key.pem")
    served = {"cert": str(folder / "cert.pem"), "key": str(folder / "key.pem")}
    text = f"""
- kind: listener
  name: http
  port: 0
  tls: {json.dumps(served)}
  links: {{out: {{name: gate, port: io}}}}
- {{kind: gateway, name: gate, links: {{out: {{name: gate}}}}}}
"""
    with flow(
        text + OPEN + CLIENT.replace("URL", "wss://x").replace("FIELDS", "") + HEARD
    ) as running:
        listener = running.runtime.table.find("http").version.node
        url = listener.address.replace("https", "wss")  # type: ignore[union-attr]
        (record,) = running.runtime.operations.update({"name": "ws", "url": url, "tls": tls})
        running.followed(record.revision)
        yield running


def test_wss_by_a_certificate_that_is_trusted(authority: trustme.CA, tmp_path: Path) -> None:
    ca = authority.cert_pem.bytes().decode()
    with encrypted(authority, tmp_path, ca=ca) as running:
        opener: list[Process] = running.probes.processes
        running.call("open")
        long = "x" * 1_000_000
        connections = running.runtime.table.find("ws").version.node.connections  # type: ignore[union-attr]
        channel = connections.of(opener[0], 1.0, Clock())
        for text in ("hello", long):
            channel.send(TEXT, text.encode())
            until(
                lambda text=text: running.probes.of("heard")[-1:] == [{"type": TEXT, "data": text}]
            )  # type: ignore[misc]
        channel.leave(1000)
        until(lambda: not running.runtime.services.processes)


def test_wss_without_a_check_if_the_spec_says_so(authority: trustme.CA, tmp_path: Path) -> None:
    with encrypted(authority, tmp_path, verify=False) as running:
        running.call("open")


def test_a_certificate_that_is_not_trusted_is_an_error(
    authority: trustme.CA, tmp_path: Path
) -> None:
    untrusted = pytest.raises(RequestFailed, match="its certificate is not trusted")
    with encrypted(authority, tmp_path) as running, untrusted:
        running.call("open")


def test_a_server_that_speaks_no_tls_is_an_error() -> None:
    with outgoing() as found:
        found.edit(url=found.server.url.replace("ws:", "wss:"))
        opening = gevent.spawn(found.running.call, "open")
        accepted = found.server.socket.accept()[0]
        accepted.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        with pytest.raises(RequestFailed, match="TLS"):
            opening.get()
        accepted.close()


def test_a_server_that_ends_in_the_tls_handshake_is_an_error() -> None:
    with outgoing() as found:
        found.edit(url=found.server.url.replace("ws:", "wss:"))
        opening = gevent.spawn(found.running.call, "open")
        found.server.socket.accept()[0].close()
        with pytest.raises(RequestFailed, match=r"TLS handshake|reset"):
            opening.get()


# -- the spec ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"url": "ftp://a"}, "$.url"),
        ({"url": "ws://a b"}, "$.url"),
        ({"url": "a.example"}, "$.url"),
        ({"reconnect": {"factor": 0.5}}, "$.reconnect.factor"),
        ({"reconnect": True}, "$.reconnect"),
        ({"tls": {"key": "x"}}, "$.tls"),
        ({"subprotocols": "a,b"}, "$.subprotocols[0]"),
        ({"timeout": -1}, "$.timeout"),
        ({"protocol": "websocket"}, "$.protocol"),
    ],
)
def test_a_faulty_websocket_is_refused(fields: dict[str, Any], path: str) -> None:
    with pytest.raises(SpecInvalid) as invalid:
        Scheme.installed().decode({"kind": "websocket", **fields}, "default")
    assert [fault.path for fault in invalid.value.faults] == [path]
