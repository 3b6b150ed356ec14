"""test and assert (BEHAVIOUR 13, 13.1, 13.2)."""

from __future__ import annotations

from typing import Any

import gevent
import pytest
from gevent.event import Event

from greenflow.engine.declaring import node
from greenflow.engine.node import Context, Node
from greenflow.engine.trace import MAX_SHOWN
from greenflow.errors import AssertFailed, GreenflowError, InvalidArgument, SpecInvalid
from greenflow.scheme.registry import Scheme
from greenflow.spec.fields import Spec
from greenflow.testing import ManualClock
from greenflow.testing import flow as observed
from greenflow.testing.running import Flow, NodeTestFailed
from tests.flows import flow
from tests.waiting import until


def reason(running: Flow, name: str = "t", timeout: float = 10.0) -> str:
    """What a test fails with."""
    with pytest.raises(NodeTestFailed) as raised:
        running.test(name, timeout)
    return str(raised.value)


# -- test ------------------------------------------------------------------------------------------

TEST = """
- {kind: test, name: t, links: {out: {name: a}, "out[1]": {name: check}ERROR}}
- {kind: snippet, name: a, language: LANGUAGE, code: 'CODE'}
- {kind: snippet, name: check, language: cel, code: 'self'}
- {kind: nop, name: e}
"""


def a_test(code: str, language: str = "cel", error: str = "") -> str:
    return TEST.replace("CODE", code).replace("LANGUAGE", language).replace("ERROR", error)


@pytest.mark.parametrize("answer", ["null", "0", '{"a": [1]}', "[]", "false"])
def test_a_test_sends_null_and_then_the_answer_with_its_index(answer: str) -> None:
    with observed(a_test(answer, "json")) as running:
        running.test("t")
        assert running.passed("a") == [None]
        assert running.passed("check") == [[running.passed("a", "out")[0], -1]]


@pytest.mark.parametrize("error", ["", ", error: {name: e}"])
def test_an_error_fails_it_and_nothing_is_asserted(error: str) -> None:
    with observed(a_test('{"a": 1}.b', error=error)) as running:
        assert reason(running).splitlines()[-1] == "in node 'a'"
        assert running.passed("check") == []
        assert len(running.passed("e")) == (1 if error else 0)


def test_nothing_passes() -> None:
    with observed("""
- {kind: test, name: t, links: {out: {name: a}, "out[1]": {name: check}}}
- {kind: nop, name: a}
- {kind: nop, name: check}
- {kind: test, name: unlinked}
""") as running:
        running.test("t")
        running.test("unlinked")
        assert running.passed("check") == []


def test_only_an_error_of_the_asserts_fails_it() -> None:
    with observed("""
- {kind: test, name: t, links: {out: {name: a}, "out[1]": {name: b}}}
- {kind: test, name: u, links: {out: {name: a}, "out[1]": {name: throws}}}
- {kind: snippet, name: a, language: json, code: 'false'}
- {kind: snippet, name: b, language: json, code: 'false'}
- {kind: snippet, name: message, language: json, code: '["root", "outer"]', links: {out: {name: x}}}
- {kind: call, name: throws, links: {out: {name: message}}}
- {kind: throw, name: x}
""") as running:
        running.test("t")
        assert reason(running, "u") == "outer\nroot\nin node 'x'"


def test_what_fails_to_commit_fails_it() -> None:
    class Stuck:
        def __enter__(self) -> None:
            pass

        def __exit__(self, *error: object) -> None:
            raise ValueError("the disk is full")

    @node("stores")
    def stores(ctx: Context, payload: Any) -> Any:
        ctx.enter(Stuck())
        return 1

    scheme = Scheme.installed()
    scheme.register(stores)
    specs: list[Any] = [
        {"kind": "test", "name": "t", "links": {"out": [{"name": "a"}]}},
        {"kind": "stores", "name": "a"},
    ]
    with observed(specs, scheme=scheme) as running:
        assert reason(running) == "the disk is full"


def test_a_test_that_takes_too_long_fails_and_ends() -> None:
    with observed("""
- {kind: test, name: t, links: {out: {name: a}}}
- {kind: sleep, name: a, interval: 1h}
- {kind: test, name: own, timeout: 10ms, links: {out: {name: a}}}
""") as running:
        late = "no answer after 0.01 s; the last that passed was a.in"
        assert reason(running, timeout=0.01) == late
        assert reason(running, "own") == late
        assert not running.runtime.services.processes


