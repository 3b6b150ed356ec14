"""Open WebSocket connections over real sockets: messages, pings, closing, slow and dead peers."""

from __future__ import annotations

import logging
from dataclasses import replace
from time import monotonic
from typing import Any

import gevent
import pytest
from gevent.event import Event

from greenflow.errors import NotConnected
from greenflow.net.websocket import channel as channel_module
from greenflow.net.websocket.channel import Channel, Options
from greenflow.net.websocket.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Message,
    close_payload,
)
from greenflow.net.websocket.handshake import Offer
from greenflow.net.websocket.sending import QUEUE_BYTES
from greenflow.net.wire import CLOSED, LINGERING
from tests.net.loopback import DEADLINE_SECONDS
from tests.net.websockets import HANDSHAKE, Frame, Peer, echo, frame, sockets
from tests.waiting import until

NO_PINGS = Options(ping_interval=0)


class Held:
    """A conversation that takes messages when it is told to, and keeps them."""

    def __init__(self) -> None:
        self.heard: list[Message] = []
        self.take = Event()
        self.began = Event()

    def __call__(self, channel: Channel) -> None:
        self.began.set()
        while not self.heard or self.heard[-1][0] != CLOSE:
            self.take.wait()
            self.heard.append(channel.receive())


class Silent:
    """A conversation that says nothing and ends when it is told to."""

    def __init__(self) -> None:
        self.end = Event()

    def __call__(self, channel: Channel) -> None:
        self.end.wait()


def test_messages_of_both_kinds_go_both_ways() -> None:
    with sockets() as served:
        peer = served.peer()
        peer.text("grüße")
        assert peer.heard() == "grüße"
        peer.binary(b"\x00\xff" * 40_000)
        assert peer.frame() == Frame(BINARY, b"\x00\xff" * 40_000)
        peer.send(frame(TEXT, b"a", fin=False) + frame(PING, b"x") + frame(CONTINUATION, b"b"))
        assert peer.frame() == Frame(PONG, b"x")
        assert peer.heard() == "ab"


def test_what_the_client_sends_with_its_request_is_read() -> None:
    with sockets() as served:
        peer = served.peer(ahead=frame(TEXT, b"first") + frame(TEXT, b"second"))
        assert [peer.heard(), peer.heard()] == ["first", "second"]


def test_frames_may_come_byte_by_byte() -> None:
    with sockets() as served:
        peer = served.peer()
        peer.send_bytewise(frame(TEXT, b"slowly") + frame(TEXT, b"a" * 130))
        assert [peer.heard(), peer.heard()] == ["slowly", "a" * 130]


def test_messages_may_be_compressed() -> None:
    with sockets(offer=Offer(compression=True)) as served:
        peer = served.peer("Sec-WebSocket-Extensions: permessage-deflate\r\n")
        peer.text("abc" * 100)
        answer = peer.frame()
        assert answer.rsv == 4
        assert len(answer.payload) < 100


def test_other_requests_of_the_server_are_answered_as_before() -> None:
    with sockets() as served:
        client = served.connect()
        assert client.ask().text == "plain"
        peer = Peer.__new__(Peer)
        peer.__dict__.update(client.__dict__)
        peer.upgrade()
        peer.text("upgraded later")
        assert peer.heard() == "upgraded later"


# -- control frames ------------------------------------------------------------------------------


def test_a_ping_is_answered_while_a_message_is_handled() -> None:
    held = Held()
    with sockets(held) as served:
        peer = served.peer()
        peer.text("wait for it")
        peer.send(frame(PING, b"there?"))
        assert peer.frame() == Frame(PONG, b"there?")
        assert held.heard == []
        held.take.set()
        peer.end_with(1000)
        until(lambda: len(held.heard) == 2)


def test_of_pings_that_cannot_be_answered_the_last_one_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def flood(channel: Channel) -> None:
        channel.send(BINARY, bytes(20_000_000))  # more than the kernel keeps
        echo(channel)

    with sockets(flood, NO_PINGS) as served:
        peer = served.peer()
        for i in range(1000):
            peer.send(frame(PING, b"%d" % i))
        (channel,) = served.channels
        until(lambda: channel._pong == b"999")
        assert len(peer.frame().payload) == 20_000_000
        assert peer.frame() == Frame(PONG, b"999")


