"""The core model: every invariant of the design, and random graphs against plain recursion."""

from __future__ import annotations

import contextvars
import gc
import weakref
from itertools import pairwise
from typing import Any

import gevent
import pytest
from gevent.event import Event
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from greenflow.engine.budget import Budget
from greenflow.engine.packet import NOTHING, Fault, merge
from greenflow.engine.process import EXITED, RUNNING, Process
from greenflow.errors import Interrupt, ProcessExited, Runaway, messages
from tests.graphs import FunctionNode, ask, entry, link
from tests.waiting import until

BEHAVIOURS = ("pass", "yield", "raise", "nothing", "split", "call", "two", "catch", "error link")


class Boom(Exception):
    pass


@st.composite
def graphs(draw: Any) -> list[tuple[str, list[int], list[int], int]]:
    """A directed graph without cycles: for each node a behaviour, two lists of links, a number."""
    size = draw(st.integers(1, 8))

    def links(i: int) -> list[int]:
        if i + 1 == size:
            return []
        return draw(st.lists(st.integers(i + 1, size - 1), max_size=2))

    return [
        (draw(st.sampled_from(BEHAVIOURS)), links(i), links(i), draw(st.integers(0, 3)))
        for i in range(size)
    ]


def turn(times: int) -> None:
    """Let the hub run so many times: a handler that blocks, without a clock."""
    for _ in range(times):
        gevent.sleep(0)


def build(graph: list[tuple[str, list[int], list[int], int]]) -> list[FunctionNode]:
    nodes = []
    for i, (behaviour, _, _, number) in enumerate(graph):

        def handle(
            ctx: Any, v: Any, i: int = i, behaviour: str = behaviour, number: int = number
        ) -> Any:
            if behaviour == "yield":
                turn(number)
            if behaviour in ("raise", "error link"):
                turn(number)
                raise Boom(i)
            if behaviour == "nothing":
                return NOTHING
            if behaviour == "split":
                return iter_sends(ctx.to("out", (v, i, 0)), ctx.to("out[1]", (v, i, 1)))
            if behaviour == "two":
                return iter_sends(ctx.to("out", (v, i, "x")), ctx.to("out", (v, i, "y")))
            if behaviour == "call":
                answers = ctx.call("out", *((v, i, k) for k in range(number)))
                if any(isinstance(answer, Fault) for answer in answers):
                    return ctx.to("out[1]", "failed")
                return ctx.to("out[1]", ("called", tuple(map(show, answers))))
            if behaviour == "catch":
                (answer,) = ctx.call("out", v)
                if isinstance(answer, Fault):
                    return ctx.to("out[1]", ("caught", i))
                return answer if answer is NOTHING else ctx.to("out[1]", answer)
            return (v, i)

        nodes.append(FunctionNode(handle, f"n{i}"))
    for i, (behaviour, first, second, _) in enumerate(graph):
        for j in first:
            link(nodes[i], nodes[j])
        for j in second:
            link(nodes[i], nodes[j], "error" if behaviour == "error link" else "out[1]")
    return nodes


def iter_sends(*sends: Any) -> Any:
    yield from sends


def show(answer: Any) -> Any:
    if isinstance(answer, Fault):
        return show(answer.error)
    if isinstance(answer, BaseExceptionGroup):
        return ("error", tuple(map(show, answer.exceptions)))
    if isinstance(answer, BaseException):
        return ("error", repr(answer))
    if isinstance(answer, list | tuple):
        return type(answer)(map(show, answer))
    return answer