def test_what_it_began_has_to_end_too() -> None:
    with observed("""
- {kind: test, name: t, links: {out: [{name: f}, {name: b}]}}
- {kind: fork, name: f, links: {out: {name: a}}}
- {kind: sleep, name: a, interval: 1h}
- {kind: nop, name: b}
""") as running:
        assert "what it began (a fork, a WebSocket) still ran" in reason(running, timeout=0.01)
        assert not running.runtime.services.processes


def test_when_it_has_failed_what_it_began_is_ended() -> None:
    with observed("""
- {kind: test, name: t, links: {out: [{name: f}, {name: b}]}}
- {kind: fork, name: f, links: {out: {name: a}}}
- {kind: sleep, name: a, interval: 1h}
- {kind: snippet, name: b, language: cel, code: 'null.x'}
""") as running:
        assert reason(running, timeout=3600).splitlines()[-1] == "in node 'b'"
        assert not running.runtime.services.processes


def test_an_error_of_a_child_fails_only_the_child(caplog: pytest.LogCaptureFixture) -> None:
    with observed("""
- {kind: test, name: t, links: {out: {name: f}}}
- {kind: fork, name: f, links: {out: {name: a}}}
- {kind: snippet, name: a, language: cel, code: 'null.x'}
""") as running:
        running.test("t")
        until(lambda: "unhandled error" in caplog.text)


def test_a_process_that_exits_in_the_middle_fails_it() -> None:
    @node("leaves")
    def leaves(ctx: Context, payload: Any) -> Any:
        ctx.process.exit(ValueError("the power went"))

    scheme = Scheme.installed()
    scheme.register(leaves)
    specs: list[Any] = [
        {"kind": "test", "name": "t", "links": {"out": [{"name": "a"}]}},
        {"kind": "leaves", "name": "a"},
    ]
    with observed(specs, scheme=scheme) as running:
        assert reason(running) == "process exited\nthe power went"


def test_two_runs_have_a_record_each() -> None:
    with observed("""
- {kind: test, name: t, links: {out: {name: a}, "out[1]": {name: c}}}
- {kind: snippet, name: a, language: json, code: '1'}
- {kind: assert, name: c, target: {name: a}, expect: 'self == null', links: {out: {name: d}}}
- {kind: snippet, name: d, language: cel, code: 'self'}
""") as running:
        running.test("t")
        running.test("t")
        first, second = running.passed("d")
        assert first == second


def test_a_runtime_that_serves_runs_no_tests() -> None:
    with flow("""
- {kind: test, name: t, links: {out: {name: a}}}
- {kind: probe, name: a}
""") as running:
        gevent.idle()
        assert running.probes.seen == []


def test_what_is_no_test_is_not_run() -> None:
    with observed({"kind": "nop", "name": "a"}) as running:
        with pytest.raises(LookupError, match="'a' is of kind 'nop'"):
            running.test("a")
        with pytest.raises(GreenflowError, match="no node has the name or id 'b'"):
            running.test("b")


# -- assert ----------------------------------------------------------------------------------------

ASSERT = """
- {kind: assert, name: a, expect: 'self.x > 1', links: {ERROR}}
- {kind: snippet, name: e, code: handled}
"""


def test_an_assert_passes_its_input_on() -> None:
    with flow(ASSERT.replace("ERROR", "")) as running:
        assert running.call("a", [{"x": 2}, 7]) == [{"x": 2}, 7]
        assert running.call("a", [{"x": 2}, -1]) == [{"x": 2}, -1]


def test_false_is_the_error_assert_failed() -> None:
    with flow(ASSERT.replace("ERROR", "")) as running:
        with pytest.raises(AssertFailed, match=r"^assert failed$") as raised:
            running.call("a", [{"x": 1}, -1])
        assert str(raised.value.__cause__) == "expected `self.x > 1` of what came"


@pytest.mark.parametrize(
    "payload",
    [[{"x": 1}, 0], [None, -1], [{"no": "x"}, 0], None, 5, {}, [], [1], [{"x": 2}, 0, 1],
     [{"x": 2}, "0"], [{"x": 2}, True], [{"x": 2}, None], [{"x": 2}, 0.0]],
)  # fmt: skip
def test_errors_go_to_error(payload: Any) -> None:
    with flow(ASSERT.replace("ERROR", "error: {name: e}")) as running:
        assert running.call("a", payload) == "handled"


@pytest.mark.parametrize("payload", [None, 5, [], [1], [{"x": 2}, "0"], [{"x": 2}, True]])
def test_what_is_no_pair_is_an_invalid_argument(payload: Any) -> None:
    with flow(ASSERT.replace("ERROR", "")) as running, pytest.raises(InvalidArgument):
        running.call("a", payload)


