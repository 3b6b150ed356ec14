"""nop, fork, call, loop (more in test_loop.py), split, merge, sleep (BEHAVIOUR 13)."""

from __future__ import annotations

from typing import Any

import gevent
import pytest
from gevent.event import Event

from greenflow.config import ProcessSettings
from greenflow.errors import InvalidArgument
from tests.flows import Flow, flow
from tests.waiting import until


def ended(running: Flow) -> None:
    """Wait until no process of the flow is left."""
    until(lambda: not running.runtime.services.processes)


def test_nop_answers_nothing() -> None:
    with flow("{kind: nop, name: a}") as running:
        assert running.call("a", 1) is None


FORK = """
- {kind: fork, name: a, links: {out: {name: b}}}
- {kind: probe, name: b, links: {out: {name: c}}}
- {kind: probe, name: c}
"""


def test_fork_answers_at_once_and_goes_on_in_a_child() -> None:
    with flow(FORK) as running:
        running.probes.gates["b"] = Event()
        assert running.call("a", 1) is None
        running.probes.gates["b"].set()
        ended(running)
        assert running.probes.seen == [("b", 1), ("c", 1)]
        assert running.probes.processes[0].parent is not None


def test_an_error_in_a_fork_goes_to_its_error_link() -> None:
    with flow("""
- {kind: fork, name: a, links: {out: {name: b}, error: {name: e}}}
- {kind: probe, name: b, raises: broken, resource: true}
- {kind: probe, name: e, links: {out: {name: handled}}}
- {kind: snippet, name: handled, code: handled}
""") as running:
        assert running.call("a", 1) is None
        ended(running)
        (error,) = running.probes.of("e")
        assert isinstance(error, InvalidArgument)
        assert ("b", "committed") in running.probes.seen


def test_an_error_in_a_fork_without_link_fails_the_child_and_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with flow("""
- {kind: fork, name: a, links: {out: {name: b}}}
- {kind: probe, name: b, raises: secret-payload-free, resource: true}
""") as running:
        assert running.call("a", "the payload") is None
        ended(running)
        assert ("b", "rolled back") in running.probes.seen
    records = [record for record in caplog.records if "unhandled" in record.message]
    assert len(records) == 1
    assert "the payload" not in caplog.text


@pytest.mark.parametrize("kind", ["call", "pipe"])
def test_call_sends_each_answer_to_the_next_linked_port(kind: str) -> None:
    with flow(f"""
- {{kind: {kind}, name: a, links: {{"out[0]": {{name: b}}, "out[2]": {{name: c}}}}}}
- {{kind: probe, name: b, answer: from b}}
- {{kind: probe, name: c, answer: from c}}
""") as running:
        assert running.call("a", "in") == "from c"
        assert running.probes.seen == [("b", "in"), ("c", "from b")]


def test_call_passes_nothing_on_as_null_and_an_error_to_its_error_link() -> None:
    with flow("""
- {kind: call, name: a, links: {out: {name: nop}, "out[1]": {name: c}}}
- {kind: nop, name: nop}
- {kind: probe, name: c}
- {kind: call, name: x, links: {out: {name: bad}, "out[1]": {name: c}, error: {name: e}}}
- {kind: probe, name: bad, raises: broken}
- {kind: probe, name: e, answer: handled}
- {kind: call, name: echo}
""") as running:
        assert running.call("a", 1) is None
        assert running.probes.of("c") == [None]
        assert running.call("x", 1) == "handled"
        assert running.probes.of("c") == [None]
        assert running.call("echo", 5) == 5


LOOP = """
- {kind: KIND, name: a, links: {out: {name: b}, "out[1]": {name: c}, error: {name: e}}}
- {kind: probe, name: b}
- {kind: probe, name: c}
- {kind: probe, name: e, answer: handled}
"""


@pytest.mark.parametrize("kind", ["loop", "for"])
@pytest.mark.parametrize("payload", [[1, 2, 3], [], [[1]], "one", None, {"a": 1}])
def test_loop_writes_each_element_and_collects_the_answers(kind: str, payload: Any) -> None:
    with flow(LOOP.replace("KIND", kind)) as running:
        assert running.call("a", payload) == payload
        assert running.probes.of("b") == (payload if isinstance(payload, list) else [payload])
        assert running.probes.of("c") == [payload]


