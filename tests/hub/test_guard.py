"""The hub guard: what it names, how often, and what it leaves alone."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable
from typing import Any

import gevent
import pytest
from prometheus_client import REGISTRY

from greenflow import Runtime, Scheme, Settings
from greenflow.engine.declaring import node
from greenflow.engine.node import Context
from greenflow.hub import guard
from tests.waiting import until

LIMIT = 0.02  # seconds


def blocked(name: str) -> float:
    labels = {"namespace": "default", "node": name}
    return REGISTRY.get_sample_value("greenflow_hub_blocked_total", labels) or 0.0


def running(handle: Callable[[Any], Any], name: str, limit: float = LIMIT) -> Runtime:
    @node("busy")
    def busy(ctx: Context, payload: Any) -> Any:
        """Does what the test says."""
        return handle(payload)

    scheme = Scheme.installed()
    scheme.register(busy)
    return Runtime(
        "memory://",
        specs={"kind": "busy", "name": name},
        scheme=scheme,
        settings=Settings(hub_guard=limit),
    )


class Clock:
    """The guard's, which the test sets; it counts how often the guard has looked."""

    def __init__(self) -> None:
        self.now, self.looks = 0.0, 0

    def __call__(self) -> float:
        self.looks += 1
        return self.now


def test_a_node_that_blocks_is_named_once_and_counted(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(guard, "monotonic", clock)

    def price(payload: Any) -> None:
        for _ in range(4):
            clock.now += LIMIT
            seen = clock.looks + 2  # the look that is under way may have the time of before
            while clock.looks < seen:
                time.sleep(0.001)

    with running(price, "pricing") as runtime:
        for times in range(1, 4):
            before = blocked("pricing")
            runtime.call("pricing")
            until(lambda before=before: blocked("pricing") > before)
            assert blocked("pricing") == before + 1, times
    (line,) = [r for r in caplog.records if r.name == "greenflow.guard"]
    assert re.fullmatch(
        r"node 'pricing' blocked the hub for 0\.\d\d s: \S+test_guard\.py:\d+ in price, .*",
        line.getMessage(),
    )
    assert line.__dict__["namespace"] == "default"
    seconds = REGISTRY.get_sample_value(
        "greenflow_hub_blocked_seconds_total", {"namespace": "default", "node": "pricing"}
    )
    assert seconds is not None
    assert seconds >= 3 * LIMIT


def test_what_blocks_for_long_is_told_before_it_ends(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "LONG", LIMIT * 2)
    told = threading.Event()

    class Told(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.set()

    handler = Told()
    logging.getLogger("greenflow.guard").addHandler(handler)
    try:
        with running(lambda payload: told.wait(20), "endless") as runtime:
            assert runtime.call("endless") is True
            until(lambda: len(caplog.records) == 2)
    finally:
        logging.getLogger("greenflow.guard").removeHandler(handler)
    assert "has blocked the hub for" in caplog.records[0].getMessage()
    assert "and still does" in caplog.records[0].getMessage()


def test_lines_that_were_left_out_are_counted(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(lambda payload: time.sleep(LIMIT * 3), "often") as runtime:
        while blocked("often") < 3:
            runtime.call("often")
            gevent.sleep(LIMIT)
        monkeypatch.setattr(guard, "PAUSE", 0.0)
        while len(caplog.records) < 2:
            runtime.call("often")
            gevent.sleep(LIMIT)
    assert "(2 more since the last such line)" in caplog.records[1].getMessage()


def test_waiting_is_not_blocking(caplog: pytest.LogCaptureFixture) -> None:
    with running(lambda payload: gevent.sleep(LIMIT * 5), "patient") as runtime:
        runtime.call("patient")
    assert blocked("patient") == 0
    assert not caplog.records


def test_several_runtimes_of_a_hub_share_a_guard_and_0_is_none() -> None:
    with running(print, "a", limit=0.0):
        assert not guard._guards
    with running(print, "a"):
        (one,) = guard._guards.values()
        with running(print, "a"):
            assert list(guard._guards.values()) == [one]
        assert list(guard._guards.values()) == [one]
    assert not guard._guards