def reference(graph: list[tuple[str, list[int], list[int], int]], i: int, v: Any) -> Any:
    """The meaning of the graph, as plain recursion."""
    behaviour, first, second, number = graph[i]

    def write(links: list[int], value: Any) -> list[Any]:
        if links:
            return [reference(graph, j, value) for j in links]
        return [Fault(value) if isinstance(value, Exception) else value]

    def tail(*sends: tuple[list[int], Any]) -> Any:
        answers = [answer for links, value in sends for answer in write(links, value)]
        return answers[0] if len(answers) == 1 else merge(answers)

    def call(value: Any) -> Any:
        return tail((first, value))

    if behaviour == "raise":
        return Fault(Boom(i))
    if behaviour == "error link":
        return tail((second, Boom(i)))
    if behaviour == "nothing":
        return NOTHING
    if behaviour == "split":
        return tail((first, (v, i, 0)), (second, (v, i, 1)))
    if behaviour == "two":
        return tail((first, (v, i, "x")), (first, (v, i, "y")))
    if behaviour == "call":
        answers = [call((v, i, k)) for k in range(number)]
        failed = any(isinstance(answer, Fault) for answer in answers)
        return tail((second, "failed" if failed else ("called", tuple(map(show, answers)))))
    if behaviour == "catch":
        answer = call(v)
        if isinstance(answer, Fault):
            return tail((second, ("caught", i)))
        return NOTHING if answer is NOTHING else tail((second, answer))
    return tail((first, (v, i)))


def idle(nodes: list[FunctionNode]) -> bool:
    return all(node.in_flight == 0 for node in nodes)


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(graphs(), st.integers(1, 3), st.integers(1, 3))
def test_any_graph_answers_as_plain_recursion(
    graph: list[Any], values: int, processes: int
) -> None:
    nodes = build(graph)
    port = entry(nodes[0])
    expected = [show(reference(graph, 0, v)) for v in range(values)]

    def run() -> None:
        process = Process()
        with gevent.Timeout(60):
            answers = process.ask(port, *range(values))
        assert [show(answer) for answer in answers] == expected
        assert not process.open
        process.exit()
        assert process.state == EXITED
        assert not process._runners

    greenlets = [gevent.spawn(run) for _ in range(processes)]
    gevent.joinall(greenlets, raise_error=True)
    assert idle(nodes)


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(graphs(), st.integers(1, 4), st.integers(0, 30))
def test_exit_at_any_moment_releases_everything(graph: list[Any], values: int, turns: int) -> None:
    nodes, closed = build(graph), []
    port, process = entry(nodes[0]), Process()
    process.on_exit(lambda: closed.append(1))
    process.on_exit(lambda: closed.append(2))
    source = gevent.spawn(process.ask, port, *range(values))
    turn(turns)
    process.exit(ValueError("stop"))
    with gevent.Timeout(60):
        answers = source.get()
    assert len(answers) == values
    assert closed == [2, 1]
    assert not process.open
    assert not process._runners
    assert not process.readers
    assert idle(nodes)


def test_branches_block_side_by_side() -> None:
    gate, inside = Event(), []

    def block(ctx: Any, v: Any) -> Any:
        inside.append(v)
        if len(inside) == 50:
            gate.set()
        assert gate.wait(10)
        return v

    assert ask(entry(*(FunctionNode(block) for _ in range(50))), 1) == [[1] * 50]


def test_one_port_handles_one_packet_at_a_time_in_write_order() -> None:
    seen, inside = [], []

    def handle(ctx: Any, v: int) -> Any:
        inside.append(v)
        assert inside == [v]
        turn(v % 3)
        inside.clear()
        seen.append(v)
        return v

    assert ask(entry(FunctionNode(handle)), *range(50)) == list(range(50))
    assert seen == list(range(50))


def test_a_runaway_cycle_ends_with_an_error() -> None:
    node = FunctionNode(lambda ctx, v: v)
    link(node, node)
    (answer,) = ask(entry(node), 1)
    assert isinstance(answer.error, Runaway)


def runaway(budget: Budget) -> Any:
    """The answer of 40 nodes that each send everything on twice."""
    nodes = [FunctionNode(lambda ctx, v: v) for _ in range(40)]
    for here, there in pairwise(nodes):
        link(here, there)
        link(here, there)
    process = Process(budget=budget)
    (answer,) = process.ask(entry(nodes[0]), 1)
    assert not process.open
    return answer


