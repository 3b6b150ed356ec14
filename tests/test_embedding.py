"""Runtimes in programs that are not monkey-patched, in other threads, and across forks.

What only holds in a program of its own is tried in one: each is a script that asserts.
"""

from __future__ import annotations

import random
import subprocess
import sys
import textwrap
import threading
from typing import Any

import gevent
import pytest
from gevent.event import Event

from greenflow import Runtime
from greenflow.errors import GreenflowError, Inactive
from greenflow.hub.thread import HomeHub
from tests.flows import flow
from tests.waiting import until

SPECS = """
from greenflow import Runtime
from greenflow.errors import GreenflowError, Inactive
specs = [
    {"kind": "snippet", "name": "text", "code": "x"},
    {"kind": "throw", "name": "throw"},
    {"kind": "sleep", "name": "forever", "interval": 1000},
]
"""

PATCH = "from gevent import monkey; monkey.patch_all()"


def program(text: str, first: str = "") -> str:
    """Run a script, with a line before its imports; what it says on standard error."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", first + SPECS + textwrap.dedent(text)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_a_plain_program_calls_from_any_thread() -> None:
    said = program("""
        import _thread, threading
        runtime = Runtime("memory://", specs=specs)
        assert runtime.call("text") == "x"
        assert runtime.run(_thread.get_ident) != _thread.get_ident()
        try:
            runtime.call("throw", "boom")
        except GreenflowError as error:
            assert str(error) == "boom"
        else:
            raise AssertionError
        answers = []
        threads = [
            threading.Thread(target=lambda: answers.extend(runtime.call("text") for _ in range(50)))
            for _ in range(8)
        ]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        assert answers == ["x"] * 400
        assert [s["name"] for s in runtime.status()] != [] and runtime.connected
        runtime.operations.apply({"kind": "nop", "name": "more"})
        assert len(runtime.operations.read()) == 4
        with Runtime("memory://", specs=specs, namespace="second") as second:
            assert second.call("text") == "x"
            assert second.run(_thread.get_ident) != runtime.run(_thread.get_ident)
        runtime.stop()
    """)
    assert said == ""


def test_who_stops_waiting_ends_the_process() -> None:
    program("""
        import signal
        with Runtime("memory://", specs=specs) as runtime:
            try:
                runtime.call("forever", timeout=0.02)
            except TimeoutError as error:
                assert "did not answer within 0.02 s" in str(error)
            signal.signal(signal.SIGALRM, signal.default_int_handler)
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            try:
                runtime.call("forever")
            except KeyboardInterrupt:
                assert not runtime.run(lambda: runtime.services.processes)
            else:
                raise AssertionError
    """)


def test_a_signal_handler_may_stop_it() -> None:
    program("""
        import signal
        from greenflow import Settings
        runtime = Runtime("memory://", specs=specs, settings=Settings(grace=0.1))
        signal.signal(signal.SIGALRM, lambda *_: runtime.stop())
        runtime.start()
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        try:
            runtime.call("forever")
        except GreenflowError as error:
            assert "process exited" in str(error), error
        else:
            raise AssertionError
    """)


def test_a_forgotten_runtime_does_not_hold_the_program() -> None:
    said = program("""
        assert Runtime("memory://", specs=specs).call("text") == "x"
        runtime = Runtime("memory://", specs=specs, namespace="shop")
        runtime.start()
    """)
    assert "the program ends while the runtime of namespace 'shop' runs" in said
    assert "Traceback" not in said


def test_it_starts_in_the_child_of_a_fork_and_does_not_run_on_there() -> None:
    program("""
        import os, sys
        unstarted, started = (Runtime("memory://", specs=specs) for _ in range(2))
        started.start()
        child = os.fork()
        if not child:
            assert unstarted.call("text") == "x"
            unstarted.stop()
            for use in (lambda: started.call("text"), started.start):
                try:
                    use()
                except Inactive as error:
                    assert "ran when this OS process was forked" in str(error)
                else:
                    raise AssertionError
            started.drain()
            started.stop()
            sys.stdout.flush()
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        assert started.call("text") == "x"
        started.stop()
    """)


def test_a_patched_program_is_called_from_native_threads() -> None:
    program("""
        from gevent import monkey; monkey.patch_all()
        import _thread, gevent
        with Runtime("memory://", specs=specs) as runtime:
            here = monkey.get_original("_thread", "get_ident")
            assert runtime.run(here) == here()
            calls = [gevent.get_hub().threadpool.spawn(runtime.call, "text") for _ in range(50)]
            assert [call.get(timeout=30) for call in calls] == ["x"] * 50
    """)


def test_a_program_that_is_patched_late_or_in_part_is_told() -> None:
    said = program("""
        import warnings; warnings.simplefilter("ignore")  # gevent's own, about ssl
        from time import sleep as pause
        import urllib3.util.ssl_
        from gevent import monkey; monkey.patch_all(subprocess=False)
        for _ in range(2):
            with Runtime("memory://", specs=specs) as runtime:
                assert runtime.call("text") == "x"
    """)
    assert said.count("imported before gevent.monkey.patch_all()") == 1
    assert "__main__ (time.sleep)" in said
    assert "urllib3.util.ssl_ (ssl.SSLContext)" in said
    assert said.count("in part, without subprocess:") == 1


def test_a_program_that_is_patched_first_or_never_is_told_nothing() -> None:
    start = """
        from time import sleep
        import urllib3, ssl
        with Runtime("memory://", specs=specs) as runtime:
            assert runtime.call("text") == "x"
    """
    assert program(start) == ""
    assert program(start, first=PATCH) == ""


def test_a_thread_with_a_hub_lets_its_greenlets_run_while_it_waits() -> None:
    specs: list[dict[str, Any]] = [{"kind": "sleep", "name": "forever", "interval": 1000}]
    with Runtime("memory://", specs=specs, own_thread=True) as runtime:
        caller = gevent.spawn(runtime.call, "forever")
        until(lambda: runtime.services.processes)
        caller.kill()
        runtime.run(lambda: None)
        assert not runtime.services.processes


def test_draining_refuses_calls_and_finishes_what_is_under_way() -> None:
    with flow("{kind: probe, name: a}") as running:
        runtime, probes = running.runtime, running.probes
        probes.gates["a"], probes.reached["a"] = Event(), Event()
        under_way = gevent.spawn(runtime.call, "a", 1)
        probes.reached["a"].wait()
        draining = gevent.spawn(runtime.drain)
        gevent.idle()
        with pytest.raises(Inactive, match="drains"):
            runtime.call("a")
        assert not draining.ready()
        probes.gates["a"].set()
        assert under_way.get() == 1
        draining.get()
        assert runtime.status()[0]["active"]
        runtime.drain()
        with pytest.raises(Inactive, match="drains"):
            runtime.start()


def test_draining_stops_the_sources() -> None:
    listener = {"kind": "listener", "name": "http", "protocol": "http", "port": 0}
    with Runtime("memory://", specs=listener) as runtime:
        assert runtime.table.symbols
        runtime.drain()
        assert not runtime.table.symbols


def test_two_threads_may_stop_it() -> None:
    runtime = Runtime("memory://", own_thread=True)
    runtime.start()
    threads = [threading.Thread(target=runtime.stop) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with pytest.raises(Inactive, match="stopped"):
        runtime.call("a")


def test_calls_starts_and_stops_of_many_threads_at_once() -> None:
    specs = {"kind": "snippet", "name": "text", "code": "x"}
    runtime = Runtime("memory://", specs=specs, own_thread=True)
    wrong: list[BaseException] = []

    def use(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(40):
            step = chance.choice((*[lambda: runtime.call("text")] * 6, runtime.stop, runtime.start))
            try:
                assert step() in ("x", None)
            except Inactive:
                pass
            except BaseException as error:
                wrong.append(error)

    threads = [threading.Thread(target=use, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    runtime.start()
    assert runtime.call("text") == "x"
    runtime.stop()


def test_a_start_that_fails_in_its_own_thread_leaves_none() -> None:
    runtime = Runtime("memory://", specs={"kind": "snipet"}, own_thread=True)
    for _ in range(2):
        with pytest.raises(GreenflowError, match="snipet"):
            runtime.call("a")


def test_what_waits_when_the_thread_ends_is_told() -> None:
    home = HomeHub(own_thread=True)
    begun, errors = threading.Event(), []

    def wait() -> None:
        begun.set()
        gevent.sleep(1000)

    def call() -> None:
        try:
            home.run(wait)
        except Inactive as error:
            errors.append(str(error))

    thread = threading.Thread(target=call)
    thread.start()
    begun.wait()
    home.close()
    home.join()
    thread.join()
    assert errors == ["the runtime stopped meanwhile"]
    with pytest.raises(Inactive, match="stopped"):
        home.run(wait)
