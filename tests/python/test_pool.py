"""The workers of a Python function: alone, and when their engine is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import gevent
import pytest

from greenflow.errors import CompileFailed, FunctionTimedOut, GreenflowError, WorkerDied
from greenflow.python import wire
from greenflow.python.pool import Order, PythonPool
from tests.waiting import is_running, until

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


#: A function that starts 60 others, of which each third leaves the session and each second also its
#: parent, and says their numbers once all are there.
FORKS = """
import os, signal, subprocess, time

def forks(file):
    read, write = os.pipe()
    for number in range(60):
        if os.fork():
            continue
        if number % 3 == 0:
            os.setsid()
        if number % 2 == 0 and os.fork():
            os._exit(0)
        os.write(write, b"%d " % os.getpid())
        signal.pause()
    subprocess.Popen(["sleep", "600"], start_new_session=True)
    numbers = b""
    while numbers.count(b" ") < 60:
        numbers += os.read(read, 4096)
    with open(file + ".new", "wb") as told:
        told.write(numbers)
    os.rename(file + ".new", file)
    signal.pause()

def environment(_):
    return dict(os.environ)

def dies(number):
    os.kill(os.getpid(), number)

def leaves(_):
    os._exit(3)
"""

FORKING = """
import sys
from greenflow.python import wire
from greenflow.python.pool import Order, PythonPool
sys.path.insert(0, sys.argv[1])
pool = PythonPool(Order("forking:forks", None, "pickle"), 1, reload=False, log=print, refused=print)
pool.run(wire.encode(sys.argv[2], "pickle"), None)
"""


@pytest.fixture
def forking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the numbers of what was started will stand; the module `forking` can be imported."""
    (tmp_path / "forking.py").write_text(FORKS)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path / "numbers"


def started(numbers: Path) -> list[int]:
    """Wait until all are there."""
    until(numbers.exists)
    found = [int(number) for number in numbers.read_text().split()]
    assert len(found) == 60
    return found


def test_what_a_call_started_ends_with_it_when_its_time_is_over(forking: Path) -> None:
    pool = make("forking:forks")
    with pytest.raises(FunctionTimedOut):
        pool.run(wire.encode(str(forking), "pickle"), 5.0)
    assert not any(map(is_running, started(forking)))
    pool.close()


def test_what_a_call_started_ends_when_the_pool_closes(forking: Path) -> None:
    pool = make("forking:forks")
    call = gevent.spawn(pool.run, wire.encode(str(forking), "pickle"), None)
    pids = started(forking)
    assert all(map(is_running, pids))
    pool.close()
    with pytest.raises(GreenflowError, match="the workers were stopped"):
        call.get()
    until(lambda: not any(map(is_running, pids)))


@pytest.mark.parametrize("whole_group", [False, True])
def test_what_a_call_started_ends_with_an_engine_that_is_killed(
    forking: Path, whole_group: bool
) -> None:
    command = [sys.executable, "-c", FORKING, str(forking.parent), str(forking)]
    with subprocess.Popen(command, process_group=0) as engine:
        pids = started(forking)
        assert all(map(is_running, pids))
        os.kill(-engine.pid if whole_group else engine.pid, signal.SIGKILL)
        engine.wait()
    until(lambda: not any(map(is_running, pids)))


@pytest.mark.parametrize("which", [0, 1, 2])
def test_what_a_call_started_ends_when_a_warden_or_the_worker_is_killed(
    forking: Path, which: int
) -> None:
    pool = make("forking:forks")
    call = gevent.spawn(pool.run, wire.encode(str(forking), "pickle"), None)
    pids = started(forking)
    chain = pool.processes()
    while len(chain) < 3:
        children = Path(f"/proc/{chain[-1]}/task/{chain[-1]}/children").read_text().split()
        chain.append(int(children[0]))
    os.kill(chain[which], signal.SIGKILL)
    with pytest.raises(WorkerDied, match="killed by SIGKILL"):
        call.get()
    until(lambda: not any(map(is_running, (*chain, *pids))))
    pool.close()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
def test_how_a_worker_ended_is_told(forking: Path, number: signal.Signals) -> None:
    pool = make("forking:dies")
    with pytest.raises(WorkerDied, match=f"killed by {number.name}"):
        pool.run(wire.encode(int(number), "pickle"), None)
    pool.close()
    pool = make("forking:leaves")
    with pytest.raises(WorkerDied, match="exit status 3"):
        pool.run(wire.encode(0, "pickle"), None)
    pool.close()


def test_settings_and_keys_are_not_in_the_environment_unless_they_are_named(
    forking: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GREENFLOW_VALUES_KEY", "hunter2")
    monkeypatch.setenv("GREENFLOW_REGION", "north")
    monkeypatch.setenv("OTHER", "kept")
    order = Order("forking:environment", None, "pickle", frozenset({"GREENFLOW_REGION"}))
    pool = PythonPool(order, 1, reload=False, log=lambda line: None, refused=lambda error: None)
    found = wire.decode(pool.run(wire.encode(0, "pickle"), None)[1], "pickle")
    assert (found["GREENFLOW_REGION"], found["OTHER"]) == ("north", "kept")
    assert [name for name in found if name.startswith("GREENFLOW_")] == ["GREENFLOW_REGION"]
    (pid,) = pool.processes()
    for line in (Path(f"/proc/{pid}/environ"), Path(f"/proc/{pid}/cmdline")):
        assert b"hunter2" not in line.read_bytes()
    pool.close()


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
