"""cache (BEHAVIOUR 13.cache)."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import gevent
import pytest
from gevent.event import Event
from hypothesis import given
from hypothesis import strategies as st

from greenflow.engine.declaring import node
from greenflow.engine.node import Context, Node
from greenflow.engine.result import Answer
from greenflow.errors import InvalidArgument, ProcessExited, SpecInvalid
from greenflow.nodes.cache import Flight, key_of
from greenflow.payload.stream import Stream
from greenflow.runtime import Runtime
from greenflow.scheme.registry import Scheme
from greenflow.spec.document import read
from greenflow.spec.fields import Spec
from greenflow.testing import ManualClock
from tests.flows import Flow, Probes, flow, probe_kind
from tests.waiting import until

CACHE = """
- {kind: cache, name: a, MORE links: {out: {name: b}ERROR}}
- {kind: probe, name: b PROBE}
- {kind: probe, name: e, answer: handled}
"""


def cache(more: str = "", probe: str = "", error: str = "") -> str:
    return CACHE.replace("MORE", more).replace(" PROBE", probe).replace("ERROR", error)


@contextmanager
def timed(text: str) -> Iterator[tuple[Flow, ManualClock]]:
    """A flow by a clock that the test moves."""
    probes, clock, scheme = Probes(), ManualClock(), Scheme.installed()
    scheme.register(probe_kind(probes))
    specs = [document.data for document in read(text, "test")]
    with Runtime("memory://", specs=specs, scheme=scheme, clock=clock) as runtime:
        yield Flow(runtime, probes), clock


PAYLOADS: list[Any] = [
    None, True, False, 0, 1, 1.0, -0.0, 0.0, math.nan, "", "1", b"1", b"", [], {}, [1], [[1]],
    {"a": 1}, {"a": 1.0}, {"a": True}, {"a": None}, ["a", 1], 2**63,
    datetime(2026, 1, 1, tzinfo=UTC),
    "x" * 100, b"x" * 100, ["x" * 100], "x" * 101,
]  # fmt: skip


def test_a_payload_that_came_before_is_answered_from_the_cache() -> None:
    with flow(cache()) as running:
        for _ in range(3):
            assert running.call("a", {"id": 1, "with": [1, 2]}) == {"id": 1, "with": [1, 2]}
        assert running.call("a", {"with": [1, 2], "id": 1}) == {"id": 1, "with": [1, 2]}
        assert running.probes.of("b") == [{"id": 1, "with": [1, 2]}]


def test_payloads_are_equal_in_depth_and_by_type() -> None:
    with flow(cache()) as running:
        for _ in range(2):
            for payload in PAYLOADS:
                running.call("a", payload)
        assert len(running.probes.of("b")) == len(PAYLOADS)


def test_the_same_instant_in_another_zone_is_equal() -> None:
    instant = datetime(2026, 1, 1, 12, tzinfo=UTC)
    other = instant.astimezone(timezone(timedelta(hours=5)))
    assert key_of(instant) == key_of(other) != key_of(instant.replace(microsecond=1))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text()
    | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)  # fmt: skip


def canonical(value: Any) -> Any:
    """What tells values apart, said another way."""
    if isinstance(value, dict):
        return "map", sorted((key, canonical(item)) for key, item in value.items())
    if isinstance(value, list):
        return "list", [canonical(item) for item in value]
    return type(value).__name__, repr(value)


def shuffled(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: shuffled(value[key]) for key in reversed(value)}
    return [shuffled(item) for item in value] if isinstance(value, list) else value


@given(VALUES, VALUES)
def test_keys_are_equal_where_values_are(one: Any, other: Any) -> None:
    assert key_of(one) == key_of(shuffled(one))
    assert (key_of(one) == key_of(other)) == (repr(canonical(one)) == repr(canonical(other)))


def test_null_is_a_payload_and_nothing_is_an_answer() -> None:
    with flow("""
