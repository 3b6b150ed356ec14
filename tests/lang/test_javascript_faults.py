"""JavaScript that does not end or takes too much: an error of its call, and nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import gevent
import pytest

from greenflow.errors import GreenflowError
from greenflow.lang import javascript
from tests.lang.scripts import own_workers, returning, run
from tests.waiting import DEADLINE, is_running, until

pytestmark = pytest.mark.usefixtures(own_workers.__name__)

LIMIT = 0.3  # seconds that the calls here may take: enough for a bomb to fill the memory
SHORT = 0.1  # ... and for one that only keeps the processor busy

BOMBS = {
    "endless loop": ("export default () => { for (;;); }", "limit"),
    "endless promise": (
        "export default async function f() { while (true) await null; }",
        "limit",
    ),
    "promise that is never settled": ("export default () => new Promise(() => {})", "limit"),
    "endless timers": (
        "export default () => new Promise(() => { const f = () => setTimeout(f, 1); f(); })",
        "limit",
    ),
    "endless top level": ("for (;;);\nexport default () => 1", "limit"),
    "endless getter": ("export default () => ({ get a() { for (;;); } })", "limit"),
    "endless then": ("export default () => ({ then() { for (;;); } })", "limit"),
    "catches everything": (
        "export default () => { for (;;) { try { for (;;); } catch {} finally { for (;;); } } }",
        "limit",
    ),
    "regular expression": (
        'export default () => /(a+)+$/.test("a".repeat(40) + "b")',
        "limit",
    ),
    "memory": (
        "export default () => { const a = []; for (;;) a.push(new Array(1000).fill(1.5)); }",
        "limit|memory",
    ),
    "buffers": (
        "export default () => { const a = []; for (;;) a.push(new Uint8Array(1e7).fill(1)); }",
        "limit|memory",
    ),
    "split": ('export default () => "x".repeat(2 ** 29 - 24).split("").length', "limit|memory"),
    "deep recursion": (
        "export default function f() { return f() + 1; }",
        "Maximum call stack",
    ),
    "long string": (
        'export default () => { let s = "x"; for (;;) s += s; }',
        "Invalid string length|memory",
    ),
    "nested answer": (
        "export default () => { let a = []; for (let i = 0; i < 1e5; i++) a = [a]; return a; }",
        "cycle",
    ),
}


@contextmanager
def held(limits: javascript.WorkerLimits) -> Iterator[None]:
    """Workers with these limits."""
    javascript.hold({"javascript": limits})
    try:
        yield
    finally:
        javascript.hold({"javascript": javascript.WorkerLimits()})
        javascript.release()
        javascript.release()


@pytest.fixture
def one_worker() -> Iterator[None]:
    """All calls of a test are in one worker, as long as that lives."""
    with held(javascript.WorkerLimits(workers=1)):
        yield


@pytest.mark.usefixtures(one_worker.__name__)
@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_an_error_of_its_call(name: str) -> None:
    code, reason = BOMBS[name]
    with pytest.raises(GreenflowError, match=reason):
        run(code, timeout=SHORT if reason == "limit" else LIMIT)
    assert run(returning("a + 1"), 1, timeout=DEADLINE) == 2


@pytest.mark.usefixtures(one_worker.__name__)
def test_the_default_limit_is_one_second() -> None:
    with pytest.raises(GreenflowError, match="limit of 1 s"):
        run(BOMBS["promise that is never settled"][0])  # it does not keep the processor busy


@pytest.mark.usefixtures(one_worker.__name__)
def test_a_limit_is_told_as_it_was_set() -> None:
    with pytest.raises(GreenflowError, match=r"limit of 0\.0575 s"):
        run("export default () => { for (;;); }", timeout=0.0575)


def test_a_longer_limit_is_obeyed() -> None:
    limits = javascript.WorkerLimits(workers=1, timeout=SHORT)
    code = (
        "export default () => { const end = Date.now() + 200; while (Date.now() < end); return 1 }"
    )
    with held(limits):
        assert run(code, timeout=DEADLINE) == 1
        with pytest.raises(GreenflowError, match=r"limit of 0\.1 s"):
            run(code)


@pytest.mark.usefixtures(one_worker.__name__)
def test_a_program_works_again_after_its_call_was_stopped() -> None:
    program = javascript.compile("export default (a) => { if (a === 0) for (;;); return a; }")
    for _ in range(3):
        with pytest.raises(GreenflowError, match="limit"):
            program(0, timeout=SHORT)
        assert program(1, timeout=DEADLINE) == 1


def _waiting(milliseconds: int) -> javascript.JavaScript:
    """A program that answers what it was given, later."""
    return javascript.compile(
        f"export default (a) => new Promise((done) => setTimeout(() => done(a), {milliseconds}))"
    )


@pytest.mark.parametrize("name", ["endless loop", "endless promise", "memory", "split"])
def test_other_calls_under_way_are_answered(name: str) -> None:
    waiting = _waiting(100)
    waiting(0, timeout=DEADLINE)
    others = [gevent.spawn(waiting, i, timeout=DEADLINE) for i in range(8)]
    code, reason = BOMBS[name]
    limit = SHORT if reason == "limit" else LIMIT
    bombs = [gevent.spawn(run, code, timeout=limit) for _ in range(3)]
    gevent.joinall([*others, *bombs], timeout=DEADLINE)
    assert [other.value for other in others] == list(range(8))
    assert all(isinstance(bomb.exception, GreenflowError) for bomb in bombs)


@pytest.mark.usefixtures(one_worker.__name__)
@pytest.mark.parametrize("name", ["buffers", "memory", "split"])
def test_a_call_is_not_blamed_for_the_memory_of_another(name: str) -> None:
    programs = [_waiting(500) for _ in range(3)]
    others = [gevent.spawn(program, i, timeout=DEADLINE) for i, program in enumerate(programs)]
    gevent.sleep(0)  # they began before the bomb
    with pytest.raises(GreenflowError, match=r"limit of 128 MiB|worker died"):
        run(BOMBS[name][0], timeout=DEADLINE)
    gevent.joinall(others, timeout=DEADLINE)
    assert [other.value for other in others] == [0, 1, 2]


@pytest.mark.usefixtures(one_worker.__name__)
def test_a_call_is_not_blamed_for_what_another_left_behind() -> None:
    program = _waiting(500)
    call = gevent.spawn(program, 5, timeout=DEADLINE)
    left = BOMBS["buffers"][0].removeprefix("export default ")
    assert run(f"export default () => {{ setTimeout({left}, 1); return 1; }}") == 1
    assert call.get(timeout=DEADLINE) == 5


@pytest.mark.usefixtures(one_worker.__name__)
@pytest.mark.parametrize("programs", [1, 7])
def test_a_worker_that_dies_costs_no_call_its_answer(programs: int) -> None:
    waiting = [_waiting(100) for _ in range(programs)]
    waiting[0](0, timeout=DEADLINE)
    calls = [gevent.spawn(waiting[i % programs], i, timeout=DEADLINE) for i in range(7)]
    gevent.sleep(0)
    for pid in javascript.running().processes():
        os.kill(pid, signal.SIGKILL)
    gevent.joinall(calls, timeout=DEADLINE)
    assert [call.value for call in calls] == list(range(7))


@pytest.mark.usefixtures(one_worker.__name__)
def test_a_call_whose_workers_die_gets_the_error() -> None:
    program = _waiting(500)
    program(0, timeout=DEADLINE)
    call = gevent.spawn(program, 1, timeout=DEADLINE)
    gevent.sleep(0)
    pool = javascript.running()
    (first,) = pool._workers
    first.kill()
    until(lambda: any(worker.is_ready for worker in pool._apart))
    (second,) = pool._apart
    second.kill()
    with pytest.raises(GreenflowError, match="worker died"):
        call.get()
    assert program(2, timeout=DEADLINE) == 2


@pytest.mark.usefixtures(one_worker.__name__)
def test_calls_queued_behind_one_that_is_stopped_are_answered() -> None:
    program = javascript.compile("export default (a) => { if (a === 0) for (;;); return a; }")
    calls = [gevent.spawn(program, 0, timeout=SHORT)]
    calls += [gevent.spawn(program, i, timeout=DEADLINE) for i in range(1, 6)]
    gevent.joinall(calls, timeout=DEADLINE)
    assert isinstance(calls[0].exception, GreenflowError)
    assert [call.value for call in calls[1:]] == [1, 2, 3, 4, 5]


def test_a_killed_worker_is_replaced() -> None:
    program = javascript.compile(returning("a"))
    assert program(1, timeout=DEADLINE) == 1
    before = javascript.running().processes()
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    until(lambda: not set(before) & set(javascript.running().processes()))
    assert program(2, timeout=DEADLINE) == 2
    assert not any(os.path.exists(f"/proc/{pid}") for pid in before)


def test_calls_in_killed_workers_are_run_again() -> None:
    program = _waiting(200)
    others = [javascript.compile(returning(f"[a, {i}]")) for i in range(3)]
    program(0, timeout=DEADLINE)
    calls = [gevent.spawn(program, i, timeout=DEADLINE) for i in range(6)]
    calls += [gevent.spawn(other, 6, timeout=DEADLINE) for other in others]
    gevent.sleep(0)
    for pid in javascript.running().processes():
        os.kill(pid, signal.SIGKILL)
    gevent.joinall(calls, timeout=DEADLINE)
    assert [call.value for call in calls[:6]] == list(range(6))
    assert [call.value for call in calls[6:]] == [[6, 0], [6, 1], [6, 2]]


def test_a_worker_that_hangs_is_replaced() -> None:
    program = javascript.compile(returning("a"))
    calls = [gevent.spawn(program, i, timeout=DEADLINE) for i in range(8)]
    gevent.joinall(calls, raise_error=True)  # each worker has answered some: both are ready
    for pid in javascript.running().processes():
        os.kill(pid, signal.SIGSTOP)
    # The limit is of what a call takes, not of its wait for a worker.
    calls = [gevent.spawn(program, i, timeout=1) for i in (2, 3)]
    gevent.joinall(calls, timeout=DEADLINE)
    assert [call.value for call in calls] == [2, 3]


def test_what_a_call_left_running_does_not_stay() -> None:
    run("export default () => { (async () => { for (;;) await null; })(); return 1; }")
    before = set(javascript.running().processes())
    until(lambda: before - set(javascript.running().processes()))
    assert run(returning("a"), 1, timeout=DEADLINE) == 1


@pytest.mark.usefixtures(one_worker.__name__)
def test_a_caller_that_is_killed_leaves_nothing() -> None:
    program = javascript.compile(
        "export default (a) => new Promise((done) => setTimeout(() => done(a), a))"
    )
    assert program(1, timeout=DEADLINE) == 1
    call = gevent.spawn(program, 100)
    gevent.sleep(0.01)
    call.kill()
    with gevent.Timeout(0.01, False):
        program(100)
    assert program(2, timeout=DEADLINE) == 2


def test_no_argument_and_no_variable_of_a_worker_is_a_secret(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every user of the machine may read the arguments."""
    monkeypatch.setenv("GREENFLOW_VALUES_KEY", "hunter2")
    javascript.close()
    assert run("export default () => 1", timeout=DEADLINE) == 1
    for pid in javascript.running().processes():
        said = Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes()
        assert javascript.running().tag.encode() not in said
        assert b"GREENFLOW_" not in said


