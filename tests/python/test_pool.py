"""The workers of a Python function: alone, and when their engine is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import gevent
import pytest

from greenflow.errors import CompileFailed, GreenflowError
from greenflow.python import wire
from greenflow.python.pool import Order, PythonPool
from tests.waiting import until

ENGINE = """
import sys, os, gevent
from greenflow.python import wire
from greenflow.python.pool import Order, PythonPool
pool = PythonPool(Order("time:sleep", None, "pickle"), 2, reload=False, log=print, refused=print)
pool.open()
busy = gevent.spawn(pool.run, wire.encode(600, "pickle"), None)
gevent.sleep(0)
pool.run(wire.encode(0, "pickle"), None)
print(*pool.processes(), flush=True)
busy.join()
"""


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_no_worker_outlives_an_engine_that_is_killed() -> None:
    """One of them is in mid-call, where it does not see the end of its wire."""
    with subprocess.Popen([sys.executable, "-c", ENGINE], stdout=subprocess.PIPE) as engine:
        assert engine.stdout is not None
        pids = [int(pid) for pid in engine.stdout.readline().split()]
        assert len(pids) == 2
        assert all(map(is_running, pids))
        engine.send_signal(signal.SIGKILL)
        engine.wait()
    until(lambda: not any(map(is_running, pids)))


def make(reference: str, size: int = 1) -> PythonPool:
    order = Order(reference, None, "pickle")
    return PythonPool(order, size, reload=False, log=lambda line: None, refused=lambda error: None)


def test_calls_under_way_when_the_pool_closes_are_errors() -> None:
    pool = make("time:sleep")
    pool.open()
    calls = [gevent.spawn(pool.run, wire.encode(600, "pickle"), None) for _ in range(2)]
    gevent.idle()
    pool.close()
    for call in calls:
        with pytest.raises(GreenflowError, match="the workers were stopped"):
            call.get()


def test_a_payload_of_some_mebibytes_goes_both_ways() -> None:
    pool = make("copy:copy")
    pool.open()
    payload = os.urandom(5 << 20)
    kind, body = pool.run(wire.encode(payload, "pickle"), 10.0)
    assert (kind, wire.decode(body, "pickle")) == (wire.VALUE, payload)
    pool.close()


def test_a_fork_leaves_the_workers_to_its_parent() -> None:
    pool = make("copy:copy")
    pool.open()
    child = os.fork()
    if not child:
        try:
            pool.run(wire.encode(1, "pickle"), None)
        except GreenflowError:
            os._exit(7)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert pool.run(wire.encode(1, "pickle"), None)[0] == wire.VALUE
    pool.close()


def test_a_worker_that_cannot_import_says_why() -> None:
    pool = make("nowhere:f")
    with pytest.raises(CompileFailed, match="no module 'nowhere'"):
        pool.open()
    pool.close()
    assert pool.processes() == []
