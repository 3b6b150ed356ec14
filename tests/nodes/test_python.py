"""python: functions of the user's own code in greenlets, threads and OS processes."""

from __future__ import annotations

import gc
import json
import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent.event import Event

from greenflow.errors import (
    FunctionTimedOut,
    InvalidArgument,
    ProcessExited,
    PythonError,
    SpecInvalid,
    WorkerDied,
    messages,
)
from greenflow.runtime import Runtime
from tests.flows import Flow, flow
from tests.waiting import until

ISOLATIONS = ("greenlet", "thread", "process")
MODULE = """
import dataclasses, os, sys, threading, time
from typing import Optional

def double(n): return [n, n]
def number(): return 7
def area(width: float, height: float, *, scale: int = 1): return width * height * scale
def every(*items: int): return sum(items)
def named(**items: int): return items
def only(*, order): return order
def maybe(text: Optional[str]): return text
def raw(data: bytes): return data
def strange(thing: threading.Thread): return str(thing)
@dataclasses.dataclass
class Order:
    sku: str
    items: list[int]
def order(it: Order): return [type(it).__name__, it.sku, it.items]
def with_default(order, tries=2): return [order, tries]
def several(n):
    for i in range(n): yield i
def half(n):
    yield 1
    raise ValueError("half way")
def fail(text):
    try:
        raise OSError("disk full")
    except OSError as error:
        raise ValueError(text) from error
def empty(_): raise KeyError
def leave(_): sys.exit("that is all")
def opened(_): return threading.Lock()
def change(item):
    item["a"] = 1
    return None
def where(_): return os.getpid()
def says(text):
    print(text)
    print("loud", file=sys.stderr)
def die(number): os.kill(os.getpid(), number)
def spin(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end: pass
async def later(n): return n
value = 3
class Shop:
    @staticmethod
    def price(n): return n + 1
def surrogate(_): raise ValueError("\\ud800")
class Hostile(Exception):
    def __str__(self): raise RuntimeError("no")
def hostile(_): raise Hostile
tries = []
def third(n):
    tries.append(n.pop("a"))
    if len(tries) < 3: raise OSError("not yet")
    return len(tries)
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    path = tmp_path / "legacy.py"
    path.write_text(MODULE)
    yield path
    sys.modules.pop("legacy", None)


@contextmanager
def node(function: str, isolation: str = "greenlet", **fields: Any) -> Iterator[Flow]:
    fields = {"concurrency": 1, **fields} if isolation == "process" else fields
    spec = {"kind": "python", "name": "f", "call": f"legacy:{function}", **fields}
    with flow(json.dumps({**spec, "isolation": isolation})) as running:
        yield running


def reason(**fields: Any) -> str:
    """Why a node is not active."""
    specs = [{"kind": "python", "name": "f", **fields}]
    with Runtime("memory://", specs=specs) as running:
        (status,) = running.status()
        assert not status["active"]
        return str(status["reason"])


# -- arguments -------------------------------------------------------------------------------------

BOUND: list[tuple[str, dict[str, Any], Any, Any]] = [
    ("double", {}, {"a": 1}, [{"a": 1}, {"a": 1}]),
    ("double", {}, [1, 2], [[1, 2], [1, 2]]),
    ("double", {"arguments": "position"}, [1], [1, 1]),
    ("double", {"arguments": "name"}, {"n": 1}, [1, 1]),
    ("number", {}, "ignored", 7),
    ("area", {}, [2, 3], 6.0),
    ("area", {}, {"height": 2, "width": 3, "scale": 2}, 12.0),
    ("every", {}, [1, 2, 3], 6),
    ("named", {}, {"a": 1}, {"a": 1}),
    ("only", {}, {"a": 1}, {"a": 1}),
    ("maybe", {}, None, None),
    ("raw", {}, b"abc", b"abc"),
    ("strange", {}, 1, "1"),
    ("order", {}, {"sku": "A1", "items": [1]}, ["Order", "A1", [1]]),
    ("with_default", {"arguments": "whole"}, [1], [[1], 2]),
    ("with_default", {}, [1], [1, 2]),
    ("Shop.price", {}, 1, 2),
]


@pytest.mark.parametrize(("function", "fields", "payload", "answer"), BOUND)
def test_arguments_are_bound(
    module: Path, function: str, fields: dict[str, Any], payload: Any, answer: Any
) -> None:
    with node(function, **fields) as running:
        assert running.call("f", payload) == answer


@pytest.mark.parametrize(
    ("function", "fields", "payload", "told"),
    [
        ("area", {}, "x", "a list by position or a map by name"),
        ("area", {}, [1, "x"], "parameter 'height': Expected `float`, got `str`"),
        ("area", {}, {"width": 1}, "missing a required argument: 'height'"),
        ("area", {}, {"width": 1, "height": 1, "depth": 1}, "unexpected keyword argument 'depth'"),
        ("area", {"arguments": "name"}, [1, 2], "a map by name"),
        ("double", {"arguments": "position"}, {"n": 1}, "a list by position"),
        ("every", {}, [1, "x"], "parameter 'items'"),
        ("named", {}, {"a": "x"}, "parameter 'items'"),
        ("raw", {}, "YWJj", "parameter 'data'"),
        ("order", {}, {"sku": "A1", "items": ["x"]}, "$.items[0]"),
    ],
)
def test_what_does_not_fit_is_an_invalid_argument(
    module: Path, function: str, fields: dict[str, Any], payload: Any, told: str
) -> None:
    with node(function, **fields) as running, pytest.raises(InvalidArgument) as raised:
        running.call("f", payload)
    assert told in str(raised.value.__cause__)
    assert f"legacy:{function}" in str(raised.value.__cause__)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"call": "nowhere:f"}, "no module 'nowhere'"),
        ({"call": "legacy:nothing"}, "legacy.py) has no 'nothing'"),
        ({"call": "legacy:value"}, "is no function: int"),
        ({"call": "legacy:later"}, "write it with `def`"),
        ({"call": "legacy:area", "arguments": "whole"}, "its parameter 'height' has no default"),
        ({"call": "legacy:number", "arguments": "whole"}, "no parameter that could take"),
        ({"call": "broken:f"}, "ZeroDivisionError: division by zero"),
        ({"call": "faulty:f"}, "SyntaxError"),
        ({"call": "leaves:f"}, "SystemExit: 3"),
        ({"call": "needs:f"}, "No module named 'not_there'"),
        ({"call": "contextual:f", "isolation": "thread"}, "only isolation greenlet"),
        ({"call": "contextual:f", "isolation": "process"}, "only isolation greenlet"),
        ({"call": "broken:f", "isolation": "process"}, "broken.py, line 2"),
        ({"call": "nowhere:f", "isolation": "process"}, "no module 'nowhere'"),
        ({"call": "dies:f", "isolation": "process"}, "exit status 3"),
    ],
)
def test_a_function_that_cannot_be_had_is_told_as_the_reason(
    module: Path, fields: dict[str, Any], told: str
) -> None:
    others = {
        "broken": "\n1 / 0\n",
        "faulty": "def f(:\n",
        "leaves": "raise SystemExit(3)\n",
        "needs": "import not_there\n",
        "contextual": "def f(ctx, a): return a\n",
        "dies": "import os\nos._exit(3)\n",
    }
    for name, text in others.items():
        module.with_name(f"{name}.py").write_text(text)
    assert told in reason(**fields)
    sys.modules.pop("contextual", None)


def test_a_call_of_another_form_is_a_fault_of_the_spec() -> None:
    for call in ("", "a.b", "a:b:c", "a b:c", ".a:b", "a:1"):
        with pytest.raises(SpecInvalid, match=r"^\$\.call: .*`package\.module:function`"):
            reason(call=call)


def test_a_first_parameter_named_ctx_gets_the_context(module: Path) -> None:
    module.write_text("def f(ctx, n: int): return ctx.to('error', ctx.process.id + n)")
    with node("f") as running:
        assert running.call("f", 0) > 0


# -- results and errors, the same in every isolation -----------------------------------------------


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_results_and_errors_are_alike_in_every_isolation(module: Path, isolation: str) -> None:
    functions = ("double", "several", "half", "fail", "empty", "leave", "opened", "area", "change")
    specs = [
        {
            "kind": "python",
            "name": name,
            "call": f"legacy:{name}",
            "isolation": isolation,
            "concurrency": 1,
        }
        for name in functions
    ]
    text = [*specs, {"kind": "python", "name": "two", "call": "legacy:double", "links": {}}]
    with flow(json.dumps(text)) as running:
        call = running.call
        assert call("double", [b"x", None]) == [[b"x", None], [b"x", None]]
        assert call("several", 3) == [0, 1, 2]
        assert call("several", 1) == 0
        assert call("several", 0) is None
        for name, payload, chain in (
            ("fail", "bad sku", ["bad sku", "ValueError", "disk full"]),
            ("half", 1, ["half way", "ValueError"]),
            ("empty", 1, ["KeyError", "KeyError"]),
            ("leave", 1, ["that is all", "SystemExit"]),
        ):
            with pytest.raises(PythonError) as raised:
                call(name, payload)
            assert list(messages(raised.value)) == chain
        with pytest.raises(InvalidArgument) as refused:
            call("opened", 1)
        assert "lock is no payload" in str(refused.value.__cause__)
        with pytest.raises(InvalidArgument) as refused:
            call("area", [1, "x"])
        assert "parameter 'height'" in str(refused.value.__cause__)
        payload = {"b": 2}
        call("change", payload)
        assert payload == {"b": 2}


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_an_error_has_its_traceback_and_equals_its_type(module: Path, isolation: str) -> None:
    text = [
        {
            "kind": "python",
            "name": "f",
            "call": "legacy:fail",
            "isolation": isolation,
            "concurrency": 1,
            "links": {"error": {"name": "which"}},
        },
        {"kind": "snippet", "name": "which", "language": "cel", "code": "self == 'ValueError'"},
    ]
    with flow(json.dumps(text)) as running:
        assert running.call("f", "x") is True
    with node("fail", isolation) as running, pytest.raises(PythonError) as raised:
        running.call("f", "x")
    import traceback

    trace = "".join(traceback.format_exception(raised.value))
    assert 'legacy.py", line' in trace


def test_several_packets_leave_one_after_another(module: Path) -> None:
    text = [
        {"kind": "python", "name": "f", "call": "legacy:several", "links": {"out": {"name": "p"}}},
        {"kind": "probe", "name": "p"},
    ]
    with flow(json.dumps(text)) as running:
        assert running.call("f", 3) == [0, 1, 2]
        assert running.probes.of("p") == [0, 1, 2]


def test_retry_tries_again_with_the_same_payload(module: Path) -> None:
    with node("third", retry=2) as running:
        assert running.call("f", {"a": 1}) == 3
    sys.modules["legacy"].tries.clear()
    with node("third", retry=1) as running, pytest.raises(PythonError, match="not yet"):
        running.call("f", {"a": 1})


def test_what_json_has_not_travels_as_text(module: Path) -> None:
    with node("raw", "process", serialize="json") as running:
        assert running.call("f", b"abc") == "YWJj"
        with pytest.raises(InvalidArgument) as raised:
            running.call("f", ["no bytes"])
        assert "parameter 'data'" in str(raised.value.__cause__)


# -- greenlet --------------------------------------------------------------------------------------


FIFO = """
def wait(path):
    if path is None: return "again"
    with open(path) as pipe: pipe.read()
    return path
