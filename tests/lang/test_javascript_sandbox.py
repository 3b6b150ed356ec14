"""What a JavaScript worker gives up before it runs any code."""

from __future__ import annotations

import json
import logging
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from greenflow.lang import javascript
from greenflow.lang.javascript import pool, sandbox
from tests.waiting import DEADLINE, until

# Each line is one thing that a snippet which got out of V8 might do.
ATTEMPTS = """
import ctypes, errno, json, os, socket, subprocess, sys, threading
from greenflow.lang.javascript import sandbox

parent, folder = os.getppid(), sys.argv[1]
ours, theirs = socket.socketpair()
left, libc = os.dup(0), ctypes.CDLL(None, use_errno=True)

def thread():
    started = threading.Thread(target=lambda: None)
    started.start()
    started.join()

def system(number, *arguments):
    if libc.syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), "")

def write(name, flags):
    os.close(os.open(f"{folder}/{name}", flags, 0o600))

attempts = {
    "listen": lambda: socket.create_server(("127.0.0.1", 0)),
    "connect": lambda: socket.create_connection(("127.0.0.1", 9)),
    "udp": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
    "unix": lambda: socket.socket(socket.AF_UNIX),
    "pair": socket.socketpair,
    "fork": os.fork,
    "spawn": lambda: os.posix_spawn("/bin/true", ["true"], {}),
    "subprocess": lambda: subprocess.run(["/bin/true"]),
    "exec": lambda: os.execv("/bin/true", ["true"]),
    "kill": lambda: os.kill(parent, 0),
    "pidfd": lambda: os.pidfd_open(parent),
    "thread of another": lambda: system(TGKILL, parent, parent, 0),
    "create": lambda: write("new", os.O_WRONLY | os.O_CREAT),
    "change": lambda: write("old", os.O_RDWR),
    "empty": lambda: write("old", os.O_TRUNC),
    "truncate": lambda: os.truncate(f"{folder}/old", 0),
    "rename": lambda: os.rename(f"{folder}/old", f"{folder}/new"),
    "unlink": lambda: os.unlink(f"{folder}/old"),
    "mkdir": lambda: os.mkdir(f"{folder}/made"),
    "chmod": lambda: os.chmod(f"{folder}/old", 0o777),
    "link": lambda: os.symlink("a", f"{folder}/linked"),
    "memory file": lambda: os.memfd_create("x"),
    "left": lambda: os.fstat(left),
    "other end": lambda: os.fstat(theirs.fileno()),
    "files": lambda: [os.open("/dev/null", os.O_RDONLY) for _ in range(200)],
    "memory": lambda: bytearray(16 << 30),
}
allowed = {
    "wire": lambda: ours.send(b"x"),
    "thread": thread,
    "read": lambda: open(f"{folder}/old").read(),
    "own thread": lambda: system(TGKILL, os.getpid(), threading.get_native_id(), 0),
    "random": lambda: os.urandom(8),
}

said = sandbox.enter(ours.fileno(), 128 << 20, 128)
came = {}
for name, attempt in {**allowed, **attempts}.items():
    try:
        attempt()
        came[name] = "done"
    except MemoryError:
        came[name] = "ENOMEM"
    except (OSError, ValueError) as error:
        number = getattr(error, "errno", None)
        came[name] = errno.errorcode.get(number, "no") if number else "no"
print(json.dumps([said, came]))
""".replace("TGKILL", "234" if os.uname().machine == "x86_64" else "131")

GIVEN_UP = "closed descriptors, limits, no new privileges, no network, programs, files to write"

#: What comes of those that are not refused with EPERM.
DIFFERENT = dict.fromkeys(("thread", "read", "own thread", "random"), "done") | {
    "wire": "EPIPE",  # it is there, and its other end, a descriptor of the same process, is not
    "left": "EBADF",
    "other end": "EBADF",
    "files": "EMFILE",
    "memory": "ENOMEM",
}


@pytest.fixture
def closed() -> Iterator[None]:
    javascript.close()
    yield
    javascript.close()


@pytest.mark.skipif(os.uname().machine not in sandbox._MACHINES, reason="not filtered here")
def test_what_is_given_up_cannot_be_done_any_more(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("kept")
    done = subprocess.run(
        [sys.executable, "-c", ATTEMPTS, str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    said, came = json.loads(done.stdout)
    assert said == GIVEN_UP
    expected = dict.fromkeys(came, "EPERM") | DIFFERENT
    assert came == expected
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("old", "kept")]


def is_filtered(pid: int) -> bool:
    return "\nSeccomp:\t2\n" in Path(f"/proc/{pid}/status").read_text()


def test_a_worker_is_in_it_and_the_log_says_so_once(
    closed: None, caplog: pytest.LogCaptureFixture
) -> None:
    pool._tell.cache_clear()
    caplog.set_level(logging.DEBUG, "greenflow.lang")
    for _ in range(2):
        program = javascript.compile("export default (a) => a + 1")
        assert program(1, timeout=DEADLINE) == 2
        until(lambda: caplog.records)
        pids = javascript.running().processes()
        for pid in pids:
            until(partial(is_filtered, pid))  # one of them was not asked yet
            assert "\nNoNewPrivs:\t1\n" in Path(f"/proc/{pid}/status").read_text()
            assert resource.prlimit(pid, resource.RLIMIT_NOFILE) == (sandbox.FILES,) * 2
            assert resource.prlimit(pid, resource.RLIMIT_FSIZE) == (0, 0)
        javascript.close()
    (record,) = caplog.records
    assert record.getMessage() == f"JavaScript workers run with {GIVEN_UP}"


def test_what_a_machine_refuses_is_said_and_the_rest_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused(*_: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(sandbox, "_close_all_but", lambda wire: None)
    monkeypatch.setattr(sandbox, "_limit", lambda memory: None)
    monkeypatch.setattr(sandbox, "_check", lambda result: None)
    monkeypatch.setattr(sandbox.ctypes, "CDLL", lambda *_, **__: Quiet())
    monkeypatch.setattr(sandbox, "_filter", refused)
    done, _, network = GIVEN_UP.partition(", no network")
    assert sandbox.enter(3, 1, 1) == (
        f"{done}; not possible here: no network{network} ([Errno 1] Operation not permitted)"
    )


class Quiet:
    """A C library that does nothing."""

    def prctl(self, *_: int) -> int:
        return 0


def test_another_machine_has_no_filter_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(machine="riscv64"))
    with pytest.raises(OSError, match="riscv64"):
        sandbox._filter(sandbox.ctypes.CDLL(None))


def test_a_worker_imports_nothing_of_what_it_does_without() -> None:
    code = (
        "import sys, greenflow.lang.javascript.worker\n"
        "print(*sorted({'asyncio', 'gevent', 'ssl', 'msgspec'} & sys.modules.keys()))"
    )
    environment = pool._environment()
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], env=environment, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("\n", "")