def test_close_ends_the_workers_and_the_calls() -> None:
    program = javascript.compile("export default (a) => { if (a) for (;;); return 1; }")
    assert program(0, timeout=DEADLINE) == 1
    pids = javascript.running().processes()
    call = gevent.spawn(program, 1, timeout=DEADLINE)
    gevent.sleep(0)
    javascript.close()
    call.join()
    assert "stopped" in str(call.exception)
    assert not any(os.path.exists(f"/proc/{pid}") for pid in pids)
    javascript.close()
    assert program(0, timeout=DEADLINE) == 1


def test_settings_count_for_the_next_pool() -> None:
    javascript.hold(
        {"javascript": javascript.WorkerLimits(workers=1, timeout=DEADLINE, memory_mib=32)}
    )
    try:
        hungry = "export default () => { const a = []; for (let i = 0; i < 6e6; i++) a.push({}); }"
        with pytest.raises(GreenflowError, match=r"limit of 32 MiB|worker died"):
            run(hungry)
        pids = javascript.running().processes()
        assert len(pids) == 1
    finally:
        javascript.hold({"javascript": javascript.WorkerLimits()})
        javascript.release()
        assert javascript.running().processes() == pids, "one holder is left"
        javascript.release()
    assert not any(os.path.exists(f"/proc/{pid}") for pid in pids)


