"""The engine's side of the workers that run a Python function in OS processes of their own.

Lives here: PythonPool and its PythonWorker. What is said is wire.py's.

A worker runs one call at a time, and the greenlet that calls is the one that reads the answer. A
function may have effects, so a call is never run twice by the pool: when its worker dies, or is
killed because the time is over or the caller is gone, the call is an error and another worker takes
the next one. Only what a worker did not read whole is sent to another.

A pool belongs to the hub of the thread that opened it.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import NamedTuple
from weakref import WeakSet

import gevent
import msgspec
from gevent import socket

from greenflow.errors import CompileFailed, FunctionTimedOut, GreenflowError, WorkerDied
from greenflow.hub import pools
from greenflow.hub.breathing import pause
from greenflow.hub.child import Child
from greenflow.hub.turns import Turns
from greenflow.python import wire
from greenflow.python.function import State, state_of

START = 60.0  # seconds a worker may take to import the module; large libraries take ten
SENDS = 3  # workers in a row that are gone before they have read a call
LINE = 1 << 14  # bytes of one line in the log; longer ones are cut in pieces

_WORKER = Path(__file__).with_name("worker.py")

_pools: WeakSet[PythonPool] = WeakSet()


class Order(NamedTuple):
    """What the workers of a pool are for."""

    reference: str
    arguments: str | None
    serialize: str  # pickle or json
    named: frozenset[str] = frozenset()  # variables that the operator lets workflows see


class PythonWorker:
    """One OS process with the function imported. Raises CompileFailed if that fails."""

    def __init__(self, order: Order, log: Callable[[str], object]) -> None:
        self._log, self.began = log, monotonic()
        ours, theirs = socket.socketpair()
        self._output = ours
        try:
            self.child = Child(
                # No folder is put on sys.path (-P), and nothing printed is held back (-u).
                lambda number: ("-P", "-u", str(_WORKER), str(number), str(os.getpid())),
                _environment(order.named),
                theirs.fileno(),
                ending=signal.SIGTERM,  # the warden's (worker.py)
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        self._reader = gevent.spawn(self._read_output)
        try:
            self.ready = self._begin(order)
        except BaseException:
            self.close()
            raise

    def _begin(self, order: Order) -> wire.Ready:
        path = [os.path.abspath(folder) for folder in sys.path]
        setup = wire.Setup(path, order.reference, order.arguments, order.serialize)
        try:
            with gevent.Timeout(START) as limit:
                wire.send(self.child.socket, wire.SETUP, msgspec.json.encode(setup))
                kind, body = wire.receive(self.child.socket)
        except (EOFError, OSError):
            self.close()
            raise CompileFailed(
                f"a worker ended while it imported {order.reference}: {self.end()}"
            ) from None
        except gevent.Timeout as expired:
            if expired is not limit:
                raise
            raise CompileFailed(
                f"a worker did not import {order.reference} within {START:g} s"
            ) from None
        if kind != wire.READY:
            raise CompileFailed(body.decode())
        return msgspec.json.decode(body, type=wire.Ready)

    def _read_output(self) -> None:
        """Log what the function prints, line by line."""
        rest = b""
        try:
            while data := self._output.recv(LINE):
                *lines, rest = (rest + data).split(b"\n")
                if len(rest) >= LINE:
                    lines, rest = [*lines, rest], b""
                for line in lines:
                    self._log(line.decode("utf-8", "replace"))
                    pause()
        except OSError:
            pass  # the reset of an OS process that was killed: what it said before was read
        if rest:
            self._log(rest.decode("utf-8", "replace"))

    def is_gone(self) -> bool:
        """Whether it ended, or said something though nothing was asked."""
        poll = select.poll()
        poll.register(self.child.socket.fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def end(self) -> str:
        """How it ended, for people."""
        status = self.child.status
        if status is None:
            return "it is gone"
        if os.WIFSIGNALED(status):
            return f"killed by {signal.Signals(os.WTERMSIG(status)).name}"
        return f"exit status {os.waitstatus_to_exitcode(status)}"

    def close(self) -> None:
        """End it, and give back what it held."""
        self.child.close()
        # What was printed last is there already. A grandchild may hold the other end open.
        self._reader.join(0.1)
        self._reader.kill()
        self._output.close()


def _environment(named: frozenset[str]) -> dict[str, str]:
    """The engine's, without its settings: passwords and keys are among them."""
    return {
        name: value
        for name, value in os.environ.items()
        if name in named or not name.startswith("GREENFLOW_")
    }


