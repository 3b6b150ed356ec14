"""The OS process that runs JavaScript: `python -m greenflow.lang.javascript.worker FD MIB`.

Lives here: the loop that reads calls from the wire (wire.py) and hands them to the isolates, one
for each program. Nothing of gevent or of the engine is imported: mini-racer does not work in a
monkey-patched process, and starting must be quick.

A call that never ends holds up only later calls of its own program. While calls run, the clock and
the memory are looked at every few milliseconds. A call over its limit is cancelled and its isolate
dropped. If V8 does not obey (promises without end), the answer is written all the same, then `X`,
and the process ends: the engine runs what else was under way in another worker. So it does when the
whole process has become too large, if there is one program; with several it cannot tell which of
them it was, and ends without a word: the engine finds out (pool.py). The process also ends when its
engine does.
"""

from __future__ import annotations

import json
import os
import select
import socket
import sys
import threading
from collections import OrderedDict, deque
from pathlib import Path
from time import monotonic
from typing import NoReturn

from greenflow.lang.javascript import sandbox
from greenflow.lang.javascript.isolate import (
    MAX_RESULT,
    Isolate,
    RunningCall,
    over_memory,
    over_size,
    over_time,
)
from greenflow.lang.javascript.lines import WireLines

# Isolates kept; the least recently used goes first. Each has a thread.
MAX_ISOLATES = 128
ISOLATE = 1 << 20  # bytes that an isolate takes while its program keeps nothing; measured: 0.5 MB

TICK = 0.02  # seconds between looks at the clock and the memory while calls run
IDLE_TICK = 0.5  # seconds between looks for what goes on without a call, and signs of life
OBEY = 0.1  # seconds that V8 has to end a call that was cancelled

# The resident memory that ends the process: so many limits of a call, and what idle isolates take.
# V8 ends a call over its limit by itself, but only when it collects garbage; and what is in
# buffers, or was kept in globals by many programs, is not counted by it.
MEMORY_FACTOR = 2

_READ = 1 << 18  # bytes
_PAGE = os.sysconf("SC_PAGE_SIZE")


class WorkerProcess:
    """The wire, the programs that are known, and the isolates of those in use."""

    def __init__(self, wire: socket.socket, memory: int) -> None:
        self.wire, self.memory = wire, memory
        self.sandbox = sandbox.enter(wire.fileno(), memory, MAX_ISOLATES)
        self.realm = Path(__file__).with_name("realm.js").read_text()
        self.lock = threading.RLock()
        self.sources: dict[bytes, str] = {}
        self.isolates: OrderedDict[bytes, Isolate] = OrderedDict()
        self.engine = os.getppid()
        self.running = 0  # calls that have no answer yet
        self.looks = self.probes = monotonic() + TICK  # when the next ones are due
        self.ceiling = _resident() + MEMORY_FACTOR * memory + MAX_ISOLATES * ISOLATE

    def run(self) -> NoReturn:
        """Serve until the engine is gone."""
        ready = select.poll()
        ready.register(self.wire, select.POLLIN)
        self.wire.sendall(b"R %b\n" % self.sandbox.encode())
        lines = WireLines()
        while True:
            if ready.poll((TICK if self.running else IDLE_TICK) * 1000):
                data = self.wire.recv(_READ)
                if not data:
                    os._exit(0)
                for line in lines.split(data):
                    self.obey(line)
                    self.keep()  # a program's first call takes 1 ms, and there may be thousands
            self.keep()

    def keep(self) -> None:
        """Do what is due."""
        now = monotonic()
        if now >= self.looks:
            self.looks = now + TICK
            self.look(now)
        if now >= self.probes:
            self.probes = now + IDLE_TICK
            self.probe()

    def obey(self, line: bytes) -> None:
        """Do what a line says."""
        kind, first, *rest = line.split(b" ", 2)
        if kind == b"P":
            self.sources[first] = json.loads(rest[0])
            return
        if kind == b"F":
            del self.sources[first]
            isolate = self.isolates.get(first)
            # One that is being probed goes later, as the least recently used.
            if isolate is not None and isolate.current is None:
                del self.isolates[first]
                isolate.close()
            return
        if kind == b"T":
            self.realm = self.realm.replace("@TAG@", first.decode())
            return
        program, seconds, text = rest[0].split(b" ", 2)
        with self.lock:
            self.running += 1
        self.hand(program, RunningCall(first, float(seconds), text))

    def hand(self, program: bytes, call: RunningCall) -> None:
        """Give the call to its program's isolate, which is made if there is none."""
        isolate = self.isolates.get(program)
        if isolate is None or isolate.is_broken:
            waiting: deque[RunningCall] = isolate.waiting if isolate is not None else deque()
            if isolate is not None:
                isolate.close()
            isolate = self.isolates[program] = Isolate(
                self.realm, self.sources[program], self.memory, self.lock, self.answer
            )
            with self.lock:
                for earlier in waiting:
                    isolate.add(earlier)
            self.forget()
        self.isolates.move_to_end(program)
        with self.lock:
            isolate.add(call)

    def forget(self) -> None:
        """Close the isolates that are too many and do nothing."""
        for program, isolate in list(self.isolates.items())[:-1]:
            if len(self.isolates) <= MAX_ISOLATES:
                return
            if isolate.current is None and not isolate.waiting:
                del self.isolates[program]
                isolate.close()

    def probe(self) -> None:
        """Give a sign of life. Look for what goes on without a call: an engine that is gone, and
        code that a snippet left running (a promise without end, of a call that has its answer)."""
        if os.getppid() != self.engine:
            os._exit(0)
        with self.lock:
            if self.running:
                self.wire.sendall(b"H\n")
            for isolate in self.isolates.values():
                isolate.probe()

    def look(self, now: float) -> None:
        """Look at the clock and at the memory."""
        with self.lock:
            running = [isolate for isolate in self.isolates.values() if isolate.current]
            for isolate in running:
                call = isolate.current
                if call is None or now < call.end:
                    continue
                if call.waits:
                    isolate.stop(over_time(call))
                elif not call.obeys_until:
                    isolate.cancel(OBEY)
                elif now > call.obeys_until:
                    isolate.stop(over_time(call))
                    self.end()
            if _resident() > self.ceiling:
                if len(self.isolates) > 1:
                    os._exit(0)
                for isolate in running:
                    isolate.stop(over_memory(self.memory))
                self.end()
        for program in [name for name, isolate in self.isolates.items() if isolate.is_broken]:
            isolate = self.isolates.pop(program)
            isolate.close()
            for call in isolate.waiting:
                self.hand(program, call)

    def answer(self, call: RunningCall, text: bytes) -> None:
        """Write what a call came to. Under the lock."""
        if call.number:
            self.running -= 1
            if len(text) > MAX_RESULT:
                text = over_size(text)
            self.wire.sendall(b"A %b %b\n" % (call.number, text))

    def end(self) -> NoReturn:
        """Say that another worker has to go on, and end."""
        self.wire.sendall(b"X\n")
        os._exit(0)


def _resident() -> int:
    """The resident memory of this process, in bytes."""
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * _PAGE


def main(descriptor: str, mebibytes: str) -> NoReturn:
    wire = socket.socket(fileno=int(descriptor))
    wire.setblocking(True)
    try:
        WorkerProcess(wire, int(mebibytes) << 20).run()
    except (ConnectionError, BrokenPipeError):
        os._exit(0)  # the engine is gone; threads of V8 may still run


if __name__ == "__main__":
    main(*sys.argv[1:])