def test_a_runaway_fan_out_ends_with_an_error() -> None:
    assert Budget().open == 100_000  # which takes 4 s to reach: tests/soak does
    answer = runaway(Budget(open=10_000))
    assert isinstance(answer, Fault)
    reason = "more than 10,000 packets open in a process (process.open)"
    assert set(messages(answer.error)) >= {reason}


def test_who_ran_away_takes_packets_again_when_calm_and_none_when_it_has_ended() -> None:
    """A source makes it calm before it asks its `error` link."""
    doubling = [FunctionNode(lambda ctx, v: v) for _ in range(40)]
    for here, there in pairwise(doubling):
        link(here, there)
        link(here, there)
    alone, process = entry(FunctionNode(lambda ctx, v: v)), Process(budget=Budget(open=20))

    def told() -> list[Any]:
        """What a packet that is written without an ask is answered, and one that is asked."""
        reply = process.write(alone, (1,), 1)
        process.wait(reply)
        return [*reply.values, *process.ask(alone, 2)]

    def ended() -> list[type]:
        return [type(answer.error) for answer in told()]

    for _ in range(2):
        (answer,) = process.ask(entry(doubling[0]), 1)
        assert isinstance(answer.error, Runaway)
        (refused,) = process.write(alone, (1,), 1).values
        assert refused.error is answer.error
        process.calm()
        assert told() == [1, 2]
    process.ask(entry(doubling[0]), 1)
    process.exit()
    assert ended() == [ProcessExited, ProcessExited]
    process.calm()
    assert ended() == [ProcessExited, ProcessExited]
    assert not process.open


def test_a_context_is_shown_in_short_however_many_packets_wait() -> None:
    def show(ctx: Any, v: int) -> str:
        return repr(ctx)

    node = FunctionNode(show)
    (shown, *_) = Process().ask(entry(node), *range(1000))
    assert "999 packets>" in shown
    assert len(shown) < 500


def test_a_cycle_through_call_cannot_wait_for_itself() -> None:
    def handle(ctx: Any, v: int) -> Any:
        return ctx.to("out[1]", 0 if v == 0 else ctx.call("out", v - 1)[0] + 1)

    node = FunctionNode(handle)
    link(node, node)
    with gevent.Timeout(60):
        assert ask(entry(node), 200) == [200]


def test_a_busy_chain_lets_others_run() -> None:
    ticks = 0

    def tick() -> None:
        nonlocal ticks
        while True:
            gevent.sleep(0)
            ticks += 1

    node = FunctionNode(lambda ctx, v: v)
    link(node, node)
    ticker = gevent.spawn(tick)
    ask(entry(node), 1)
    ticker.kill()
    assert ticks >= 10_000 // 256 - 1


def test_a_chain_of_five_thousand_and_ten_thousand_nested_children() -> None:
    nodes = [FunctionNode(lambda ctx, v: v + 1) for _ in range(5000)]
    for here, there in pairwise(nodes):
        link(here, there)
    assert ask(entry(nodes[0]), 0) == [5000]

    ended = []
    root = child = Process()
    for depth in range(10_000):
        child = Process(child)
        child.on_exit(lambda depth=depth: ended.append(depth))
    root.exit()
    assert ended == list(reversed(range(10_000)))
    assert not root.children


def test_a_process_needs_no_cycle_collector_to_go() -> None:
    class Watched(Process):
        __slots__ = ("__weakref__",)

    gc.collect()
    gc.disable()
    try:
        process = Watched()
        process.ask(entry(FunctionNode(lambda ctx, v: v)), 1)
        process.exit()
        reference = weakref.ref(process)
        del process
        turn(2)
        assert reference() is None
    finally:
        gc.enable()