"""


FORK = """
import os
def f(path):
    if not os.fork():
        with open(path) as pipe: pipe.read()
        os._exit(0)
    os.kill(os.getpid(), 9)
"""


def opened(pipe: Path, writers: list[int]) -> bool:
    """Whether somebody reads the pipe; then it is open for writing, too."""
    try:
        writers.append(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
    except OSError:
        return False
    return True


class Gate:
    """What functions of a test in this OS process wait for."""

    def __init__(self) -> None:
        self.open, self.reached = Event(), Event()
        self.inside = self.most = self.ended = 0

    def pass_through(self, payload: Any) -> Any:
        self.inside += 1
        self.most = max(self.most, self.inside)
        self.reached.set()
        try:
            self.open.wait()
        finally:
            self.inside -= 1
            self.ended += 1
        return payload


@pytest.fixture
def gate(module: Path, monkeypatch: pytest.MonkeyPatch) -> Gate:
    made = Gate()
    module.write_text("def wait(n): return gate.pass_through(n)")
    import legacy  # type: ignore[import-not-found]

    legacy.gate = made
    return made


def test_greenlets_run_side_by_side_up_to_the_concurrency(gate: Gate) -> None:
    with node("wait", concurrency=3) as running:
        calls = [gevent.spawn(running.call, "f", i) for i in range(10)]
        until(lambda: gate.inside == 3)
        calls.pop().kill()  # one that waits for its turn
        calls.pop(0).kill()  # one that is inside
        until(lambda: gate.inside == 3 and gate.ended == 1)
        gate.open.set()
        assert sorted(call.get() for call in calls) == list(range(1, 9))
    assert gate.most == 3


def test_the_concurrency_holds_inside_one_process(gate: Gate) -> None:
    """The packets of one process run side by side, too, and are answered in their places."""
    text = """
