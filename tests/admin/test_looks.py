"""Streams, stacks and the bundle."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import gevent
import pytest

from greenflow.admin import streaming
from greenflow.admin.streaming import EventStream
from greenflow.config.admin import AdminSettings
from tests.admin.asking import Answered, engine
from tests.admin.test_hands import SLOW, begin


def events(pieces: Iterator[bytes], count: int) -> list[tuple[str, Any]]:
    """The next events of a stream, less its comments."""
    found: list[tuple[str, Any]] = []
    while len(found) < count:
        for part in next(pieces).decode().split("\n\n"):
            if part.startswith("event: "):
                name, _, data = part.removeprefix("event: ").partition("\ndata: ")
                found.append((name, json.loads(data)))
    return found


def test_the_log_is_read_while_it_is_written() -> None:
    logger = logging.getLogger("greenflow.test")
    with engine() as (_, ask):
        before = list(logging.getLogger().handlers)
        response = ask.respond("GET", "/api/v1/logs?node=a&level=warning")
        assert dict(response.headers)["Content-Type"] == "text/event-stream"
        assert isinstance(response.body, EventStream)
        pieces = iter(response.body)
        next(pieces)
        logger.warning("not this", extra={"node": "b"})
        logger.info("nor this", extra={"node": "a"})
        logger.warning("password=hunter2 %s", "this", extra={"node": "a"})
        logger.warning("and this", extra={"node": "x", "source": "a"})
        first, second = events(pieces, 2)
        assert first[0] == "record"
        assert first[1]["node"] == "a"
        assert "hunter2" not in first[1]["message"]
        assert second[1]["message"] == "and this"
        pieces.close()  # type: ignore[attr-defined]
        assert logging.getLogger().handlers == before


def test_a_stream_ends_with_its_lease_and_says_so() -> None:
    with engine() as (_, ask):
        response = ask.respond("GET", "/api/v1/logs?lease=0.01")
        body = Answered(response).body
        assert b'event: end\ndata: {"reason":"the lease is over"}' in body


def test_a_stream_ends_with_the_interface() -> None:
    with engine() as (runtime, ask):
        response = ask.respond("GET", "/api/v1/logs")
        reading = gevent.spawn(Answered, response)
        gevent.sleep(0)
        runtime.interface.close()
        assert b"the engine ends" in reading.get().body


def test_a_stream_ends_with_the_runtime_and_a_new_one_with_the_next() -> None:
    before = list(logging.getLogger().handlers)
    with engine() as (runtime, ask):
        body = ask.respond("GET", "/api/v1/logs").body
        assert isinstance(body, EventStream)
        assert logging.getLogger().handlers != before
    assert logging.getLogger().handlers == before  # though nobody has read it to its end
    with runtime:
        response = ask.respond("GET", "/api/v1/logs?lease=0.01")
        assert b"the lease is over" in Answered(response).body
    assert b"the engine ends" in b"".join(body)


def test_a_stream_beats_and_notices_who_has_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "HEARTBEAT", 0.001)
    ended: list[int] = []
    stream: EventStream[int] = EventStream(60, lambda: ended.append(1))
    pieces = iter(stream)
    assert next(pieces).startswith(b":")
    assert next(pieces) == b": heartbeat\n\n"
    stream.leave()
    assert b"event: end" in next(pieces)
    assert list(pieces) == []
    stream.close()
    assert ended == [1]


def test_what_a_reader_does_not_take_is_dropped_and_counted() -> None:
    stream: EventStream[int] = EventStream(60)
    for number in range(streaming.WAITING + 5):
        stream.put("n", number)
    stream.end("enough")
    pieces = iter(stream)
    found = events(pieces, streaming.WAITING + 2)
    assert found[-2:] == [("dropped", {"dropped": 5}), ("end", {"reason": "enough"})]
    pieces.close()  # type: ignore[attr-defined]


def test_readers_of_the_log_are_few() -> None:
    with engine() as (_, ask):
        bodies = [ask.respond("GET", "/api/v1/logs").body for _ in range(16)]
        assert ask("GET", "/api/v1/logs").status == 409
        for body in bodies:
            assert isinstance(body, EventStream)
            body.close()
        assert ask("HEAD", "/api/v1/logs").status == 200
        assert len([h for h in logging.getLogger().handlers if "Reading" in repr(h)]) == 0


def test_stacks_say_which_node_waits_for_what() -> None:
    with engine(SLOW) as (runtime, ask):
        (process,) = begin(runtime, 1)
        found = [each for each in ask.get("/api/v1/stacks")["items"] if each["node"] == "slow"]
        assert [(each["process"], each["waits_for"]) for each in found] == [
            (process.id, "the clock")
        ]
        assert found[0]["seconds"] >= 0
        (listed,) = ask.get("/api/v1/processes")["items"]
        assert listed["node"] == "slow"
        assert listed["seconds"] >= found[0]["seconds"]
        assert any("in receive" in call for call in found[0]["calls"])
        ask.post(f"/api/v1/processes/{process.id}/cancel")


def test_the_bundle_has_everything_and_no_secret() -> None:
    with engine(SLOW, database="mongodb://user:hunter2@localhost/x") as (_, ask):
        bundle = ask.get("/api/v1/bundle")
        assert bundle["faults"] == {}
        assert bundle["parts"]["status"]["nodes"] == {"active": 2}
        assert len(bundle["parts"]["nodes"]["items"]) == 2
        assert bundle["parts"]["stacks"]["items"]
        assert "hunter2" not in json.dumps(bundle)
        assert bundle["settings"]["grace"] == 30.0
    gone = {"nodes", "inactive", "processes", "failures"}
    assert ask.get("/api/v1/bundle")["faults"].keys() == gone


def test_the_bundle_has_what_failed() -> None:
    bad = {"kind": "snippet", "name": "bad", "language": "cel", "code": "self.lost"}
    with engine([bad]) as (_, ask):
        ask.post("/api/v1/nodes/bad/call", {"payload": {"password": "hunter2"}})
        (failure,) = ask.get("/api/v1/bundle")["parts"]["failures"]
        assert failure["outcome"] == "failed"
        assert "hunter2" not in json.dumps(failure)


def test_a_token_is_never_told() -> None:
    with engine(SLOW) as (runtime, ask):
        runtime.interface.engine.settings = type(runtime.settings)(
            admin=AdminSettings(token=["hunter2"])
        )
        assert "hunter2" not in json.dumps(ask.get("/api/v1/bundle"))
