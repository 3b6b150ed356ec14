"""Scopes that end: what is linked from `out[1]` of try and cache is outside (BEHAVIOUR 5.13)."""

from __future__ import annotations

from typing import Any

import gevent
import pytest
from gevent.event import Event

from greenflow.errors import InvalidArgument, ProcessExited
from tests.flows import flow
from tests.waiting import until

TRY = """
- {kind: try, name: a, links: {out: {name: b}, "out[1]": {name: c}, error: {name: e}}}
- {kind: probe, name: b B}
- {kind: probe, name: c C}
- {kind: probe, name: e, answer: handled}
"""


def trying(b: str = "", c: str = "") -> str:
    return TRY.replace(" B", b).replace(" C", c)


def test_the_answer_leaves_by_out_1() -> None:
    with flow(trying(b=", answer: from b", c=", answer: from c")) as running:
        assert running.call("a", 1) == "from c"
        assert running.probes.seen == [("b", 1), ("c", "from b")]


def test_an_error_inside_goes_to_error_and_not_on() -> None:
    with flow(trying(b=", raises: broken")) as running:
        assert running.call("a", 1) == "handled"
        assert running.probes.of("c") == []


def test_an_error_outside_is_not_taken() -> None:
    with flow(trying(c=", raises: broken")) as running:
        with pytest.raises(InvalidArgument):
            running.call("a", 1)
        assert running.probes.of("e") == []


def test_an_error_without_error_link_travels_on_and_not_out() -> None:
    text = trying(b=", raises: broken").replace(", error: {name: e}", "")
    with flow(text) as running:
        with pytest.raises(InvalidArgument):
            running.call("a", 1)
        assert running.probes.of("c") == []


def test_nothing_leaves_as_null() -> None:
    with flow("""
- {kind: try, name: a, links: {out: {name: b}, "out[1]": {name: c}}}
- {kind: nop, name: b}
- {kind: probe, name: c}
""") as running:
        assert running.call("a", 1) is None
        assert running.probes.of("c") == [None]


def test_several_answers_leave_as_one() -> None:
    with flow("""
- {kind: try, name: a, links: {out: [{name: b}, {name: c}], "out[1]": [{name: d}, {name: f}]}}
- {kind: probe, name: b}
- {kind: probe, name: c}
- {kind: probe, name: d}
- {kind: probe, name: f, answer: f}
""") as running:
        assert running.call("a", 1) == [[1, 1], "f"]


def test_what_is_inside_is_in_flight_and_what_is_outside_is_not() -> None:
    with flow(trying()) as running:
        inside = running.probes.gates["b"] = Event()
        outside = running.probes.gates["c"] = Event()
        node: Any = running.runtime.table.find("a").version.node
        call = gevent.spawn(running.call, "a", 1)
        until(lambda: running.probes.of("b") == [1])
        assert node.in_flight == 1
        inside.set()
        until(lambda: running.probes.of("c") == [1])
        assert node.in_flight == 0
        outside.set()
        assert call.get() == 1


def test_an_exit_inside_does_not_go_on() -> None:
    with flow(trying()) as running:
        running.probes.gates["b"] = Event()
        call = gevent.spawn(running.call, "a", 1)
        until(lambda: running.probes.of("b") == [1])
        running.probes.processes[0].exit(ValueError("its client left"))
        with pytest.raises(ProcessExited):
            call.get()
        assert running.probes.of("c") == []
        node: Any = running.runtime.table.find("a").version.node
        assert node.in_flight == 0


def test_a_cycle_through_what_follows_does_not_nest() -> None:
    """Each round is outside of the one before, so an error in the last is taken by the last."""
    with flow("""
- {kind: try, name: a, links: {out: {name: b}, "out[1]": {name: more}, error: {name: e}}}
- {kind: snippet, name: b, language: cel, code: "self == 500 ? 1 / 0 : self + 1"}
- {kind: probe, name: more, links: {out: {name: a}}}
- {kind: probe, name: e, answer: handled}
""") as running:
        assert running.call("a", 1) == "handled"
        assert len(running.probes.of("more")) == 499
        assert len(running.probes.of("e")) == 1


def test_in_a_block_it_is_a_port_like_others() -> None:
    with flow("""
- kind: block
  name: a
  inbounds: {in: {name: t, port: in}}
  outbounds: {out: {name: t, port: "out[1]"}}
  specs:
    - {kind: try, name: t, links: {out: {name: b}}}
    - {kind: snippet, name: b, language: cel, code: self + 1}
  links: {out: {name: c}}
- {kind: probe, name: c}
""") as running:
        assert running.call("a", 1) == 2
        assert running.probes.of("c") == [2]


# -- cache -----------------------------------------------------------------------------------------

CACHE = """
- {kind: cache, name: a, links: {out: {name: b}, "out[1]": {name: c}, error: {name: e}}}
- {kind: probe, name: b, answer: from b B}
- {kind: probe, name: c C}
- {kind: probe, name: e, answer: handled}
"""


def caching(b: str = "", c: str = "") -> str:
    return CACHE.replace(" B", b).replace(" C", c)


def test_what_follows_a_cache_is_done_each_time() -> None:
    with flow(caching()) as running:
        for _ in range(3):
            assert running.call("a", 1) == "from b"
        assert running.probes.seen == [("b", 1), *[("c", "from b")] * 3]


def test_the_answer_of_what_follows_is_not_kept() -> None:
    with flow(caching(c=", raises: broken, times: 1")) as running:
        with pytest.raises(InvalidArgument):
            running.call("a", 1)
        assert running.call("a", 1) == "from b"
        assert running.probes.of("b") == [1]
        assert running.probes.of("e") == []


def test_who_waits_for_an_answer_goes_on_with_it() -> None:
    with flow(caching()) as running:
        gate = running.probes.gates["b"] = Event()
        node: Any = running.runtime.table.find("a").version.node
        calls = [gevent.spawn(running.call, "a", 1) for _ in range(5)]
        until(lambda: node.in_flight == 5)
        gate.set()
        assert [call.get() for call in calls] == ["from b"] * 5
        assert running.probes.of("b") == [1]
        assert running.probes.of("c") == ["from b"] * 5
        assert node.in_flight == 0


def test_an_error_inside_a_cache_travels_on_and_not_out() -> None:
    with flow(caching(b=", raises: broken")) as running:
        with pytest.raises(InvalidArgument):
            running.call("a", 1)
        assert running.probes.seen == [("b", 1)]