- {kind: cache, name: a, links: {out: {name: b}}}
- {kind: probe, name: b, links: {out: {name: c}}}
- {kind: nop, name: c}
""") as running:
        assert running.call("a", None) is None
        assert running.call("a", None) is None
        assert running.probes.of("b") == [None]


@pytest.mark.parametrize("error", ["", ", error: {name: e}"])
def test_an_error_is_not_kept_and_travels_on(error: str) -> None:
    """The cache did not raise it, so its `error` link is not asked (BEHAVIOUR 5.3, 5.6)."""
    with flow(cache(probe=", raises: broken, times: 2", error=error)) as running:
        for _ in range(2):
            with pytest.raises(InvalidArgument):
                running.call("a", 1)
        assert running.call("a", 1) == 1
        assert running.call("a", 1) == 1
        assert running.probes.seen == [("b", 1)] * 3


def test_an_answer_is_kept_for_the_interval() -> None:
    with timed(cache("interval: 10s,")) as (running, clock):
        running.call("a", 1)
        clock.advance(9.9)
        running.call("a", 1)  # does not prolong it
        assert running.probes.of("b") == [1]
        clock.advance(0.1)
        running.call("a", 1)
        assert running.probes.of("b") == [1, 1]


def test_without_an_interval_it_is_kept() -> None:
    with timed(cache()) as (running, clock):
        running.call("a", 1)
        clock.advance(1e9)
        running.call("a", 1)
        assert running.probes.of("b") == [1]


def test_the_least_recently_used_answer_goes_first() -> None:
    with flow(cache("capacity: 2,")) as running:
        for payload in (1, 2, 1, 3):
            running.call("a", payload)
        assert running.probes.of("b") == [1, 2, 3]
        running.call("a", 1)
        running.call("a", 2)
        assert running.probes.of("b") == [1, 2, 3, 2]


def test_no_more_than_the_capacity_is_held() -> None:
    with flow(cache("capacity: 10,")) as running:
        for i in range(1000):
            running.call("a", "x" * i)
        caching: Any = running.runtime.table.find("a").version.node
        assert (len(caching.kept), len(caching.flights)) == (10, 0)
        assert all(len(key) <= 32 for key in caching.kept)


@given(
    st.integers(1, 4),
    st.lists(st.tuples(st.integers(0, 6), st.sampled_from([0.0, 0.5, 1.0])), max_size=40),
)
def test_it_is_a_map_with_a_limit_and_a_term(capacity: int, steps: list[tuple[int, float]]) -> None:
    """The same as a model that says what has to be asked, and what not."""
    with timed(cache(f"capacity: {capacity}, interval: 2s,")) as (running, clock):
        model: OrderedDict[int, float] = OrderedDict()
        wanted = []
        for payload, seconds in steps:
            clock.advance(seconds)
            now = clock.monotonic()
            if payload in model and now < model[payload]:
                model.move_to_end(payload)
            else:
                wanted.append(payload)
                model[payload] = now + 2
                model.move_to_end(payload)
                while len(model) > capacity:
                    model.popitem(last=False)
            assert running.call("a", payload) == payload
        assert running.probes.of("b") == wanted


def test_what_was_answered_cannot_be_changed() -> None:
    with flow(cache()) as running:
        running.call("a", {"list": [1]})["list"].append(2)
        answer = running.call("a", {"list": [1]})
        assert answer == {"list": [1]}
        answer["list"].append(3)
        assert running.call("a", {"list": [1]}) == {"list": [1]}


@node("spoil")
def spoil(ctx: Context, payload: Any) -> Any:
    """Changes what it gets."""
    payload["spoilt"] = True
    return payload


def test_code_from_outside_behind_it_gets_a_copy() -> None:
    scheme = Scheme.installed()
    scheme.register(spoil)
    specs = [
        {"kind": "call", "name": "a", "links": {"out": [{"name": "c"}], "out[1]": [{"name": "s"}]}},
        {"kind": "cache", "name": "c"},
        {"kind": "spoil", "name": "s"},
    ]
    with Runtime("memory://", specs=specs, scheme=scheme) as runtime:
        for _ in range(2):
            assert runtime.call("a", {"x": 1}) == {"x": 1, "spoilt": True}
            assert runtime.call("c", {"x": 1}) == {"x": 1}


def test_at_an_open_end_it_echoes() -> None:
    with flow("{kind: cache, name: a}") as running:
        assert running.call("a", [1]) == [1]
        assert running.call("a", [1]) == [1]


# -- streams and errors ----------------------------------------------------------------------------


@pytest.mark.parametrize("payload", [ValueError("x"), [ValueError("x")], {"body": Stream([b"x"])}])
def test_a_payload_that_is_equal_to_none_is_sent_on(payload: Any) -> None:
    with flow(cache(probe=", answer: done")) as running:
        assert running.call("a", payload) == "done"
        assert running.call("a", payload) == "done"
        assert len(running.probes.of("b")) == 2


def test_an_answer_that_holds_a_stream_is_not_kept() -> None:
    class Streams(Node[Spec]):
        kind = "streams"

        def handle(self, ctx: Context, payload: Any) -> Any:
            return {"status": 200, "body": Stream([b"once"])}

    scheme = Scheme.installed()
    scheme.register(Streams)
    specs = [
        {"kind": "cache", "name": "a", "links": {"out": [{"name": "b"}]}},
        {"kind": "streams", "name": "b"},
    ]
    with Runtime("memory://", specs=specs, scheme=scheme) as runtime:
        for _ in range(2):
            assert runtime.call("a", 1)["body"].read(10) == b"once"


# -- at the same time ------------------------------------------------------------------------------


def waiting(running: Flow, count: int) -> None:
    """Wait until so many packets wait for a payload that is under way."""
    caching: Any = running.runtime.table.find("a").version.node

    def there() -> bool:
        flights: list[Flight] = list(caching.flights.values())
        return sum(len(flight.waiting) for flight in flights) == count

    until(there)


def test_equal_payloads_under_way_are_sent_once() -> None:
    with flow(cache()) as running:
        gate = running.probes.gates["b"] = Event()
        calls = [gevent.spawn(running.call, "a", [i % 2]) for i in range(10)]
        waiting(running, 8)
        caching: Any = running.runtime.table.find("a").version.node
        assert caching.in_flight == 8
        gate.set()
        assert [call.get() for call in calls] == [[i % 2] for i in range(10)]
        assert sorted(running.probes.of("b")) == [[0], [1]]
        assert caching.in_flight == 0


def test_an_error_is_that_of_its_own_process() -> None:
    """The others are sent after all: a fault of one process reaches no other."""
    with flow(cache(probe=", raises: broken, times: 1")) as running:
        gate = running.probes.gates["b"] = Event()
        first = gevent.spawn(running.call, "a", 1)
        until(lambda: running.probes.of("b") == [1])
        others = [gevent.spawn(running.call, "a", 1) for _ in range(3)]
        waiting(running, 3)
        gate.set()
        assert [other.get() for other in others] == [1, 1, 1]
        with pytest.raises(InvalidArgument):
            first.get()
        assert len(running.probes.of("b")) == 4
        assert running.call("a", 1) == 1
        assert len(running.probes.of("b")) == 4


def test_when_the_first_process_exits_another_takes_its_place() -> None:
    with flow(cache()) as running:
        gate = running.probes.gates["b"] = Event()
        first = gevent.spawn(running.call, "a", 1)
        until(lambda: running.probes.of("b") == [1])
        others = [gevent.spawn(running.call, "a", 1) for _ in range(3)]
        waiting(running, 3)
        running.probes.processes[0].exit(ValueError("its client left"))
        with pytest.raises(ProcessExited):
            first.get()
        waiting(running, 2)
        gate.set()
        assert [other.get() for other in others] == [1, 1, 1]
        assert running.probes.of("b") == [1, 1]


def test_one_that_waits_may_exit() -> None:
    with flow(cache()) as running:
        gate = running.probes.gates["b"] = Event()
        first = gevent.spawn(running.call, "a", 1)
        until(lambda: running.probes.of("b") == [1])
        with pytest.raises(TimeoutError):
            running.call("a", 1, timeout=0.01)
        gate.set()
        assert first.get() == 1
        until(lambda: not running.runtime.services.processes)
        caching: Any = running.runtime.table.find("a").version.node
        assert caching.in_flight == 0


def test_equal_elements_of_a_list_are_sent_once() -> None:
    with flow(cache() + "- {kind: loop, name: l, links: {out: {name: a}}}") as running:
        gate = running.probes.gates["b"] = Event()
        call = gevent.spawn(running.call, "l", [1, 1, 2, 1])
        waiting(running, 2)
        gate.set()
        assert call.get() == [1, 1, 2, 1]
        assert running.probes.of("b") == [1, 2]


def test_a_child_that_is_deeper_is_not_held_back() -> None:
    """It might descend from the first one, though here it does not."""
    with flow(
        cache()
        + """
