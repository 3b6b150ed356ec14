"""Frames as messages and back, whatever the cuts, and what is refused (RFC 6455 5, 7.4, 8)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage

from greenflow.net.websocket import frames as frames_module
from greenflow.net.websocket.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Failure,
    Frames,
    Message,
    checked_close,
    close_payload,
    mask,
)
from tests.net.websockets import frame

LIMIT = 200_000


def server() -> Frames:
    return Frames(is_client=False, limit=LIMIT)


def read(frames: Frames, data: bytes, cuts: list[int]) -> list[Message]:
    """What is read of the data, given in pieces."""
    found, last = [], 0
    for cut in [*sorted(cut % (len(data) + 1) for cut in cuts), len(data)]:
        frames.feed(data[last:cut])
        last = cut
        while (message := frames.next()) is not None:
            found.append(message)
    return found


# Messages around every length where the form of a frame changes, as fragments.
sizes = st.sampled_from([0, 1, 2, 5, 124, 125, 126, 127, 1000, 1023, 1025, 65535, 65536, 70000])
texts = st.one_of(st.text(max_size=30), sizes.map(lambda size: "ü☃"[size % 2] * (size // 3)))
datas = st.one_of(st.binary(max_size=30), sizes.map(lambda size: b"\x00\xff"[: size % 3] * size))
messages = st.one_of(
    st.tuples(st.just(TEXT), texts),
    st.tuples(st.just(BINARY), datas),
    st.tuples(st.sampled_from([PING, PONG]), st.binary(max_size=125)),
)


@given(
    said=st.lists(st.tuples(messages, st.lists(st.integers(0, 80_000), max_size=3)), max_size=5),
    cuts=st.lists(st.integers(0, 500_000), max_size=6),
    is_client=st.booleans(),
)
def test_what_wsproto_writes_is_read_whatever_the_fragments_and_the_cuts(
    said: list[tuple[Message, list[int]]], cuts: list[int], is_client: bool
) -> None:
    writer = Connection(ConnectionType.SERVER if is_client else ConnectionType.CLIENT)
    wire, expected = b"", []
    for (kind, payload), fragments in said:
        expected.append((kind, payload))
        if kind >= PING:
            assert isinstance(payload, bytes)
            wire += writer.send(Ping(payload) if kind == PING else Pong(payload))
            continue
        last = 0
        marks = sorted(mark % (len(payload) + 1) for mark in fragments)
        for mark in marks:
            event = TextMessage if kind == TEXT else BytesMessage
            wire += writer.send(event(payload[last:mark], message_finished=False))  # type: ignore[arg-type]
            wire += writer.send(Ping(b"between"))
            expected.insert(-1, (PING, b"between"))
            last = mark
        event = TextMessage if kind == TEXT else BytesMessage
        wire += writer.send(event(payload[last:]))  # type: ignore[arg-type]
    wire += writer.send(CloseConnection(4000, "bye"))
    expected.append((CLOSE, close_payload(4000, "bye")))
    frames = Frames(is_client=is_client, limit=LIMIT)
    assert read(frames, wire, cuts) == expected


@given(said=st.lists(messages, max_size=5), is_client=st.booleans())
def test_wsproto_reads_what_is_written(said: list[Message], is_client: bool) -> None:
    frames = Frames(is_client=is_client, limit=LIMIT)
    reader = Connection(ConnectionType.SERVER if is_client else ConnectionType.CLIENT)
    for kind, payload in said:
        reader.receive_data(
            frames.encode(kind, payload.encode() if isinstance(payload, str) else payload)
        )
        (event,) = reader.events()
        if isinstance(event, Ping | Pong):
            assert (kind, payload) == (PING if isinstance(event, Ping) else PONG, event.payload)
        else:
            assert isinstance(event, TextMessage | BytesMessage)
            assert event.message_finished
            assert (kind, payload) == (
                TEXT if isinstance(event, TextMessage) else BINARY,
                event.data,
            )


keys = st.binary(min_size=4, max_size=4)


@given(data=st.one_of(st.binary(max_size=40), sizes.map(bytes)), key=keys)
def test_masking(data: bytes, key: bytes) -> None:
    masked = mask(data, key)
    assert masked == bytes(byte ^ key[i % 4] for i, byte in enumerate(data))
    assert mask(masked, key) == data


@pytest.mark.parametrize(
    ("wire", "code"),
    [
        pytest.param(frame(TEXT, b"x", masked=False), 1002, id="not masked"),
        pytest.param(frame(PING, b"x", masked=False), 1002, id="ping not masked"),
        pytest.param(frame(3, b"x"), 1002, id="reserved opcode"),
        pytest.param(frame(11, b"x"), 1002, id="reserved control opcode"),
        pytest.param(frame(TEXT, b"x", rsv=4), 1002, id="rsv1"),
        pytest.param(frame(TEXT, b"x", rsv=2), 1002, id="rsv2"),
        pytest.param(frame(PING, b"x", rsv=1), 1002, id="ping rsv3"),
        pytest.param(frame(PING, b"x", fin=False), 1002, id="ping in fragments"),
        pytest.param(frame(CLOSE, b"", fin=False), 1002, id="close in fragments"),
        pytest.param(frame(PING, bytes(126)), 1002, id="long ping"),
        pytest.param(frame(CLOSE, b"\x03\xe8" + bytes(124)), 1002, id="long close"),
        pytest.param(b"\x81\xfe\x00\x7d" + bytes(4 + 125), 1002, id="16 bits too many"),
        pytest.param(b"\x81\xff" + bytes(6) + b"\xff\xff" + bytes(70000), 1002, id="64 too many"),
        pytest.param(b"\x89\xfe\x00\x05" + bytes(9), 1002, id="long form of a short ping"),
        pytest.param(b"\x81\xff\xff" + bytes(11), 1009, id="no length (5.2)"),
        pytest.param(frame(CONTINUATION, b"x"), 1002, id="continues nothing"),
        pytest.param(frame(CONTINUATION, b"x", fin=False), 1002, id="continues nothing yet"),
        pytest.param(
            frame(TEXT, b"x", fin=False) + frame(TEXT, b"x"), 1002, id="message in message"
        ),
        pytest.param(
            frame(TEXT, b"x", fin=False) + frame(BINARY, b"x", fin=False), 1002, id="the same, both"
        ),
        pytest.param(frame(TEXT, b"\xff"), 1007, id="no UTF-8"),
        pytest.param(frame(TEXT, b"\xed\xa0\x80"), 1007, id="surrogate"),
        pytest.param(frame(TEXT, b"\xc3"), 1007, id="cut UTF-8"),
        pytest.param(frame(TEXT, b"\xff", fin=False), 1007, id="no UTF-8 in the first fragment"),
        pytest.param(
            frame(TEXT, b"\xc3", fin=False) + frame(CONTINUATION, b""), 1007, id="cut at the end"
        ),
        pytest.param(frame(TEXT, b"\xff" + bytes(70000)), 1007, id="no UTF-8 in a long frame"),
        pytest.param(frame(CLOSE, b"\x03"), 1002, id="half a code"),
        pytest.param(frame(CLOSE, b"\x00\x00"), 1002, id="code 0"),
        pytest.param(frame(CLOSE, (1005).to_bytes(2, "big")), 1002, id="code 1005"),
        pytest.param(frame(CLOSE, (2999).to_bytes(2, "big")), 1002, id="code 2999"),
        pytest.param(frame(CLOSE, (5000).to_bytes(2, "big")), 1002, id="code 5000"),
        pytest.param(frame(CLOSE, b"\x03\xe8\xff"), 1007, id="a reason that is no UTF-8"),
        pytest.param(frame(TEXT, bytes(LIMIT + 1))[:14], 1009, id="too long, seen at once"),
        pytest.param(
            frame(BINARY, bytes(LIMIT), fin=False) + frame(CONTINUATION, b"x")[:6],
            1009,
            id="fragments too long",
        ),
    ],
)
def test_what_is_not_allowed_fails(wire: bytes, code: int) -> None:
    for cuts in ([], list(range(min(len(wire), 200)))):
        frames = server()
        with pytest.raises(Failure) as failure:
            read(frames, frame(PING, b"before") + wire, cuts)
        assert failure.value.code == code


def test_a_masked_frame_is_not_for_clients() -> None:
    with pytest.raises(Failure) as failure:
        read(Frames(is_client=True, limit=LIMIT), frame(TEXT, b"x"), [])
    assert failure.value.code == 1002


def test_a_message_may_be_as_long_as_the_limit() -> None:
    for wire in (
        frame(BINARY, bytes(LIMIT)),
        frame(BINARY, bytes(LIMIT // 2), fin=False) + frame(CONTINUATION, bytes(LIMIT // 2)),
    ):
        assert read(server(), wire * 2, []) == [(BINARY, bytes(LIMIT))] * 2


def test_the_limit_may_change() -> None:
    frames = server()
    frames.limit = 3
    assert read(frames, frame(TEXT, b"abc"), []) == [(TEXT, "abc")]
    with pytest.raises(Failure, match="a message over 3 bytes"):
        read(frames, frame(TEXT, b"abcd"), [])


def test_plain_messages_need_no_help(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames_module, "Connection", None)
    wire = frame(TEXT, b"a") + frame(BINARY, bytes(5000)) + frame(PING) + frame(PONG, b"x")
    assert len(read(server(), wire, [])) == 4


def test_an_idle_connection_keeps_nothing_of_what_it_read() -> None:
    frames = server()
    read(frames, frame(TEXT, bytes(1000)), [])
    assert frames._buffer == b""


@pytest.mark.parametrize(
    ("payload", "sent"),
    [
        (b"", b""),
        (close_payload(1000), close_payload(1000)),
        (close_payload(1014), close_payload(1014)),
        (close_payload(3000, "why"), close_payload(3000, "why")),
        (close_payload(4999), close_payload(4999)),
        (close_payload(1005), b""),
        (close_payload(1006, "lost"), b""),
        (close_payload(1015), b""),
    ],
)
def test_a_close_that_can_be_sent(payload: bytes, sent: bytes) -> None:
    assert checked_close(payload) == sent


@pytest.mark.parametrize(
    "payload",
    [
        *(close_payload(code) for code in (999, 1004, 1016, 2999, 5000)),
        *(b"\x03", b"\x03\xe8\xff", close_payload(1000) + bytes(124)),
    ],
)
def test_a_close_that_cannot_be_sent(payload: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        checked_close(payload)


def test_the_reason_of_a_close_is_cut_between_characters() -> None:
    payload = close_payload(1000, "ü" * 100)
    assert payload[2:].decode() == "ü" * 61
    assert len(payload) == 124