- {kind: loop, name: all, links: {out: {name: f}}}
- {kind: python, name: f, call: "legacy:wait", concurrency: 3}
"""
    with flow(text) as running:
        call = gevent.spawn(running.call, "all", list(range(10)))
        until(lambda: gate.inside == 3)
        gevent.idle()
        assert gate.most == 3
        gate.open.set()
        assert call.get() == list(range(10))
    assert gate.most == 3
    assert gate.ended == 10


def test_without_it_packets_of_one_process_come_one_by_one(gate: Gate) -> None:
    text = """
- {kind: loop, name: all, links: {out: {name: f}}}
- {kind: python, name: f, call: "legacy:wait"}
"""
    with flow(text) as running:
        gate.open.set()
        assert running.call("all", list(range(10))) == list(range(10))
    assert gate.most == 1


def test_an_exit_gives_the_places_back(gate: Gate) -> None:
    text = """
- {kind: loop, name: all, links: {out: {name: f}}}
- {kind: python, name: f, call: "legacy:wait", concurrency: 2}
"""
    with flow(text) as running:
        with pytest.raises(TimeoutError):
            running.call("all", list(range(5)), timeout=0.01)
        gate.open.set()
        assert running.call("all", list(range(5))) == list(range(5))


def test_a_greenlet_over_its_time_is_an_error(gate: Gate) -> None:
    with node("wait", timeout="1ms") as running:
        with pytest.raises(FunctionTimedOut, match=r"legacy:wait did not end within 0.001 s"):
            running.call("f", 1)
        assert gate.ended == 1


@pytest.mark.parametrize("isolation", ["greenlet", "process"])
def test_an_edit_of_the_spec_leaves_calls_under_way_alone(gate: Gate, isolation: str) -> None:
    folder = Path(sys.modules["legacy"].__file__ or "").parent
    if isolation == "process":
        (folder / "legacy.py").write_text(FIFO)
        os.mkfifo(folder / "pipe")
    with node("wait", isolation) as running:
        call = gevent.spawn(running.call, "f", str(folder / "pipe"))
        writers: list[int] = []
        if isolation == "process":
            until(lambda: opened(folder / "pipe", writers))
        else:
            gate.reached.wait(10)
        old = running.runtime.table.find("f").version.node
        operations = running.runtime.operations
        operations.update({"name": "f", "annotations": {"edited": True}})
        until(lambda: running.runtime.table.find("f").version.node is not old)
        if isolation == "process":
            assert running.call("f", None) == "again"
            os.close(writers[0])
        gate.open.set()
        assert call.get() == str(folder / "pipe")


@pytest.mark.parametrize("isolation", ["greenlet", "thread"])
def test_calls_that_raise_leave_nothing_behind(module: Path, isolation: str) -> None:
    def calls(count: int) -> None:
        for _ in range(count):
            with pytest.raises(PythonError):
                running.call("f", "x")

    with node("fail", isolation) as running:
        calls(100)
        gc.collect()
        before = len(gc.get_objects())
        calls(1000)
        gc.collect()
        assert len(gc.get_objects()) - before < 500


# -- thread ----------------------------------------------------------------------------------------

THREAD = """
import contextvars, threading
who = contextvars.ContextVar("who", default="nobody")
reached, release = threading.Event(), threading.Event()
def f(n):
    if n == "wait":
        reached.set()
        release.wait(10)
    return [threading.get_native_id(), who.get()]