class PythonPool:
    """At most `size` workers for one function.

    `log` gets each line that the function prints, `refused` the reason why an edited module was not
    taken; `reload` says whether edits of the module's file are looked for.
    """

    def __init__(
        self,
        order: Order,
        size: int,
        *,
        reload: bool,
        log: Callable[[str], object],
        refused: Callable[[CompileFailed], object],
    ) -> None:
        self._order, self._reload = order, reload
        self._log, self._refused = log, refused
        self._turns = Turns(size)
        self._idle: list[PythonWorker] = []
        self._busy: set[PythonWorker] = set()
        self._state: State | None = None
        self._file: str | None = None
        self._is_closed = False
        _pools.add(self)
        pools.enrol(self)

    def state(self) -> pools.PoolState:
        """What it is like now."""
        turns, workers = self._turns, (*self._idle, *self._busy)
        oldest = min((worker.began for worker in workers), default=None)
        name = self._order.reference
        return pools.PoolState("python", name, turns.size, turns.busy, turns.waiting, oldest)

    def open(self) -> None:
        """Start the first worker. Raises CompileFailed when the function cannot be had."""
        worker = PythonWorker(self._order, self._log)
        self._file, self._state = worker.ready.file, worker.ready.state
        self._idle.append(worker)

    def processes(self) -> list[int]:
        """The OS processes that were started: the workers' wardens."""
        return [worker.child.pid for worker in (*self._idle, *self._busy)]

    def run(
        self, body: bytes, timeout: float | None, trace: dict[str, str] | None = None
    ) -> tuple[bytes, bytes]:
        """The answer of a call (wire.py). `timeout` are seconds from when the call is sent, `trace`
        the headers of the trace that it is in.

        Raises FunctionTimedOut, WorkerDied; CompileFailed when no worker can be had any more.
        """
        with self._turns:
            self._look()
            for _ in range(SENDS):
                worker = self._take()
                try:
                    answer = self._run(worker, body, timeout, trace)
                except BaseException:
                    self._busy.discard(worker)
                    worker.close()
                    raise
                self._busy.discard(worker)
                if answer is not None:
                    self._give_back(worker)
                    return answer
                worker.close()
        raise WorkerDied(f"workers of {self._order.reference} end before they take a call")

    def _run(
        self,
        worker: PythonWorker,
        body: bytes,
        timeout: float | None,
        trace: dict[str, str] | None,
    ) -> tuple[bytes, bytes] | None:
        """The answer; None if the worker was gone before it had the call whole."""
        try:
            with gevent.Timeout(timeout) as limit:
                try:
                    if trace is not None:
                        wire.send(worker.child.socket, wire.TRACE, msgspec.json.encode(trace))
                    wire.send(worker.child.socket, wire.CALL, body)
                except OSError:
                    return None
                return wire.receive(worker.child.socket)
        except EOFError:
            worker.close()
            if self._is_closed:
                raise GreenflowError("the workers were stopped") from None
            raise WorkerDied(
                f"the worker of {self._order.reference} died in this call: {worker.end()}"
            ) from None
        except gevent.Timeout as expired:
            if expired is not limit:
                raise
            raise FunctionTimedOut(
                f"{self._order.reference} did not end within {timeout:g} s"
            ) from None

    def _take(self) -> PythonWorker:
        """A worker for one call."""
        if self._is_closed:
            raise GreenflowError("the workers were stopped")
        while self._idle:
            worker = self._idle.pop()
            if not worker.is_gone():
                break
            worker.close()
        else:
            worker = PythonWorker(self._order, self._log)
        self._busy.add(worker)
        return worker

    def _give_back(self, worker: PythonWorker) -> None:
        if self._is_closed or (self._reload and worker.ready.state != self._state):
            worker.close()
        else:
            self._idle.append(worker)

    def _look(self) -> None:
        """Replace the workers when the module was edited, if it can be imported as it is now."""
        if not self._reload or (state := state_of(self._file)) in (None, self._state):
            return
        before, self._state = self._state, state
        try:
            worker = PythonWorker(self._order, self._log)
        except CompileFailed as error:
            self._refused(error)
            for each in (*self._idle, *self._busy):
                each.ready.state = state  # they are the best there is
            return
        except BaseException:
            self._state = before
            raise
        old, self._idle = self._idle, [worker]
        for each in old:
            each.close()

    def close(self) -> None:
        """End the workers; calls under way get an error."""
        self._is_closed = True
        _pools.discard(self)
        pools.withdraw(self)
        idle, self._idle = self._idle, []
        for worker in self._busy:
            worker.child.kill()  # its caller reads the end
        for worker in idle:
            worker.close()

    def abandon(self) -> None:
        """Forget the workers in a fork: they are the parent's."""
        self._is_closed = True
        for worker in (*self._idle, *self._busy):
            worker.child.abandon()
        self._idle, self._busy = [], set()


def _forked() -> None:
    for pool in list(_pools):
        pool.abandon()
    _pools.clear()


os.register_at_fork(after_in_child=_forked)