def test_a_handler_may_exit_its_own_process() -> None:
    def handle(ctx: Any, v: Any) -> Any:
        ctx.process.exit(ValueError("enough"))
        return v

    process = Process()
    with gevent.Timeout(60):
        (answer,) = process.ask(entry(FunctionNode(handle), FunctionNode(lambda ctx, v: v)), 1)
    assert isinstance(answer, Fault)
    assert process.state == EXITED
    assert not process.open


def test_children_go_before_their_parent() -> None:
    parent = Process()
    child = Process(parent)
    ended, started = [], Event()
    child.on_exit(lambda: ended.append("child"))
    parent.on_exit(lambda: ended.append("parent"))

    def block(ctx: Any, v: Any) -> None:
        started.set()
        Event().wait()

    source = gevent.spawn(child.ask, entry(FunctionNode(block)), 1)
    started.wait()
    with gevent.Timeout(60):
        parent.exit(ValueError("over"))
        (answer,) = source.get()
    assert ended == ["child", "parent"]
    assert isinstance(answer.error, ProcessExited)
    assert str(answer.error.__cause__) == "over"
    assert child.error is parent.error


def test_a_greenlet_that_runs_a_child_inside_the_parent_leaves_both() -> None:
    started, parent = Event(), Process()

    def block(ctx: Any, v: Any) -> None:
        started.set()
        Event().wait()

    inner = entry(FunctionNode(block))

    def outer(ctx: Any, v: Any) -> Any:
        return Process(ctx.process).ask(inner, v)[0]

    source = gevent.spawn(parent.ask, entry(FunctionNode(outer)), 1)
    started.wait()
    with gevent.Timeout(60):
        parent.exit()
        (answer,) = source.get()
    assert isinstance(answer.error, ProcessExited)
    assert not parent.children


def test_a_failed_commit_is_known_before_the_answer_leaves() -> None:
    class Transaction:
        def __enter__(self) -> Transaction:
            return self

        def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
            if error is None:
                raise OSError("commit failed")

    process = Process()

    def handle(ctx: Any, v: Any) -> Any:
        ctx.enter(Transaction())
        return v

    assert process.ask(entry(FunctionNode(handle)), 1) == [1]
    assert isinstance(process.settle(), OSError)
    assert process.settle() is None
    process.exit()


def test_resources_and_hooks_are_released_in_reverse_order_and_once() -> None:
    log: list[Any] = []

    class Resource:
        def __init__(self, name: str) -> None:
            self.name = name

        def __enter__(self) -> Resource:
            return self

        def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
            log.append((self.name, kind))

    process = Process()
    process.on_exit(lambda: log.append("first hook"))
    process.enter(Resource("a"))
    process.on_exit(lambda: log.append("second hook"))
    process.enter(Resource("b"))
    assert process.settle() is None
    assert log == [("b", None), ("a", None)]
    process.enter(Resource("late"))
    process.exit()
    process.exit()
    assert log[2:] == [("late", None), "second hook", "first hook"]
    process.on_exit(lambda: log.append("after"))
    assert log[-1] == "after"
    with pytest.raises(ProcessExited):
        process.enter(Resource("too late"))


def test_a_process_exited_with_open_packets_rolls_back() -> None:
    kinds: list[Any] = []

    class Resource:
        def __enter__(self) -> None:
            return None

        def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
            kinds.append(kind)

    started, process = Event(), Process()

    def block(ctx: Any, v: Any) -> None:
        ctx.enter(Resource())
        started.set()
        Event().wait()

    source = gevent.spawn(process.ask, entry(FunctionNode(block)), 1)
    started.wait()
    process.exit()
    source.get()
    assert kinds == [ProcessExited]


def test_a_packet_sent_after_exit_is_answered_process_exited() -> None:
    process = Process()
    process.exit()
    (answer,) = process.ask(entry(FunctionNode(lambda ctx, v: v)), 1)
    assert isinstance(answer.error, ProcessExited)
    assert Process(process).state == EXITED