@pytest.mark.parametrize(
    ("result", "holds"),
    [("false", 0), ("null", 0), ("0", 0), ("0.0", 0), ('""', 0), ("[]", 1), ("{}", 1), ("1", 1)],
)
def test_what_is_true_is_as_everywhere(result: str, holds: int) -> None:
    with flow(f"{{kind: assert, name: a, language: json, expect: '{result}'}}") as running:
        if holds:
            assert running.call("a", [1, 2]) == [1, 2]
        else:
            with pytest.raises(AssertFailed):
                running.call("a", [1, 2])


def test_its_process_may_exit_in_the_middle() -> None:
    with flow("""
- {kind: assert, name: a, language: javascript, timeout: 30s,
   expect: 'export default () => new Promise(() => {})'}
""") as running:
        call = gevent.spawn(running.call, "a", [1, 2])
        until(lambda: bool(running.runtime.services.processes))
        (process,) = running.runtime.services.processes
        process.exit(ValueError("enough"))
        with pytest.raises(GreenflowError, match="process exited"):
            call.get()


TARGET = """
- {kind: test, name: t, links: {out: {name: l}, "out[1]": {name: check}}}
- {kind: snippet, name: l, language: json, code: '[1, 2, 3]', links: {out: {name: each}}}
- {kind: loop, name: each, links: {out: {name: double}, "out[1]": {name: done}}}
- kind: snippet
  id: the-id
  name: double
  language: cel
  code: self * 2
  links: {error: {name: no}}
- kind: block
  name: done
  specs: {kind: snippet, name: inside, language: cel, code: self.size()}
- {kind: nop, name: no}
- CHECK
"""


@pytest.mark.parametrize(
    ("target", "expect"),
    [
        ("{name: double}", "self == 1"),
        ("{name: double, port: in}", "self == 1"),
        ("{name: double, port: 'in[0]'}", "self == 1"),
        ("{name: double, port: out}", "self == 2"),
        ("{id: the-id, port: out}", "self == 2"),
        ("{id: the-id, name: no, port: out}", "self == 2"),
        ("{name: each, port: 'out[1]'}", "self == [2, 4, 6]"),
        ("{name: done}", "self == [2, 4, 6]"),
        ("{name: inside, port: out}", "self == 3"),
        ("{name: t, port: out}", "self == null"),
    ],
)
def test_a_target_is_looked_for_in_what_passed(target: str, expect: str) -> None:
    check = f"{{kind: assert, name: check, target: {target}, expect: '{expect}'}}"
    with observed(TARGET.replace("CHECK", check)) as running:
        running.test("t")
        running.settle()
        ((payload, index),) = running.passed("check", "out")
        assert index >= 0
        assert running.record[index].payload == payload


def test_it_looks_from_the_index_on() -> None:
    """Each takes up where the one before it has found something; a snippet goes one further."""
    check = """{kind: assert, name: check, target: {name: double}, expect: 'self == 1',
   links: {out: {name: same}}}
- {kind: assert, name: same, target: {name: double}, expect: 'self == 1', links: {out: {name: on}}}
- {kind: snippet, name: on, language: cel, code: '[self[0], self[1] + 1]', links: {out: {name: b}}}
- {kind: assert, name: b, target: {name: double}, expect: 'self == 2', links: {out: {name: last}}}
- {kind: assert, name: last, target: {name: double, port: out}, expect: 'self == 2'}
"""
    with observed(TARGET.replace("CHECK", check)) as running:
        said = reason(running)
        assert said.splitlines()[1:] == [
            "expected `self == 2` of what passed 'double' by 'out', which is 4",
            "in node 'last'",
        ]


@pytest.mark.parametrize("target", ["{name: double, port: error}", "{name: lost}", "{id: nobody}"])
def test_what_did_not_pass_is_the_error_assert_failed(target: str) -> None:
    check = f"{{kind: assert, name: check, target: {target}, expect: 'true'}}"
    with observed(TARGET.replace("CHECK", check)) as running:
        message, cause, where = reason(running).splitlines()
        assert message == "assert failed"
        assert cause.startswith("expected a packet that passed ")
        assert "; passed have t.out, l.in, l.out, each.in, each.out, double.in" in cause
        assert where == "in node 'check'"