- {kind: probe, name: start, links: {out: [{name: a}, {name: f}]}}
- {kind: fork, name: f, links: {out: {name: again}}}
- {kind: probe, name: again, links: {out: {name: a}}}
"""
    ) as running:
        gate = running.probes.gates["b"] = Event()
        call = gevent.spawn(running.call, "start", 1)
        until(lambda: len(running.probes.of("b")) == 2)
        gate.set()
        assert call.get() == 1


@pytest.mark.parametrize("between", ["try", "retry", "loop"])
def test_a_packet_does_not_wait_for_one_that_waits_for_it(between: str) -> None:
    """The very payload that was sent on comes again, and then no more."""

    class Twice(Node[Spec]):
        kind = "twice"
        times = 0

        def handle(self, ctx: Context, payload: Any) -> Any:
            self.times += 1
            return payload if self.times == 1 else Answer("done")

    scheme = Scheme.installed()
    scheme.register(Twice)
    specs = [
        {"kind": "cache", "name": "a", "links": {"out": [{"name": "twice"}]}},
        {"kind": "twice", "name": "twice", "links": {"out": [{"name": "between"}]}},
        {"kind": between, "name": "between", "links": {"out": [{"name": "a"}]}},
    ]
    with Runtime("memory://", specs=specs, scheme=scheme) as runtime:
        assert runtime.call("a", 1, timeout=10) == "done"
        assert runtime.call("a", 1) == "done"


def test_a_cycle_through_the_cache() -> None:
    """Each time round with a smaller payload; equal elements of one list wait for each other."""
    with flow("""