def test_a_shielded_call_is_waited_for_and_the_handler_ends_after_it() -> None:
    seen: list[Any] = []
    started, gate, process = Event(), Event(), Process()

    def handle(ctx: Any, v: Any) -> Any:
        with ctx.shield():
            started.set()
            gate.wait()
            seen.append("call done")
        seen.append("not reached")
        return v

    process.on_exit(lambda: seen.append("released"))
    source = gevent.spawn(process.ask, entry(FunctionNode(handle)), 1)
    started.wait()
    ending = gevent.spawn(process.exit)
    turn(3)
    assert seen == []
    gate.set()
    ending.join()
    (answer,) = source.get()
    assert isinstance(answer.error, ProcessExited)
    assert seen == ["call done", "released"]


def test_a_call_that_outlasts_the_grace_is_left_behind_and_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    started, gate, process = Event(), Event(), Process(grace=0.0)

    def handle(ctx: Any, v: Any) -> Any:
        with ctx.shield():
            started.set()
            gate.wait()
        return v

    source = gevent.spawn(process.ask, entry(FunctionNode(handle)), 1)
    started.wait()
    process.exit()
    assert process.state == EXITED
    assert "grace" in caplog.text
    gate.set()
    source.join()


def test_context_variables_follow_the_process_and_stay_in_it() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="")
    seen: list[str] = []

    def handle(ctx: Any, v: Any) -> Any:
        seen.append(variable.get())
        turn(1)
        variable.set("changed inside")
        return v

    variable.set("request 1")
    process = Process()
    process.ask(entry(*(FunctionNode(handle) for _ in range(4))), 1)
    assert seen[0] == "request 1"
    assert variable.get() == "request 1"
    process.exit()
    process = Process()
    variable.set("request 2")
    assert process.run(variable.get) == "request 1"
    process.exit()


@pytest.mark.parametrize("thrown", [gevent.Timeout, gevent.GreenletExit, KeyboardInterrupt])
def test_what_no_handler_may_catch_exits_the_process_and_reaches_the_caller(thrown: Any) -> None:
    def handle(ctx: Any, v: Any) -> Any:
        raise thrown()

    process = Process()
    with pytest.raises(thrown):
        process.ask(entry(FunctionNode(handle)), 1)
    assert process.state == EXITED
    assert isinstance(process.error, thrown)
    assert not process.open