def test_what_came_is_shown_within_limits() -> None:
    with observed(
        """
- {kind: test, name: t, links: {out: {name: a}, "out[1]": {name: check}}}
- {kind: snippet, name: a, language: cel, code: '["LONG", b"ab"]'}
- {kind: assert, name: check, expect: 'self == ""'}
""".replace("LONG", "x" * 5000)
    ) as running:
        cause = reason(running).splitlines()[1]
        assert cause.endswith("xxx...")
        assert len(cause) < MAX_SHOWN + 100


CHILD = """
- {kind: test, name: t, links: {out: [{name: f}, {name: a}], "out[1]": {name: check}}}
- {kind: snippet, name: a, language: json, code: '1'}
- {kind: fork, name: f, links: {out: {name: waits}}}
- {kind: waits, name: waits, links: {out: {name: late}}}
- {kind: nop, name: late}
- {kind: assert, name: check, target: {name: TARGET}, expect: 'true', timeout: TIMEOUT}
"""


class Waits(Node[Spec]):
    """Waits until the test has gone so far."""

    kind = "waits"
    gate = Event()

    def handle(self, ctx: Context, payload: Any) -> Any:
        self.gate.wait()
        return payload


def with_child(target: str, timeout: str) -> tuple[str, Scheme]:
    Waits.gate = Event()
    scheme = Scheme.installed()
    scheme.register(Waits)
    return CHILD.replace("TARGET", target).replace("TIMEOUT", timeout), scheme


def test_it_waits_for_a_packet_of_a_child() -> None:
    text, scheme = with_child("late", "10s")
    with observed(text, scheme=scheme) as running:
        testing = gevent.spawn(running.test, "t")
        running.passed("check", count=1)
        gevent.idle()
        assert not testing.ready()
        Waits.gate.set()
        testing.get()


def test_it_waits_no_longer_than_the_children_run() -> None:
    text, scheme = with_child("lost", "1h")
    with observed(text, scheme=scheme) as running:
        testing = gevent.spawn(reason, running)
        running.passed("check", count=1)
        gevent.idle()
        assert not testing.ready()
        Waits.gate.set()
        assert "expected a packet that passed 'lost' by 'in'; passed have" in testing.get()


def test_it_waits_no_longer_than_its_timeout() -> None:
    text, scheme = with_child("late", "10s")
    clock = ManualClock()
    with observed(text, scheme=scheme, clock=clock) as running:
        testing = gevent.spawn(reason, running)
        running.passed("check", count=1)
        clock.advance(10)
        gevent.idle()
        Waits.gate.set()
        assert "expected a packet that passed 'late' by 'in'" in testing.get()


def test_where_nothing_is_noted_a_target_is_not_found() -> None:
    with flow("{kind: assert, name: a, target: {name: a}, expect: 'true'}") as running:
        with pytest.raises(AssertFailed) as raised:
            running.call("a", [1, 0])
        assert "only noted under `greenflow test`" in str(raised.value.__cause__)


def test_any_process_of_a_flow_under_test_has_a_record() -> None:
    with observed("""
- {kind: call, name: c, links: {out: {name: b}, "out[1]": {name: pair}}}
- {kind: snippet, name: b, language: cel, code: 'self + 1'}
- {kind: snippet, name: pair, language: cel, code: '[self, 0]', links: {out: {name: a}}}
- {kind: assert, name: a, target: {name: b}, expect: 'self == 1'}
""") as running:
        assert running.call("c", 1)[0] == 1
        with pytest.raises(AssertFailed):
            running.call("c", 2)


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ({"kind": "assert"}, "$.expect"),
        ({"kind": "assert", "expect": "self ="}, "$.expect"),
        ({"kind": "assert", "expect": "1", "language": "klingon"}, "$.language"),
        ({"kind": "assert", "expect": "1", "target": {}}, "$.target"),
        ({"kind": "assert", "expect": "1", "target": {"name": "a", "port": "x y"}}, "$.target"),
        ({"kind": "assert", "expect": "1", "target": {"nme": "a"}}, "$.target.nme"),
        ({"kind": "assert", "expect": "1", "links": {"out[1]": {"name": "a"}}}, "$.links.out[1]"),
        ({"kind": "test", "links": {"out[2]": {"name": "a"}}}, "$.links.out[2]"),
        ({"kind": "test", "timeout": "soon"}, "$.timeout"),
        ({"kind": "block", "specs": [{"kind": "test"}]}, "$.specs[0]"),
    ],
)
def test_faulty_specs_are_refused_at_their_place(document: Any, path: str) -> None:
    with pytest.raises(SpecInvalid) as raised:
        Scheme.installed().decode(document, "default")
    assert [fault.path for fault in raised.value.faults] == [path]
