"""The engine's side of the workers: who runs which call, and what happens when one dies.

Lives here: JavaScriptPool and what it holds for each worker. What is in a line is wire.py's.

A pool belongs to the hub of the thread that uses it: its sockets and greenlets are the hub's. It
starts its workers at the first call, hands each call to the one with the fewest, and starts another
when one ends. The clock of a call is the worker's; only a worker that says nothing at all is killed
here. Snippets have no effect outside themselves, so a call may be run again:

- a worker that says `X` has answered the call that made it end; all others are run again elsewhere;
- when one ends without a word (V8 died, the kernel or we killed it, it became too large), the calls
  that it may have run (the first of each program, and those that wait) are suspects. Nothing says
  which of them did it, not even when there is one: a call that has its answer may have left
  something running. So each is run again apart, with nothing beside it; only a call whose second
  worker dies, too, having been given nothing else, gets the error. The rest, which had not
  started, are run again like before.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import secrets
import sys
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from time import monotonic

import gevent
from gevent.event import Event

from greenflow.errors import GreenflowError
from greenflow.hub import pools
from greenflow.hub.breathing import pause
from greenflow.hub.child import Child
from greenflow.lang.javascript.calls import ModuleSource, PendingCall
from greenflow.lang.javascript.limits import WorkerLimits
from greenflow.lang.javascript.lines import WireLines

# Seconds between looks at a worker with calls under way. Its silence is counted in looks: when the
# machine or our hub stood still, a clock would count that against the worker.
LOOK = 0.25
# Looks in a row without a word that mean the worker hangs: 2 s. It writes something at least every
# 0.5 s then (worker.py), and keeps the limits of calls by itself.
SILENT_LOOKS = 8
START_LOOKS = 80  # the same for one that starts: 20 s; 0.2 s are usual
FAILED_STARTS = 3  # workers in a row that die before they are ready: another will not do better

SUSPECTS = 2  # suspects that are run again at the same time

_READ = 1 << 18  # bytes
_MUCH = 1 << 15  # bytes of one recv that are no small answers

# Bytes of a line that no worker writes which is still what we started: an answer has 16 MiB
# (isolate.py), and a log of characters that are escaped has some more.
MAX_LINE = 32 << 20

_log = logging.getLogger("greenflow.lang")
_WORKER = "greenflow.lang.javascript.worker"


class JavaScriptWorker:
    """One OS process, its socket, and the calls it has."""

    def __init__(
        self, tag: str, memory_mib: int, ended: Callable[[JavaScriptWorker, bool], None]
    ) -> None:
        self.calls: dict[bytes, PendingCall] = {}
        self.is_ready, self.sandbox, self.began = False, "", monotonic()
        self._ended = ended
        self._programs: dict[int, weakref.ref[ModuleSource]] = {}  # those that the worker knows
        self._forgotten = deque[int]()  # those of them that are nobody's any more
        # How many calls it was given; what is to be sent. Every user of the machine sees arguments.
        self.given, self._out = 0, [f"T {tag}\n"]
        self._is_heard = False  # since the last look
        self._has_out, self._has_calls = Event(), Event()
        self._child = Child(
            # Without `site`, whose work is done (_environment): a start is a fifth shorter. What V8
            # prints when it gives up is no log of the engine's.
            lambda number: ("-S", "-m", _WORKER, str(number), str(memory_mib)),
            _environment(),
        )
        self.pid, self._socket = self._child.pid, self._child.socket
        self._rest, self._is_sending = b"", False
        self._greenlets = [gevent.spawn(run) for run in (self._read, self._write, self._watch)]

    def run(self, call: PendingCall) -> None:
        """Send the call."""
        program = call.program
        while self._forgotten:
            gone = self._forgotten.popleft()
            del self._programs[gone]
            self._out.append(f"F {gone}\n")
        if program.number not in self._programs:
            forget = partial(_append, self._forgotten, program.number)
            self._programs[program.number] = weakref.ref(program, forget)
            self._out.append(f"P {program.number} {json.dumps(program.code)}\n")
        self.given += 1
        number = str(self.given)
        call.worker, call.number, call.waits = self, number.encode(), False
        is_alone = not self.calls
        if is_alone:
            self._has_calls.set()
        self.calls[call.number] = call
        self._out += (f"C {number} {program.number} {call.seconds!r} ", call.text, "\n")
        if is_alone:
            self._send_now()
        if self._out:
            self._has_out.set()  # calls of one turn of the loop go in one piece

    def _send_now(self) -> None:
        """Send without a turn of the loop, if nothing waits to be sent and the kernel takes it all;
        the writer sends what it does not take."""
        if self._is_sending:
            return
        data, self._out = "".join(self._out).encode("utf-8", "replace"), []
        try:
            sent = os.write(self._socket.fileno(), data)  # gevent made it non-blocking
        except OSError:
            sent = 0
        if sent < len(data):
            self._rest = data[sent:]
            self._has_out.set()

    def give_up(self, call: PendingCall) -> None:
        """Nobody waits for the call any more. It is the worker's until that has answered it: one
        that runs holds up the others, which go to another worker meanwhile."""
        if call.number in self.calls:
            call.is_given_up = True
            self._out.append(f"Q {call.number.decode()}\n")
            self._has_out.set()

    def suspects(self) -> list[PendingCall]:
        """The calls it may have run: those that wait, and the first other one of each program."""
        first: dict[int, PendingCall] = {}
        for call in self.calls.values():
            if not call.waits:
                first.setdefault(call.program.number, call)
        return [*(call for call in self.calls.values() if call.waits), *first.values()]

    def _write(self) -> None:
        try:
            while self._has_out.wait():
                self._has_out.clear()
                data = self._rest + "".join(self._out).encode("utf-8", "replace")
                self._rest, self._out = b"", []
                self._is_sending = True
                self._socket.sendall(data)
                self._is_sending = False
        except OSError:
            return  # the reader sees the end, too, and tells it

    def _read(self) -> None:
        lines, is_named = WireLines(), False
        try:
            while data := self._socket.recv(_READ):
                self._is_heard = True
                for line in lines.split(data):
                    kind = line[:1]
                    if kind == b"A":
                        _, number, text = line.split(b" ", 2)
                        call = self.calls.pop(number, None)
                        if call is not None:  # nobody waits for one that was given up
                            call.answer.set(text)
                    elif kind == b"W":
                        call = self.calls.get(line[2:])
                        if call is not None:
                            call.waits = True
                    elif kind == b"R":
                        self.is_ready = True
                        self.sandbox = line[2:].decode()
                        _tell(self.sandbox)
                    elif kind == b"X":
                        is_named = True
                if not self.calls:
                    self._has_calls.clear()
                if lines.size > MAX_LINE:
                    self.kill()
                if len(data) >= _MUCH:  # as long as there is more, recv does not wait
                    pause()
        except OSError:
            pass  # it ended with lines of ours unread, which the kernel reports as a reset
        gevent.spawn(self._ended, self, is_named)

    def _watch(self) -> None:
        """Kill the worker when it hangs."""
        silent = 0
        while True:
            self._has_calls.wait()
            self._is_heard = False
            gevent.sleep(LOOK)
            silent = 0 if self._is_heard or not self.calls else silent + 1
            if silent >= (SILENT_LOOKS if self.is_ready else START_LOOKS):
                self.kill()
                return

    def kill(self) -> None:
        """End the OS process, whatever it does."""
        self._child.kill()

    def close(self) -> None:
        """End the OS process, wait until it is gone, give back what it held."""
        gevent.killall([it for it in self._greenlets if it is not gevent.getcurrent()])
        if not self._child.close():
            _log.warning("the JavaScript worker %d does not end", self.pid)

    def abandon(self) -> None:
        """Forget the OS process in a fork: it is the parent's."""
        self._child.abandon()