def test_a_timeout_in_a_helper_greenlet_exits_the_process(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def block(ctx: Any, v: Any) -> Any:
        Event().wait()

    def expire(ctx: Any, v: Any) -> Any:
        turn(1)
        raise gevent.Timeout(0.001)

    process = Process()
    (answer,) = process.ask(entry(FunctionNode(block), FunctionNode(expire)), 1)
    assert isinstance(process.error, gevent.Timeout)
    assert isinstance(answer, Fault)


def test_a_caller_killed_while_it_waits_exits_the_process() -> None:
    started, process = Event(), Process()

    def block(ctx: Any, v: Any) -> None:
        started.set()
        Event().wait()

    source = gevent.spawn(process.ask, entry(FunctionNode(block)), 1)
    started.wait()
    source.kill()
    assert process.state == EXITED


def test_an_interrupt_is_no_error_of_a_handler() -> None:
    assert not issubclass(Interrupt, Exception)


def test_data_is_read_through_and_taken_once() -> None:
    parent = Process()
    child = Process(parent)
    parent.data.set("a", 1)
    assert child.data.get("a") == 1
    child.data.set("a", 2)
    child.data.delete("a")
    assert child.data.get("a") == 1
    assert child.data.take("a") == 1
    assert parent.data.get("a") is None
    parent.exit()


def test_finish_waits_for_the_children() -> None:
    process, order = Process(), []
    child = Process(process)

    def end() -> None:
        turn(3)
        order.append("child")
        child.exit()

    child.spawn(end)
    process.finish()
    order.append("process")
    assert order == ["child", "process"]
    assert process.state == EXITED


def test_finish_does_not_wait_for_children_that_others_begin_meanwhile() -> None:
    process = Process()
    child = Process(process)
    finishing = gevent.spawn(process.finish)
    gevent.idle()
    late = Process(process)
    gevent.idle()
    assert process.state == late.state == RUNNING
    child.exit()
    finishing.get()
    assert process.state == late.state == EXITED


def test_an_error_in_a_greenlet_of_the_process_is_logged_and_ends_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    process = Process()
    process.spawn(lambda: 1 / 0)
    until(lambda: process.state != RUNNING)
    assert "division by zero" in caplog.text


def test_links_replaced_under_load_lose_nothing() -> None:
    port, closed, answers = entry(), [], []

    def make(version: int) -> FunctionNode:
        def handle(ctx: Any, v: Any) -> Any:
            turn(2)
            assert version not in closed
            return version, v

        return FunctionNode(handle)

    current = make(0)
    link(port, current)

    def client() -> None:
        for i in range(50):
            (answer,) = ask(port, i)
            assert not isinstance(answer, Fault)
            answers.append(answer)

    clients = [gevent.spawn(client) for _ in range(20)]
    version = 0
    while not all(map(gevent.Greenlet.ready, clients)):
        turn(1)
        version += 1
        old, current = current, make(version)
        entrance = current.input("in")
        assert entrance is not None
        port.links = (entrance,)
        while old.in_flight:
            turn(1)
        closed.append(version - 1)
    gevent.joinall(clients, raise_error=True)
    assert len(answers) == 1000
    assert len({answer[0] for answer in answers}) > 5


# -- how it settled (4.13) -----------------------------------------------------------------------


class Ends:
    """A resource that notes how it ended, and may fail to commit."""

    def __init__(self, log: list[Any], fails: bool = False) -> None:
        self.log, self.fails = log, fails

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self.log.append("committed" if error is None else "rolled back")
        if self.fails:
            raise OSError("no commit")


def test_who_asked_is_told_in_order_when_all_resources_are_closed() -> None:
    log: list[Any] = []
    process = Process()
    process.on_settled(lambda error: log.append(("first", error)))
    process.enter(Ends(log))
    process.on_settled(lambda error: log.append(("second", error)))
    process.enter(Ends(log))
    assert process.settle() is None
    assert log == ["committed", "committed", ("first", None), ("second", None)]
    assert process.settle() is None
    process.exit()
    assert len(log) == 4


def test_the_error_of_a_process_and_that_of_a_commit_are_told() -> None:
    for given_error, fails in ((Boom("it failed"), False), (None, True)):
        log: list[Any] = []
        process = Process()
        process.on_settled(log.append)
        process.enter(Ends([], fails))
        assert process.settle(given_error) is log[0] is not None
        assert type(log[0]) is (OSError if fails else Boom)
        process.exit()


def test_what_a_hook_raises_is_the_error_of_the_settling_and_no_business_of_the_next() -> None:
    log: list[Any] = []
    process = Process()

    def raises(error: Any) -> None:
        process.on_settled(lambda error: log.append(("asked late", error)))
        raise Boom("not published")

    process.on_settled(raises)
    process.on_settled(lambda error: log.append(("next", error)))
    assert type(process.settle()) is Boom
    assert log == [("next", None), ("asked late", None)]
    process.exit()


def test_a_process_that_exits_tells_at_the_latest_then() -> None:
    log: list[Any] = []
    process = Process()
    process.on_settled(log.append)
    process.exit(Boom("it ends"))
    assert list(map(str, log)) == ["it ends"]
    process = Process()
    process.settle()
    process.on_settled(log.append)
    process.exit()
    assert log[1:] == [None]
    with pytest.raises(ProcessExited):
        process.on_settled(log.append)


def test_a_hook_that_fails_when_the_process_exits_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def raises(error: Any) -> None:
        raise Boom("not published")

    process = Process()
    process.settle()
    process.on_settled(raises)
    process.exit()
    (record,) = caplog.records
    assert "not published" in record.getMessage()
