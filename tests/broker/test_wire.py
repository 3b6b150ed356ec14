"""Payloads on the wire: what goes in comes out, and what is no payload is an error."""

from __future__ import annotations

from codecs import BOM_UTF8
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenflow.broker import wire
from greenflow.errors import InvalidArgument, messages
from greenflow.hub import breathing
from greenflow.payload.stream import Stream

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))]))
)
PAYLOADS = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)


@given(PAYLOADS)
def test_a_payload_comes_out_as_it_went_in(payload: Any) -> None:
    assert wire.decode(wire.encode(payload)) == payload


def test_what_json_does_not_have_comes_out_as_it_went_in() -> None:
    payload = wire.decode(wire.encode({"nan": float("nan"), "most": 2**64 - 1, "raw": b"\xff"}))
    assert payload["nan"] != payload["nan"]
    assert (payload["most"], payload["raw"]) == (2**64 - 1, b"\xff")
    moment = datetime(2024, 2, 29, 12, 0, 0, 5, timezone(timedelta(hours=2)))
    assert wire.decode(wire.encode(moment)) == moment
    assert wire.decode(wire.encode(moment)).tzinfo == UTC


def test_an_error_keeps_its_messages_through_causes_and_groups() -> None:
    error = ValueError("outer")
    error.__cause__ = ExceptionGroup("several", [OSError("first"), KeyError("second")])
    found = wire.decode(wire.encode([error]))[0]
    assert list(messages(found)) == ["outer", "several", "first", "'second'"]
    assert isinstance(found.__cause__, ExceptionGroup)


def test_causes_that_go_round_in_a_circle_end() -> None:
    error = ValueError("round")
    error.__cause__ = OSError("and round")
    error.__cause__.__cause__ = error
    assert list(messages(wire.decode(wire.encode(error))))[:2] == ["round", "and round"]


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (Stream(iter(())), "a body stream is read once; read it first"),
        ("\ud800", "surrogates not allowed"),
        (object(), "object is no payload"),
    ],
)
def test_what_cannot_travel_is_an_error(payload: Any, reason: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        wire.encode({"a": payload})
    assert reason in str(raised.value.__cause__)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"\xc1", "malformed"),
        (b"", "truncated"),
        (b"\x82\x01\x02\x03\x04", "keys of a map are strings"),
        (b"\x91" * 100_000 + b"\x00", "recursion"),
        (b"\xd4\x05x", "unknown extension 5"),
        (b"\xd4\x01x", "Expected `object`"),
    ],
)
def test_a_body_that_is_no_payload_is_an_error(body: bytes, reason: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        wire.decode(body)
    assert reason in ": ".join(messages(raised.value))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_payload_or_an_error(body: bytes) -> None:
    try:
        payload = wire.decode(body)
    except InvalidArgument:
        return
    wire.encode(payload)


def test_other_programs_may_write_json() -> None:
    body = msgspec.json.encode({"sku": "A1"})
    assert wire.decode(body, "application/json; charset=utf-8") == {"sku": "A1"}
    assert wire.decode(BOM_UTF8 + body, "application/json") == {"sku": "A1"}
    with pytest.raises(InvalidArgument) as raised:
        wire.decode(body, "text/xml")
    assert "content type 'text/xml'" in str(raised.value.__cause__)


def test_a_large_event_of_others_is_read_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"id": number} for number in range(20_000)]
    turns: list[int] = []
    monkeypatch.setattr(breathing, "SLICE", -1.0)
    monkeypatch.setattr(breathing, "let_others_run", lambda: turns.append(1))
    body = msgspec.json.encode(rows)
    assert wire.decode(b"\xef\xbb\xbf" + body, wire.JSON) == rows
    assert len(turns) >= len(body) // 65_536
    assert wire.decode(msgspec.msgpack.encode(rows)) == rows
    with pytest.raises(InvalidArgument):
        wire.decode(body[:-1], wire.JSON)
