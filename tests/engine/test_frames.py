"""What failed is let go of at once: no error, and no request, waits for the collector."""

from __future__ import annotations

import gc
import traceback
from collections.abc import Iterator
from typing import Any

import pytest

from greenflow.engine.frames import empty
from greenflow.engine.process import MET, Process
from greenflow.errors import GreenflowError
from tests.flows import flow
from tests.net.loopback import Client

FAILING = """
- {kind: listener, name: http, port: 0, links: {out: {name: first}LINK}}
- {kind: snippet, name: first, language: cel, code: self, links: {out: {name: second}}}
- KIND
- {kind: snippet, name: handled, language: text, code: handled}
"""

KINDS = {
    "cel": "{kind: snippet, name: second, language: cel, code: 1 / 0}",
    "throw": "{kind: throw, name: second}",
    "javascript": "{kind: snippet, name: second, language: javascript, "
    "code: 'export default () => { throw new Error(); }'}",
    "python": "{kind: python, name: second, call: 'operator:neg'}",
    "block": "{kind: block, name: second, specs: [{kind: snippet, language: cel, code: 1 / 0}]}",
    "late": "{kind: block, name: second, timeout: 1ms, specs: [{kind: sleep, interval: 60s}]}",
    "router": "{kind: router, name: second, routes: [{method: GET, path: /absent, port: out}]}",
}


@pytest.fixture
def only_counted() -> Iterator[None]:
    """Nothing is freed but by its last reference."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def circles() -> list[Any]:
    """What only the collector finds."""
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        gc.collect()
        return [type(each).__qualname__ for each in gc.garbage]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()


@pytest.mark.parametrize("link", ["", ", error: {name: handled}"], ids=["unhandled", "handled"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_request_that_fails_leaves_no_circle(kind: str, link: str, only_counted: None) -> None:
    text = FAILING.replace("LINK", link).replace("KIND", KINDS[kind])
    with flow(text) as running:
        address = running.runtime.table.find("http").version.node.lease.address  # type: ignore[union-attr]
        ask(address)  # what is made at the first time
        gc.collect()
        ask(address)
        assert circles() == []


def ask(address: tuple[str, int]) -> None:
    client = Client(address)
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    client.rest()
    client.socket.close()


def test_an_error_keeps_its_traceback_and_text() -> None:
    text = "- {kind: snippet, name: a, language: cel, code: 1 / 0}"
    with flow(text) as running, pytest.raises(GreenflowError) as caught:
        running.call("a", 1)
    assert "raise self._failed(error)" in "".join(traceback.format_exception(caught.value))


def test_generators_and_what_runs_are_left_alone() -> None:
    kept: list[ValueError] = []

    def fails() -> None:
        held = [1]
        raise ValueError(held)

    def goes_on() -> Iterator[int]:
        try:
            fails()
        except ValueError as error:
            kept.append(error)
        yield 1
        yield 2

    going = goes_on()
    local = next(going)
    (error,) = kept
    empty(error)
    assert list(going) == [2]
    assert local == 1
    trace = error.__traceback__
    assert trace is not None
    assert trace.tb_next is not None
    assert trace.tb_next.tb_frame.f_locals == {}


def test_a_process_that_fails_all_the_time_keeps_few_errors() -> None:
    process = Process()
    for number in range(10 * MET):
        process.meet(ValueError(number))
    assert process._met is not None
    assert len(process._met) == MET
    process.exit()
    assert not process._met