def test_a_silent_peer_is_asked_whether_it_is_there() -> None:
    with sockets(options=Options(ping_interval=0.01, ping_timeout=DEADLINE_SECONDS)) as served:
        peer = served.peer()
        for _ in range(2):
            assert peer.frame() == Frame(PING, b"")
            peer.send(frame(PONG))
        peer.text("still there")
        answers = {peer.frame().opcode, peer.frame().opcode}
        assert TEXT in answers


def test_a_peer_that_does_not_answer_is_lost() -> None:
    held = Held()
    held.take.set()
    with sockets(held, Options(ping_interval=0.01, ping_timeout=0.01)) as served:
        peer = served.peer()
        assert peer.frame() == Frame(PING, b"")
        assert peer.closed()
        until(lambda: bool(held.heard))
        assert held.heard == [
            (CLOSE, close_payload(1006, "the peer did not answer a ping in time"))
        ]


def test_a_peer_is_not_asked_while_nothing_is_read_of_it() -> None:
    held = Held()
    with sockets(held, Options(ahead=0, ping_interval=0.01, ping_timeout=0.01)) as served:
        peer = served.peer()
        for text in "abc":
            peer.text(text)
        (channel,) = served.channels
        until(lambda: channel._is_paused)
        looks = 3
        for _ in range(looks):
            was = channel.deadline
            until(lambda was=was: channel.deadline > was)  # type: ignore[misc]
        assert channel.is_open
        held.take.set()
        peer.end_with(1000)
        until(lambda: len(held.heard) == 4)
        assert [data for _, data in held.heard[:3]] == ["a", "b", "c"]


# -- closing -------------------------------------------------------------------------------------


@pytest.mark.parametrize("payload", [b"", close_payload(1000), close_payload(4321, "grund ☃")])
def test_the_client_closes(payload: bytes) -> None:
    held = Held()
    held.take.set()
    with sockets(held) as served:
        peer = served.peer()
        peer.text("last words")
        peer.send(frame(CLOSE, payload))
        assert peer.frame() == Frame(CLOSE, payload[:2])
        assert peer.closed()
        until(lambda: len(held.heard) == 2)
        assert held.heard == [(TEXT, "last words"), (CLOSE, payload)]
        peer.socket.close()
        until(lambda: not served.server.connections)


def test_the_server_closes_and_waits_for_the_client() -> None:
    ended = Event()

    def leave(channel: Channel) -> None:
        channel.leave(4000, "go")
        channel.leave(4001, "twice does nothing")
        assert channel.receive() == (CLOSE, close_payload(4000, "go"))
        assert channel.receive() == (CLOSE, close_payload(4000, "go"))
        with pytest.raises(NotConnected, match="closed"):
            channel.send(TEXT, b"too late")
        ended.set()

    with sockets(leave) as served:
        peer = served.peer()
        peer.text("not looked at any more")
        assert peer.frame() == Frame(CLOSE, close_payload(4000, "go"))
        assert ended.wait(DEADLINE_SECONDS)
        (channel,) = served.channels
        assert channel.state not in (CLOSED, LINGERING)
        peer.send(frame(PING, b"not answered any more"))
        peer.end_with(4000)
        assert peer.closed()


def test_a_peer_that_does_not_close_in_time_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel_module, "CLOSE_SECONDS", 0.01)
    with sockets(lambda channel: channel.leave(1000)) as served:
        peer = served.peer()
        assert peer.frame().code == 1000
        assert peer.closed()
        until(lambda: not served.server.connections)


def test_what_was_sent_before_the_close_arrives_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel_module, "CLOSE_SECONDS", 0.3)

    def flood(channel: Channel) -> None:
        channel.send(BINARY, bytes(20_000_000))
        channel.leave(1000)

    with sockets(flood) as served:
        peer = served.peer()
        until(lambda: bool(served.channels) and not served.channels[0].is_open)
        assert len(peer.frame().payload) == 20_000_000
        assert peer.frame().code == 1000


@pytest.mark.parametrize(
    ("wire", "code"),
    [
        (frame(TEXT, b"x", masked=False), 1002),
        (frame(TEXT, b"\xff"), 1007),
        (frame(TEXT, bytes(1001)), 1009),
    ],
)
def test_what_is_not_allowed_closes(wire: bytes, code: int) -> None:
    held = Held()
    held.take.set()
    with sockets(held, replace(NO_PINGS, message=1000)) as served:
        peer = served.peer()
        peer.text("fine")
        peer.send(wire + frame(TEXT, b"never read") * 1000)
        assert peer.frame().code == code
        assert peer.closed()
        until(lambda: len(held.heard) == 2)
        assert held.heard[0] == (TEXT, "fine")
        kind, payload = held.heard[1]
        assert kind == CLOSE
        assert isinstance(payload, bytes)
        assert int.from_bytes(payload[:2], "big") == code