"""


def test_a_thread_is_another_one_with_the_same_context(module: Path) -> None:
    module.write_text(THREAD)
    with node("f", "thread") as running:
        import legacy

        token = legacy.who.set("anna")
        thread, who = running.call("f", 1)
        legacy.who.reset(token)
        assert who == "anna"
        assert thread != os.getpid()


def test_a_thread_over_its_time_goes_on_and_the_log_says_so(
    module: Path, caplog: pytest.LogCaptureFixture
) -> None:
    module.write_text(THREAD)
    with node("f", "thread", timeout="1ms", concurrency=2) as running:
        import legacy

        with pytest.raises(FunctionTimedOut):
            running.call("f", "wait")
        assert "goes on in its thread after 0.001 s; there are 1 such" in caplog.text
        until(lambda: _answers(running))
    assert "1 calls of legacy:f go on in their threads, and are left behind" in caplog.text
    legacy.release.set()


def _answers(running: Flow) -> bool:
    try:
        running.call("f", 1)
    except FunctionTimedOut:
        return False
    return True


def test_an_exit_waits_for_a_thread(module: Path) -> None:
    module.write_text(THREAD)
    with node("f", "thread") as running:
        import legacy

        call = gevent.spawn(running.call, "f", "wait")
        until(lambda: legacy.reached.is_set())
        (process,) = running.runtime.services.processes
        leaving = gevent.spawn(process.exit)
        gevent.idle()
        assert not leaving.dead
        legacy.release.set()
        leaving.get()
        with pytest.raises(ProcessExited):
            call.get()


# -- process ---------------------------------------------------------------------------------------


def test_a_worker_is_another_os_process_that_stays(
    module: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    text = [
        {
            "kind": "python",
            "name": name,
            "call": f"legacy:{name}",
            "isolation": "process",
            "concurrency": 1,
        }
        for name in ("where", "says")
    ]
    with flow(json.dumps(text)) as running:
        pids = {running.call("where", None) for _ in range(3)}
        assert len(pids) == 1
        assert pids != {os.getpid()}
        running.call("says", "hello")
        until(lambda: "hello" in caplog.text and "loud" in caplog.text)
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))


def test_a_worker_killed_in_mid_call_is_an_error_and_the_next_call_works(module: Path) -> None:
    with node("die", "process") as running:
        with pytest.raises(WorkerDied, match="killed by SIGKILL"):
            running.call("f", signal.SIGKILL)
        assert running.call("f", 0) is None


def test_a_worker_that_dies_is_noticed_and_takes_its_children_along(module: Path) -> None:
    module.write_text(FORK)
    os.mkfifo(module.with_name("pipe"))
    with node("f", "process") as running:
        with pytest.raises(WorkerDied, match="killed by SIGKILL"):
            running.call("f", str(module.with_name("pipe")))
        assert not opened(module.with_name("pipe"), [])  # the child, which would read it, is gone


@pytest.mark.parametrize("isolation", ISOLATIONS)
@pytest.mark.parametrize("function", ["surrogate", "hostile"])
def test_an_exception_with_a_text_that_cannot_be_had_is_an_error_like_others(
    module: Path, isolation: str, function: str
) -> None:
    with node(function, isolation) as running:
        with pytest.raises(PythonError) as raised:
            running.call("f", 1)
        assert str(raised.value.__cause__) in ("ValueError", "Hostile")
        with pytest.raises(PythonError):
            running.call("f", 1)


def test_a_worker_killed_while_idle_is_replaced(module: Path) -> None:
    with node("where", "process") as running:
        pid = running.call("f", None)
        os.kill(pid, signal.SIGKILL)
        until(lambda: not Path(f"/proc/{pid}").exists())
        assert running.call("f", None) != pid


def test_a_worker_over_its_time_is_killed(module: Path) -> None:
    with node("spin", "process", timeout="50ms") as running:
        with pytest.raises(FunctionTimedOut):
            running.call("f", 60)
        assert running.call("f", 0) is None


def test_an_exit_of_the_process_kills_its_worker(module: Path) -> None:
    with node("spin", "process") as running:
        call = gevent.spawn(running.call, "f", 60)
        until(lambda: running.runtime.services.processes)
        until(lambda: any(process._runners for process in running.runtime.services.processes))
        for process in list(running.runtime.services.processes):
            process.exit()
        with pytest.raises(ProcessExited):
            call.get()
        assert running.call("f", 0) is None


def test_an_edited_module_is_taken_up(module: Path, caplog: pytest.LogCaptureFixture) -> None:
    for isolation in ("greenlet", "process"):
        caplog.clear()
        module.write_text("def f(n): return 'one'")
        sys.modules.pop("legacy", None)
        with node("f", isolation, reload=True) as running:
            assert running.call("f", 0) == "one"
            module.write_text("def f(n): return 'two'")
            assert running.call("f", 0) == "two"
            module.write_text("def f(n): return 'three'\n1 / 0\n")
            assert [running.call("f", 0) for _ in range(3)] == ["two"] * 3
            assert caplog.text.count("an edit is not taken, the old code goes on") == 1
            assert "division by zero" in caplog.text
            module.write_text("def g(n): return 'other'")
            assert running.call("f", 0) == "two"
            assert "has no 'f'" in caplog.text
            module.write_text("def f(n): return 'four'")
            assert running.call("f", 0) == "four"
