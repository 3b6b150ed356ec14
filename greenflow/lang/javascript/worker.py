"""The OS process that runs JavaScript: `python -m greenflow.lang.javascript.worker FD MIB`.

Lives here: the loop that reads calls from the wire (wire.py) and hands them to the isolates, one
for each program. Nothing of gevent or of the engine is imported: mini-racer does not work in a
monkey-patched process, and starting must be quick.

A call that runs without end holds up only other calls of its own program, and one that waits
for a timer holds up none: the timers are kept here, and the loop wakes the calls when they are due.
While calls run, the clock and the memory are looked at every few milliseconds. A call over its
limit is cancelled and its isolate dropped, one that waits is forgotten. If V8 does not obey
(promises without end), the answer is written all the same, then `X`, and the process ends: the
engine runs what else was under way in another worker. So it does when the whole process has become
too large, if one call is under way; with several it cannot tell which of them it was, and ends
without a word: the engine finds out (pool.py). The process also ends when its engine does.
"""

from __future__ import annotations

import heapq
import itertools
import json
import math
import os
import select
import socket
import sys
import threading
from collections import OrderedDict
from pathlib import Path
from time import monotonic
from typing import NoReturn

from greenflow.lang.javascript import sandbox, web
from greenflow.lang.javascript.isolate import (
    MAX_RESULT,
    Isolate,
    RunningCall,
    given_up,
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
        self.realm = web.compact(Path(__file__).with_name("realm.js").read_text())
        self.lock = threading.RLock()
        self.sources: dict[bytes, str] = {}
        self.isolates: OrderedDict[bytes, Isolate] = OrderedDict()
        self.engine = os.getppid()
        self.running = 0  # calls that have no answer yet
        self.looks = self.probes = monotonic() + TICK  # when the next ones are due
        self.timers: list[tuple[float, int, Isolate, RunningCall]] = []  # a heap, by their times
        self.order = itertools.count()  # of timers that are due at the same time
        self.sleeps_until = 0.0  # what the loop sleeps to; `alarm` wakes it earlier
        self.alarm = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.ceiling = _resident() + MEMORY_FACTOR * memory + MAX_ISOLATES * ISOLATE

    def run(self) -> NoReturn:
        """Serve until the engine is gone."""
        ready = select.poll()
        ready.register(self.wire, select.POLLIN)
        ready.register(self.alarm, select.POLLIN)
        self.wire.sendall(b"R %b\n" % self.sandbox.encode())
        lines = WireLines()
        while True:
            for descriptor, _ in ready.poll(self.sleep()):
                if descriptor == self.alarm:
                    os.eventfd_read(self.alarm)
                    continue
                data = self.wire.recv(_READ)
                if not data:
                    os._exit(0)
                for line in lines.split(data):
                    self.obey(line)
                    self.keep()  # a program's first call takes 1 ms, and there may be thousands
            self.keep()

    def sleep(self) -> int:
        """Milliseconds that the loop may sleep, rounded up: no timer is early."""
        tick = TICK if self.running else IDLE_TICK
        now = monotonic()
        # Said before the timers are looked at, so one that is set meanwhile sounds the alarm: an
        # isolate has the lock while it writes, and the loop should not wait for that.
        self.sleeps_until = now + tick
        if self.timers:
            tick = min(tick, max(0.0, self.timers[0][0] - now))
        return math.ceil(tick * 1000)

    def keep(self) -> None:
        """Do what is due."""
        now = monotonic()
        if self.timers:
            self.wake(now)
        if now >= self.looks:
            self.looks = now + TICK
            self.look(now)
        if now >= self.probes:
            self.probes = now + IDLE_TICK
            self.probe()

    def park(self, isolate: Isolate, call: RunningCall, delay: float | None) -> None:
        """A call waits, for a timer in so many seconds if it has one. Under the lock."""
        if not call.wakes:
            self.wire.sendall(b"W %b\n" % call.number)
        call.wakes = math.inf if delay is None else monotonic() + delay
        if delay is None:
            return
        heapq.heappush(self.timers, (call.wakes, next(self.order), isolate, call))
        if call.wakes < self.sleeps_until:
            self.sleeps_until = call.wakes
            os.eventfd_write(self.alarm, 1)

    def wake(self, now: float) -> None:
        """Run the timers that are due. Those of calls that were answered are still in the heap."""
        with self.lock:
            while self.timers and self.timers[0][0] <= now:
                due, _, isolate, call = heapq.heappop(self.timers)
                if call.wakes == due and isolate.is_parked(call):
                    isolate.wake(call)

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
            if isolate is not None and isolate.is_idle:
                del self.isolates[first]
                isolate.close()
            return
        if kind == b"T":
            self.realm = self.realm.replace("@TAG@", first.decode())
            return
        if kind == b"Q":
            with self.lock:
                self.abandon(first)
            return
        program, seconds, text = rest[0].split(b" ", 2)
        with self.lock:
            self.running += 1
        self.hand(program, RunningCall(first, float(seconds), text))

    def hand(self, program: bytes, call: RunningCall) -> None:
        """Give the call to its program's isolate, which is made if there is none."""
        isolate = self.isolates.get(program)
        if isolate is None or isolate.is_broken:
            earlier: list[RunningCall] = []
            if isolate is not None:
                earlier = isolate.left()
                isolate.close()
            source = self.sources[program]
            isolate = self.isolates[program] = Isolate(
                *(self.realm, source, web.needed(source), self.memory),
                *(self.lock, self.answer, self.park),
            )
            for one in earlier:
                self.add(isolate, one)
            self.forget()
        self.isolates.move_to_end(program)
        self.add(isolate, call)

    def add(self, isolate: Isolate, call: RunningCall) -> None:
        with self.lock:
            isolate.add(call)

    def abandon(self, number: bytes) -> None:
        """Nobody waits for a call any more. One that runs goes on to its next wait, or to its
        limit: to stop it would cost all that share its isolate a new one. Under the lock."""
        for isolate in self.isolates.values():
            for call in [*isolate.begun(), *isolate.waiting]:
                if call.number == number:
                    isolate.abandon(call)
                    if call is not isolate.current:
                        self.answer(call, given_up())
                    return

    def forget(self) -> None:
        """Close the isolates that are too many and do nothing."""
        for program, isolate in list(self.isolates.items())[:-1]:
            if len(self.isolates) <= MAX_ISOLATES:
                return
            if isolate.is_idle:
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
            running = [isolate for isolate in self.isolates.values() if isolate.begun()]
            for isolate in running:
                for call in isolate.begun():
                    if now < call.end:
                        continue
                    if call is not isolate.current:
                        isolate.abandon(call)
                        self.answer(call, over_time(call))
                    elif not call.obeys_until:
                        isolate.cancel(OBEY)
                    elif now > call.obeys_until:
                        isolate.stop(over_time(call))
                        self.end()
            if _resident() > self.ceiling:
                begun = [call for isolate in running for call in isolate.begun()]
                if len(self.isolates) > 1 or len(begun) > 1:
                    os._exit(0)
                for call in begun:
                    self.answer(call, over_memory(self.memory))
                self.end()
        for program in [name for name, isolate in self.isolates.items() if isolate.is_broken]:
            isolate = self.isolates.pop(program)
            isolate.close()
            with self.lock:
                left = isolate.left()
            for call in left:
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