def reset(peer: Peer) -> None:
    peer.reset()


def end(peer: Peer) -> None:
    peer.end()


@pytest.mark.parametrize("leave", [reset, end])
@pytest.mark.parametrize("is_waiting", [True, False])
def test_a_client_that_just_goes(leave: Any, is_waiting: bool) -> None:
    held = Held()
    if is_waiting:
        held.take.set()
    with sockets(held) as served:
        peer = served.peer()
        peer.text("last words")
        until(lambda: bool(held.heard) is is_waiting and bool(served.channels))
        (channel,) = served.channels
        if not is_waiting:
            until(lambda: bool(channel._messages))
        leave(peer)
        until(lambda: channel.state == CLOSED)
        with pytest.raises(NotConnected):
            channel.send(TEXT, b"x")
        held.take.set()
        until(lambda: len(held.heard) == 2)
        assert held.heard[0] == (TEXT, "last words")
        assert held.heard[1][1][:2] == b"\x03\xee"  # type: ignore[index]
        until(lambda: not served.server.connections)


# -- backpressure --------------------------------------------------------------------------------


def test_a_client_that_sends_ahead_has_to_wait_and_loses_nothing() -> None:
    held = Held()
    with sockets(held, replace(NO_PINGS, ahead=1000)) as served:
        peer = served.peer()
        count = 100_000
        sending = gevent.spawn(peer.send, frame(TEXT, b"x" * 100) * count)
        (channel,) = served.channels
        until(lambda: channel._is_paused)
        assert len(channel._messages) < 10
        held.take.set()
        until(lambda: len(held.heard) == count)
        assert not channel._is_paused
        sending.get()
        peer.end_with(1000)
        until(lambda: len(held.heard) == count + 1)


class Flood:
    """Ten greenlets that send big messages, and what became of each."""

    def __init__(self) -> None:
        self.outcome: list[object] = []

    def one(self, channel: Channel, i: int) -> None:
        try:
            channel.send(BINARY, bytes([i]) * 2_000_000)
            self.outcome.append(i)
        except NotConnected as error:
            self.outcome.append(type(error))

    def __call__(self, channel: Channel) -> None:
        self.senders = [gevent.spawn(self.one, channel, i) for i in range(10)]
        while channel.receive()[0] != CLOSE:
            pass
        gevent.joinall(self.senders)


def test_senders_wait_for_a_slow_reader_and_come_in_order() -> None:
    flood = Flood()
    with sockets(flood, NO_PINGS) as served:
        peer = served.peer()
        (channel,) = served.channels
        until(lambda: bool(channel._senders))
        assert len(flood.outcome) + len(channel._senders) == 10
        assert channel._queued <= QUEUE_BYTES + 2_000_010
        for i in range(10):
            assert peer.frame().payload == bytes([i]) * 2_000_000
        assert flood.outcome == list(range(10))
        peer.end_with(1000)


def test_a_sender_that_is_interrupted_leaves_whole_frames_and_lets_the_next_in() -> None:
    flood = Flood()
    with sockets(flood, NO_PINGS) as served:
        peer = served.peer()
        (channel,) = served.channels
        until(lambda: len(channel._senders) >= 3)
        waiting = [i for i in range(10) if i not in flood.outcome]
        flood.senders[waiting[0]].kill()
        flood.senders[waiting[2]].kill()
        for i in range(10):
            if i not in (waiting[0], waiting[2]):
                assert peer.frame().payload == bytes([i]) * 2_000_000
        peer.end_with(1000)


def test_a_sender_that_is_interrupted_when_it_has_its_turn_passes_it_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    flood = Flood()
    with sockets(flood, NO_PINGS) as served:
        peer = served.peer()
        (channel,) = served.channels
        until(lambda: len(channel._senders) >= 2)
        first = next(i for i in range(10) if i not in flood.outcome)
        admit, killed = Channel._admit_next, []

        def kill_and_admit(channel: Channel) -> None:
            if not killed and channel._queued <= QUEUE_BYTES:
                killed.append(first)
                flood.senders[first].kill(block=False)
            admit(channel)

        monkeypatch.setattr(Channel, "_admit_next", kill_and_admit)
        got = {peer.frame().payload[0] for _ in range(9)}
        assert got == set(range(10)) - {first}
        peer.end_with(1000)