@pytest.mark.usefixtures(one_worker.__name__)
def test_a_program_that_is_gone_is_forgotten_by_the_workers() -> None:
    kept = javascript.compile(returning("a"))
    for number in range(50):
        assert run(returning(f"a + {number}"), 1, timeout=DEADLINE) == 1 + number
        assert kept(number, timeout=DEADLINE) == number
    for pid in javascript.running().processes():  # each program in use has a thread
        assert len(os.listdir(f"/proc/{pid}/task")) < 25


def _python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_it_works_in_a_patched_program_and_in_a_thread() -> None:
    done = _python(
        """
        from gevent import monkey
        monkey.patch_all()
        import threading
        from gevent.threadpool import ThreadPool
        from greenflow.lang import javascript

        program = javascript.compile("export default (a) => a + 1")

        def use():
            print(program(1))
            javascript.close()

        use()
        ThreadPool(1).apply(use)
        """
    )
    assert (done.stdout, done.stderr) == ("2\n2\n", "")


def test_workers_end_with_a_program_that_does_not_close_them() -> None:
    done = _python(
        """
        from greenflow.lang import javascript

        javascript.compile("export default (a) => a + 1")(1)
        print(*javascript.running().processes())
        """
    )
    pids = [int(pid) for pid in done.stdout.split()]
    assert len(pids) == 2
    until(lambda: not any(is_running(pid) for pid in pids))


def test_workers_end_with_a_program_that_is_killed_in_a_busy_call() -> None:
    done = _python(
        """
        import os, signal, gevent
        from greenflow.lang import javascript

        program = javascript.compile("export default (a) => { if (a) for (;;); }")
        program(0)
        print(*javascript.running().processes(), flush=True)
        gevent.spawn(program, 1, timeout=1000)
        gevent.sleep(0.05)
        os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    pids = [int(pid) for pid in done.stdout.split()]
    assert len(pids) == 2
    until(lambda: not any(is_running(pid) for pid in pids))


def test_a_fork_has_workers_of_its_own() -> None:
    done = _python(
        """
        import gevent
        from gevent import os
        from greenflow.lang import javascript

        program = javascript.compile("export default (a) => a + 1")
        program(1)
        before = javascript.running().processes()
        child = os.fork()
        if not child:
            ok = program(1) == 2 and not set(before) & set(javascript.running().processes())
            javascript.close()
            os._exit(0 if ok else 1)
        with gevent.Timeout(60):
            status = os.waitpid(child, 0)[1]
        print(status, program(5), before == javascript.running().processes())
        javascript.close()
        """
    )
    assert (done.stdout, done.stderr) == ("0 6 True\n", "")