- {kind: cache, name: a, links: {out: {name: again}}}
- kind: if
  name: again
  when: self.size() > 0
  links: {out: {name: same}, "out[1]": {name: b}}
- {kind: retry, name: same, threshold: 0, links: {out: {name: less}}}
- kind: snippet
  name: less
  language: cel
  code: self.slice(1, self.size())
  links: {out: {name: a}}
- {kind: probe, name: b}
- {kind: loop, name: l, links: {out: {name: a}}}
""") as running:
        assert running.call("l", [[1, 1], [1, 1]]) == [[], []]


def test_a_chain_of_processes_that_wait_for_one_another_does_not_recurse() -> None:
    """Each leads a payload whose answer needs that of the process before it."""
    with flow("""
- {kind: cache, name: a, links: {out: {name: n}}}
- {kind: if, name: n, when: self > 0, links: {out: {name: less}, "out[1]": {name: b}}}
- {kind: snippet, name: less, language: cel, code: self - 1, links: {out: {name: a}}}
- {kind: probe, name: b}
""") as running:
        gate = running.probes.gates["b"] = Event()
        calls = []
        for i in range(1000):
            calls.append(gevent.spawn(running.call, "a", i))
            gevent.idle()
        waiting(running, 999)
        gate.set()
        assert {call.get() for call in calls} == {0}
        assert running.probes.of("b") == [0]


def test_who_waits_in_an_old_version_is_answered_by_it() -> None:
    with flow(cache()) as running:
        gate = running.probes.gates["b"] = Event()
        calls = [gevent.spawn(running.call, "a", 1) for _ in range(2)]
        waiting(running, 1)
        stored = running.runtime.operations.update({"name": "a", "capacity": 5})
        running.followed(stored[0].revision)
        gate.set()
        assert [call.get() for call in calls] == [1, 1]
        assert running.probes.of("b") == [1]


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"capacity": 0}, "$.capacity"),
        ({"capacity": "many"}, "$.capacity"),
        ({"interval": 0}, "$.interval"),
        ({"interval": "-1s"}, "$.interval"),
        ({"intervall": 1}, "$.intervall"),
    ],
)
def test_faulty_fields_are_refused(fields: dict[str, Any], path: str) -> None:
    with pytest.raises(SpecInvalid) as raised:
        Scheme.installed().decode({"kind": "cache", **fields}, "default")
    assert [fault.path for fault in raised.value.faults] == [path]


# -- what is kept, for how long, by what -----------------------------------------------------------

ANSWERS = """
- {kind: cache, name: a, MORE links: {out: {name: b}}}
- {kind: probe, name: b, links: {out: {name: answer}}}
- {kind: snippet, name: answer, language: cel, code: "CODE"}
"""


def answering(code: str, more: str = "") -> str:
    return ANSWERS.replace("MORE", more).replace("CODE", code)


@pytest.mark.parametrize(
    ("code", "is_kept"),
    [
        ("{'status': 200}", True),
        ("{'status': 302, 'header': {'Location': '/x'}}", True),
        ("{'status': 399}", True),
        ("{'status': 404}", False),
        ("{'status': 503, 'body': 'busy'}", False),
        ("{'status': 503, 'rows': 1}", True),  # no response, but data that has a `status`
        ("{'header': {'Cache-Control': ['max-age=60', 'No-Store, private']}}", False),
        ("{'header': {'cache-control': 'no-store'}}", False),
        ("{'header': {'Cache-Control': 'no-storex, no-cache'}}", True),
        ("{'header': {'X-Cache-Control': 'no-store'}}", True),
    ],
)
def test_an_answer_that_failed_or_says_no_store_is_not_kept(code: str, is_kept: bool) -> None:
    with flow(answering(code)) as running:
        assert running.call("a", 1) == running.call("a", 1)
        assert len(running.probes.of("b")) == (1 if is_kept else 2)


def test_keep_says_which_failures_are_kept() -> None:
    with flow(answering("{'status': self}", "keep: [404, 410],")) as running:
        for status in (404, 410, 403) * 2:
            assert running.call("a", status) == {"status": status}
        assert running.probes.of("b") == [404, 410, 403, 403]


def test_the_answer_may_say_for_how_long() -> None:
    """A token lives as long as its `expires_in`."""
    code = "{'body': {'expires_in': self}}"
    with timed(answering(code, "interval: self.body.expires_in - 10,")) as (running, clock):
        running.call("a", 60)
        clock.advance(49.9)
        running.call("a", 60)
        assert running.probes.of("b") == [60]
        clock.advance(0.1)
        running.call("a", 60)
        assert running.probes.of("b") == [60, 60]


@pytest.mark.parametrize("seconds", ["0", "-5", "null"])
def test_an_answer_that_lives_no_time_is_not_kept(seconds: str) -> None:
    with flow(answering("{'lives': " + seconds + "}", "interval: self.lives,")) as running:
        running.call("a", 1)
        running.call("a", 1)
        assert running.probes.of("b") == [1, 1]


def test_an_answer_whose_interval_is_unknown_is_not_kept_and_the_log_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with flow(answering("{'token': 'secret-token'}", "interval: self.expires_in,")) as running:
        assert running.call("a", 1) == {"token": "secret-token"}
        running.call("a", 1)
        assert running.probes.of("b") == [1, 1]
    assert "an answer is not kept" in caplog.text
    assert "expires_in" in caplog.text
    assert "secret-token" not in caplog.text


def test_key_says_what_payloads_are_told_apart_by() -> None:
    with flow(cache("key: self.id,")) as running:
        assert running.call("a", {"id": 1, "at": 1}) == {"id": 1, "at": 1}
        assert running.call("a", {"id": 1, "at": 2}) == {"id": 1, "at": 1}
        assert running.call("a", {"id": 2, "at": 3}) == {"id": 2, "at": 3}
        assert len(running.probes.of("b")) == 2


@pytest.mark.parametrize("error", ["", ", error: {name: e}"])
def test_a_key_that_fails_is_the_error_of_the_packet(error: str) -> None:
    with flow(cache("key: self.id,", error=error)) as running:
        if error:
            assert running.call("a", {}) == "handled"
        else:
            with pytest.raises(Exception, match="id"):
                running.call("a", {})
        assert running.probes.of("b") == []


# -- forgetting ------------------------------------------------------------------------------------

FORGET = """
- {kind: probe, name: forget, links: {out: {name: a, port: "in[1]"}}}
"""


def test_it_can_be_told_to_forget() -> None:
    with flow(cache() + FORGET) as running:
        running.call("a", 1)
        running.call("a", 2)
        assert running.call("forget", 1) is None
        running.call("a", 1)
        running.call("a", 2)
        assert running.probes.of("b") == [1, 2, 1]
        assert running.call("forget", None) is None
        running.call("a", 1)
        running.call("a", 2)
        assert running.probes.of("b") == [1, 2, 1, 1, 2]


def test_it_forgets_by_its_key() -> None:
    with flow(cache("key: self.id,") + FORGET) as running:
        running.call("a", {"id": 1, "at": 1})
        running.call("forget", {"id": 1, "name": "changed"})
        running.call("a", {"id": 1, "at": 2})
        assert len(running.probes.of("b")) == 2


@pytest.mark.parametrize("payload", [1, None])
def test_what_is_forgotten_while_it_is_under_way_is_not_kept(payload: Any) -> None:
    """It may have been read before the change that the forgetting is about."""
    with flow(cache() + FORGET) as running:
        gate = running.probes.gates["b"] = Event()
        first = gevent.spawn(running.call, "a", 1)
        until(lambda: running.probes.of("b") == [1])
        running.call("forget", payload)
        second = gevent.spawn(running.call, "a", 1)
        until(lambda: running.probes.of("b") == [1, 1])  # it does not wait for the first
        gate.set()
        assert (first.get(), second.get()) == (1, 1)
        assert running.call("a", 1) == 1
        assert running.probes.of("b") == [1, 1]  # the second was kept
        caching: Any = running.runtime.table.find("a").version.node
        assert not caching.sent


def test_an_error_is_nothing_to_forget() -> None:
    with flow(cache() + FORGET) as running, pytest.raises(Exception, match="boom"):
        running.call("forget", ValueError("boom"))


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"key": "self."}, "$.key"),
        ({"interval": "self +"}, "$.interval"),
        ({"interval": "five"}, "$.interval"),
        ({"keep": [200]}, "$.keep[0]"),
        ({"keep": "many"}, "$.keep[0]"),
    ],
)
def test_faulty_fields_about_what_is_kept_are_refused(fields: dict[str, Any], path: str) -> None:
    with pytest.raises(SpecInvalid) as raised:
        Scheme.installed().decode({"kind": "cache", **fields}, "default")
    assert [fault.path for fault in raised.value.faults] == [path]