def test_a_reader_that_takes_nothing_is_cut_off_and_the_senders_are_told() -> None:
    flood = Flood()
    with sockets(flood, replace(NO_PINGS, write_timeout=0.01)) as served:
        peer = served.peer()
        until(lambda: len(flood.outcome) == 10)
        assert NotConnected in flood.outcome
        until(lambda: not served.server.connections)
        peer.socket.close()


def test_a_slow_reader_has_its_time_whatever_the_pings() -> None:
    flood = Flood()
    with sockets(flood, Options(ping_interval=0.01, write_timeout=60.0)) as served:
        peer = served.peer()
        (channel,) = served.channels
        until(lambda: bool(channel._senders))
        assert channel.deadline > monotonic() + 50.0
        peer.end_with(1000)
        peer.rest()


def test_senders_are_told_that_the_peer_has_closed() -> None:
    flood = Flood()
    with sockets(flood, NO_PINGS) as served:
        peer = served.peer()
        (channel,) = served.channels
        until(lambda: bool(channel._senders))
        peer.end_with(1000)
        until(lambda: len(flood.outcome) == 10)
        peer.rest()


# -- the server ----------------------------------------------------------------------------------


def test_a_server_that_stops_closes_idle_connections_with_1001() -> None:
    with sockets() as served:
        peers = [served.peer() for _ in range(3)]
        stopping = gevent.spawn(served.server.stop, DEADLINE_SECONDS)
        for peer in peers:
            assert peer.frame().code == 1001
            peer.end_with(1001)
            assert peer.closed()
            peer.socket.close()
        stopping.get()
        assert not served.server.connections


def test_a_message_under_way_is_finished_before_the_1001() -> None:
    under_way, release = Event(), Event()

    def slow(channel: Channel) -> None:
        channel.receive()
        under_way.set()
        release.wait()
        channel.send(TEXT, b"done")
        assert channel.receive() == (CLOSE, close_payload(1001))

    with sockets(slow) as served:
        peer = served.peer()
        peer.text("go")
        under_way.wait()
        stopping = gevent.spawn(served.server.stop, DEADLINE_SECONDS)
        gevent.idle()
        release.set()
        assert peer.heard() == "done"
        assert peer.frame().code == 1001
        peer.socket.close()
        stopping.get()


def test_a_conversation_that_begins_while_the_server_stops_is_closed() -> None:
    begin = Event()

    def late(channel: Channel) -> None:
        begin.wait()
        assert channel.receive() == (CLOSE, close_payload(1001))

    with sockets(late) as served:
        peer = served.peer()
        stopping = gevent.spawn(served.server.stop, DEADLINE_SECONDS)
        gevent.idle()
        begin.set()
        assert peer.frame().code == 1001
        peer.socket.close()
        stopping.get()


def test_after_the_grace_conversations_are_broken_off(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "greenflow.net")
    silent = Silent()
    with sockets(silent) as served:
        peer = served.peer()
        served.server.stop(0.0)
        assert not served.server.connections
        assert peer.frame().opcode == CLOSE
        assert peer.closed()


def test_the_server_waits_for_a_conversation_whose_client_has_gone() -> None:
    silent = Silent()
    with sockets(silent) as served:
        peer = served.peer()
        (channel,) = served.channels
        peer.reset()
        until(lambda: channel.state == CLOSED)
        stopping = gevent.spawn(served.server.stop, DEADLINE_SECONDS)
        gevent.idle()
        assert not stopping.ready()
        silent.end.set()
        stopping.get()


def test_a_handler_of_long_conversations_lets_others_in() -> None:
    with sockets() as served:
        busy, other = served.peer(), served.peer()
        sending = gevent.spawn(busy.send, frame(TEXT, b"x") * 20_000)
        other.text("and me")
        assert other.heard() == "and me"
        for _ in range(20_000):
            busy.heard()
        sending.get()


def test_garbage_instead_of_frames() -> None:
    with sockets() as served:
        for garbage in (b"GET / HTTP/1.1\r\n\r\n", HANDSHAKE.encode(), b"\xff" * 100):
            peer = served.peer()
            peer.send(garbage)
            assert peer.frame().code in (1002, 1009)