@functools.cache
def _tell(sandbox: str) -> None:
    """Log what workers have given up on this machine, once."""
    _log.debug("JavaScript workers run with %s", sandbox)


def _refuse(calls: Iterable[PendingCall], error: Exception) -> None:
    """No worker can be started: all that wait for one must hear of it."""
    for call in calls:
        if not call.answer.ready():
            call.answer.set_exception(error)


def _append(numbers: deque[int], number: int, _: object) -> None:
    numbers.append(number)


def _environment() -> dict[str, str]:
    """What a worker is told of the engine's environment: nothing but where its code is."""
    ours = str(Path(__file__).parents[3])
    path = [ours, *(path for path in sys.path if path and path != ours)]
    return {"PYTHONPATH": os.pathsep.join(path), "LC_ALL": "C.UTF-8"}


class JavaScriptPool:
    """The workers of a hub. `timeout` is the limit of a call that has none of its own, seconds."""

    def __init__(self, limits: WorkerLimits) -> None:
        self.tag = secrets.token_hex(16)  # of values that JSON does not have (wire.py)
        self._size, self.timeout, self._memory_mib = limits
        self._workers: list[JavaScriptWorker] = []
        self._apart: set[JavaScriptWorker] = set()  # workers that run one suspect at a time
        self._suspects: deque[PendingCall] = deque()
        self._failed_starts = 0
        self._is_closed = False
        pools.enrol(self)

    def state(self) -> pools.PoolState:
        """What it is like now. Calls of one worker take turns there, and are not all at work."""
        calls = [len(worker.calls) for worker in (*self._workers, *self._apart)]
        busy = sum(map(bool, calls))
        waiting = sum(calls) - busy + len(self._suspects)
        oldest = min((worker.began for worker in self._workers), default=None)
        return pools.PoolState("javascript", "javascript", self._size, busy, waiting, oldest)

    def run(self, program: ModuleSource, seconds: float, text: str) -> bytes:
        """The answer of a call (wire.py). `seconds` are its limit, from when it starts to run."""
        call = PendingCall(program, seconds, text)
        self._send(call)
        try:
            answer = call.answer.get()
        except BaseException:  # it was interrupted, or the workers were stopped
            self._give_up(call)
            raise
        assert isinstance(answer, bytes)
        return answer

    def _give_up(self, call: PendingCall) -> None:
        """Let the worker forget the call. One that is apart is left to it: that is short, and what
        it comes to says who is to blame."""
        if call.worker is not None and call.worker in self._workers:
            call.worker.give_up(call)

    def processes(self) -> list[int]:
        """The OS processes of the workers."""
        return [worker.pid for worker in (*self._workers, *self._apart)]

    def sandbox(self) -> str:
        """What the workers have given up (sandbox.py), once one was ready."""
        return max((worker.sandbox for worker in self._workers), default="")

    def close(self) -> None:
        """End the workers; calls under way get an error."""
        self._is_closed = True
        pools.withdraw(self)
        workers = [*self._workers, *self._apart]
        calls = [*self._suspects, *(call for worker in workers for call in worker.calls.values())]
        self._workers, self._apart = [], set()
        self._suspects.clear()
        for call in calls:
            call.answer.set_exception(GreenflowError("the JavaScript workers were stopped"))
        for worker in workers:
            worker.close()

    def abandon(self) -> None:
        """Forget the workers in a fork: they are the parent's."""
        self._is_closed = True
        for worker in (*self._workers, *self._apart):
            worker.abandon()

    def _send(self, call: PendingCall) -> None:
        if self._is_closed:
            call.answer.set_exception(GreenflowError("the JavaScript workers were stopped"))
            return
        while len(self._workers) < self._size:
            self._workers.append(self._start())
        min(self._workers, key=lambda worker: len(worker.calls)).run(call)

    def _start(self) -> JavaScriptWorker:
        if self._failed_starts >= FAILED_STARTS:
            self._failed_starts = 0  # the next call tries again
            raise GreenflowError(
                "JavaScript workers end before they are ready; "
                f"run `{sys.executable} -m {_WORKER}` to see why"
            )
        return JavaScriptWorker(self.tag, self._memory_mib, self._ended)

    def _ended(self, worker: JavaScriptWorker, is_named: bool) -> None:
        """A worker is gone. `is_named`: it said so itself, having answered the guilty call."""
        if self._is_closed:
            return
        self._failed_starts = 0 if worker.is_ready else self._failed_starts + 1
        is_proof = worker in self._apart and worker.given == 1
        self._apart.discard(worker)
        if worker in self._workers:
            self._workers.remove(worker)
        suspects = [] if is_named or not worker.is_ready else worker.suspects()
        suspects = [call for call in suspects if not call.is_given_up]
        others = [
            call for call in worker.calls.values() if not (call in suspects or call.is_given_up)
        ]
        for call in suspects:
            call.deaths += 1
            if is_proof:
                call.answer.set(
                    b'm"the JavaScript worker died in this call; '
                    b'the snippet took too much memory, or met a fault of V8"'
                )
            else:
                self._suspects.append(call)
        try:
            for call in others:
                if call.deaths:
                    self._suspects.append(call)  # it had not begun in its worker apart
                else:
                    self._send(call)
        except Exception as error:
            _refuse(others, error)
        self._try_suspects()
        worker.close()

    def _try_suspects(self) -> None:
        try:
            while self._suspects and len(self._apart) < SUSPECTS:
                worker = self._start()
                self._apart.add(worker)
                self._try(worker, self._suspects.popleft())
        except Exception as error:
            _refuse(self._suspects, error)
            self._suspects.clear()

    def _try(self, worker: JavaScriptWorker, call: PendingCall) -> None:
        worker.run(call)
        call.answer.rawlink(partial(self._cleared, worker))

    def _cleared(self, worker: JavaScriptWorker, _: object) -> None:
        """A suspect has its answer. Its worker may take the next one: most are innocent, and a
        start takes longer than their calls. One that was in such a worker when it died needs a
        worker that was given nothing else."""
        if worker not in self._apart:
            return
        if self._suspects and self._suspects[0].deaths == 1:
            self._try(worker, self._suspects.popleft())
            return
        self._apart.discard(worker)
        gevent.spawn(self._close_apart, worker)

    def _close_apart(self, worker: JavaScriptWorker) -> None:
        worker.close()
        self._try_suspects()
