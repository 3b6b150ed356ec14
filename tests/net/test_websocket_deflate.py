"""permessage-deflate: what is agreed on, and what comes out of it (RFC 7692)."""

from __future__ import annotations

import contextlib
import random
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenflow.net.websocket.deflate import LEAST_BYTES, NAME, Deflate, extensions
from greenflow.net.websocket.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    TEXT,
    Failure,
    Frames,
)
from tests.net.websockets import frame

LIMIT = 1_000_000
TAIL = b"\x00\x00\xff\xff"


# "Hello" in a final block (RFC 7692 7.2.3.4).
FINAL = b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00"


def deflate(data: bytes, **named: int) -> bytes:
    """A message as RFC 7692 7.2.1 has it compressed."""
    compressor = zlib.compressobj(wbits=-15, **named)
    return (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


def server(header: str = NAME) -> Frames:
    agreed, _ = Deflate.answering(header)
    return Frames(is_client=False, limit=LIMIT, deflate=agreed)


@pytest.mark.parametrize(
    ("header", "answer"),
    [
        (NAME, NAME),
        (f"other; a=1, {NAME}", NAME),
        (f"{NAME};client_max_window_bits", NAME),
        (f"{NAME} ; client_max_window_bits = 10", NAME),
        (f'{NAME}; client_max_window_bits="10"', NAME),
        (f"{NAME}; server_max_window_bits=9", f"{NAME}; server_max_window_bits=9"),
        (f"{NAME}; server_no_context_takeover", f"{NAME}; server_no_context_takeover"),
        (
            f"{NAME}; client_no_context_takeover; server_max_window_bits=15",
            f"{NAME}; client_no_context_takeover; server_max_window_bits=15",
        ),
        # What cannot be accepted is passed over (7.1, 5.1) ...
        (f"{NAME}; server_max_window_bits=8, {NAME}", NAME),
        (f"{NAME}; server_max_window_bits=16, {NAME}", NAME),
        (f"{NAME}; server_max_window_bits=010, {NAME}", NAME),
        (f"{NAME}; server_max_window_bits, {NAME}", NAME),
        (f"{NAME}; server_no_context_takeover=1, {NAME}", NAME),
        (f"{NAME}; server_no_context_takeover; server_no_context_takeover, {NAME}", NAME),
        (f"{NAME}; unheard_of, {NAME}", NAME),
        (f"{NAME}; client_unheard_of, {NAME}", NAME),
        # ... and if that is all, there is no compression.
        (f"{NAME}; unheard_of", ""),
        ("x-webkit-deflate-frame", ""),
    ],
)
def test_the_first_offer_that_can_be_is_accepted(header: str, answer: str) -> None:
    agreed, said = Deflate.answering(header)
    assert said == answer
    assert (agreed is not None) == (answer != "")


@pytest.mark.parametrize(
    "header", ["=", "a b", "a; ", "a;=1", "a; b=", 'a; b="c', "a; b=c d", '"a"']
)
def test_a_header_without_sense_is_an_error(header: str) -> None:
    with pytest.raises(ValueError, match="extension"):
        list(extensions(header))


@given(st.text('abc;,= \t"\\', max_size=30))
def test_any_header_is_read_or_is_an_error(header: str) -> None:
    try:
        found = list(extensions(header))
    except ValueError:
        return
    assert all(name for name, _ in found)


def test_a_header_is_read_in_time_that_grows_with_its_length() -> None:
    assert len(list(extensions(",".join(["a;b;c=d"] * 5_000)))) == 5_000
    with pytest.raises(ValueError, match="extension"):
        list(extensions("a;" + " " * 30_000 + "="))


@pytest.mark.parametrize(
    ("answer", "is_fine"),
    [
        (NAME, True),
        (f"{NAME}; server_max_window_bits=8; server_no_context_takeover", True),
        (f"{NAME}; client_max_window_bits=9; client_no_context_takeover", True),
        (f"{NAME}; client_max_window_bits=8", False),
        (f"{NAME}; client_max_window_bits", False),
        (f"{NAME}; unheard_of", False),
        (f"{NAME}; server_no_context_takeover=1", False),
    ],
)
def test_what_a_server_may_agree_to(answer: str, is_fine: bool) -> None:
    asked = Deflate()
    try:
        asked.finalize(answer)
    except ValueError:
        assert not is_fine
    else:
        assert is_fine
        assert asked.enabled()
        with pytest.raises(ValueError, match="offered"):
            asked.finalize(answer)


OFFERS = [
    NAME,
    f"{NAME}; server_no_context_takeover; client_no_context_takeover",
    f"{NAME}; server_max_window_bits=9; client_max_window_bits=9",
]


@pytest.mark.parametrize("header", OFFERS)
@given(said=st.lists(st.binary(max_size=3).map(lambda part: part * 60), max_size=6))
def test_two_ends_understand_each_other(header: str, said: list[bytes]) -> None:
    agreed, answer = Deflate.answering(header)
    client = Deflate()
    client.finalize(answer)
    ends = (
        Frames(is_client=False, limit=LIMIT, deflate=agreed),
        Frames(is_client=True, limit=LIMIT, deflate=client),
    )
    for here, there in (ends, ends[::-1]):
        for payload in said:
            wire = here.encode(BINARY, payload)
            assert bool(wire[0] & 0x40) == (len(payload) >= LEAST_BYTES)
            there.feed(wire)
            assert there.next() == (BINARY, payload)
            assert there.next() is None


def test_our_window_is_no_larger_than_the_client_says() -> None:
    agreed, _ = Deflate.answering(f"{NAME}; server_max_window_bits=9")
    assert agreed is not None
    noise = random.Random(1).randbytes(1000)  # it comes again farther back than 512 bytes
    compressed = agreed.compress(noise) + TAIL + agreed.compress(noise) + TAIL
    assert len(compressed) > 2000
    assert zlib.decompressobj(-9).decompress(compressed) == noise * 2


def test_what_a_peer_may_do() -> None:
    frames = server()
    hello = deflate(b"Hello")
    for wire in (
        frame(TEXT, hello, rsv=4),
        frame(TEXT, hello[:3], rsv=4, fin=False) + frame(CONTINUATION, hello[3:]),
        frame(TEXT, b"Hello"),  # not compressed, though it might be
        frame(TEXT, deflate(b"Hello", level=0), rsv=4),
        frame(TEXT, FINAL, rsv=4),
        frame(TEXT, FINAL[:7], rsv=4, fin=False) + frame(CONTINUATION, FINAL[7:]),
    ):
        frames.feed(wire)
        assert frames.next() == (TEXT, "Hello")
    frames.feed(frame(TEXT, hello[:3], rsv=4, fin=False) + frame(PING, b"x"))
    assert frames.next() == (PING, b"x")
    frames.feed(frame(CONTINUATION, hello[3:]))
    assert frames.next() == (TEXT, "Hello")


@pytest.mark.parametrize(
    ("wire", "code"),
    [
        (frame(TEXT, b"\xff\xff\xff", rsv=4), 1007),
        (frame(TEXT, deflate(b"\xff"), rsv=4), 1007),
        (frame(TEXT, FINAL[:-1] * 3 + b"\x00", rsv=4), 1007),
        (frame(TEXT, b"x", rsv=6), 1002),
        (frame(TEXT, b"x", fin=False) + frame(CONTINUATION, b"x", rsv=4), 1002),
        (frame(PING, b"x", rsv=4), 1002),
        (frame(BINARY, deflate(bytes(LIMIT + 1)), rsv=4), 1009),
        (frame(BINARY, deflate(bytes(LIMIT), level=0) + b"\x00", rsv=4), 1009),
    ],
)
def test_what_a_peer_may_not_do(wire: bytes, code: int) -> None:
    frames = server()
    frames.feed(wire)
    with pytest.raises(Failure) as failure:
        list(iter(frames.next, None))
    assert failure.value.code == code


wild = st.builds(
    frame,
    st.integers(0, 15),
    st.one_of(st.binary(max_size=20), st.binary(max_size=20).map(deflate)),
    fin=st.booleans(),
    rsv=st.sampled_from([0, 0, 4, 1]),
)


@given(said=st.lists(st.one_of(wild, st.binary(max_size=20)), max_size=6))
def test_whatever_comes_is_read_or_fails(said: list[bytes]) -> None:
    frames = server()
    with contextlib.suppress(Failure):
        for wire in said:
            frames.feed(wire)
            while (message := frames.next()) is not None:
                if message[0] == CLOSE:
                    return


def test_a_message_may_become_as_long_as_the_limit() -> None:
    frames = server()
    for _ in range(3):
        frames.feed(frame(BINARY, deflate(bytes(LIMIT)), rsv=4))
        message = frames.next()
        assert message is not None
        assert len(message[1]) == LIMIT


def test_a_bomb_takes_no_memory() -> None:
    bomb = deflate(bytes(200_000_000))
    frames = server()
    frames.feed(frame(BINARY, bomb, rsv=4))
    tracemalloc.start()
    with pytest.raises(Failure, match="extension"):
        frames.next()
    assert tracemalloc.get_traced_memory()[1] < 5 * LIMIT
    tracemalloc.stop()