def test_loop_drops_nothing_and_sends_errors_after_all_have_answered() -> None:
    with flow("""
- {kind: loop, name: a, links: {out: {name: nop}}}
- {kind: nop, name: nop}
- {kind: loop, name: x, links: {out: {name: b}, error: {name: e}}}
- {kind: probe, name: b, raises: broken, times: 1}
- {kind: probe, name: e, answer: handled}
""") as running:
        assert running.call("a", [1, 2]) == []
        assert running.call("a", 1) is None
        assert running.call("x", [1, 2, 3]) == "handled"
        assert running.probes.of("b") == [1, 2, 3]
        assert running.call("x", [4]) == [4]


def test_loop_of_more_elements_than_a_process_may_have_open() -> None:
    """They are sent as places become free; so many at once were an error."""
    with flow(
        "[{kind: loop, name: a, links: {out: {name: b}}}, {kind: probe, name: b}]"
    ) as running:
        assert running.call("a", list(range(100_001))) == list(range(100_001))


def test_loops_that_multiply_are_an_error_and_not_a_crash() -> None:
    text = """
- {kind: loop, name: a, links: {out: {name: b}}}
- {kind: loop, name: b, links: {out: {name: c}}}
- {kind: probe, name: c}
"""
    with flow(text, process=ProcessSettings(open=500)) as running:
        gate = running.probes.gates["c"] = Event()
        call = gevent.spawn(running.call, "a", [list(range(100))] * 20)
        until(lambda: running.probes.processes and running.probes.processes[0]._runaway)
        gate.set()
        with pytest.raises(ExceptionGroup, match="branches failed"):
            call.get()


def test_split_sends_element_i_to_port_i() -> None:
    with flow("""
- {kind: split, name: a, links: {out: {name: b}, "out[2]": {name: c}}}
- {kind: probe, name: b}
- {kind: probe, name: c}
- {kind: split, name: unlinked}
""") as running:
        assert running.call("a", ["x", "dropped", "y", "dropped"]) == ["x", "y"]
        assert running.call("a", "bare") == "bare"
        assert running.call("a", []) is None
        assert running.probes.seen == [("b", "x"), ("c", "y"), ("b", "bare")]
        assert running.call("unlinked", [1]) is None


MERGE = """
- {kind: split, name: s, links: {out: {name: m, port: "in[1]"}, "out[1]": {name: m}}}
- {kind: merge, name: m, links: {out: {name: c}, error: {name: e}}}
- {kind: probe, name: c}
- {kind: probe, name: e, answer: handled}
- {kind: try, name: t, links: {out: {name: bad}, error: {name: one}}}
- {kind: probe, name: bad, raises: broken}
- {kind: merge, name: one, links: {error: {name: e}}}
"""


def test_merge_waits_for_every_linked_port_and_keeps_their_order() -> None:
    with flow(MERGE) as running:
        assert running.call("s", ["second", "first"]) == ["first", "second"]
        assert running.probes.of("c") == [["first", "second"]]
        assert running.call("s", ["only one"]) is None
        assert running.call("s", [1, 2]) == [2, 1]  # another process, another round


def test_an_error_in_a_merge_goes_to_its_error_link() -> None:
    with flow(MERGE) as running:
        assert running.call("t", 1) == "handled"


def test_merge_counts_rounds() -> None:
    with flow("""
- {kind: loop, name: l, links: {out: {name: s}}}
- {kind: split, name: s, links: {out: {name: m}, "out[1]": {name: m, port: "in[1]"}}}
- {kind: merge, name: m}
""") as running:
        answers = running.call("l", [["a"], ["b"], [1, "x"], [2, "y"]])
        assert answers == [["a", "x"], ["b", "y"]]


@pytest.mark.parametrize("kind", ["sleep", "wait"])
def test_sleep_passes_its_input_on(kind: str) -> None:
    with flow(f"{{kind: {kind}, name: a, interval: 1ms}}") as running:
        assert running.call("a", [1]) == [1]


def test_a_call_that_does_not_answer_in_time_exits_its_process() -> None:
    with flow("{kind: sleep, name: a, interval: 1h}") as running:
        with pytest.raises(TimeoutError, match="'a' did not answer"):
            running.call("a", 1, timeout=0.001)
        assert not running.runtime.services.processes
