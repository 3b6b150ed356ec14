"""One program in V8: an isolate, its thread, and the calls that wait for it.

Lives here: the C interface of mini-racer, for a worker process (worker.py) alone. Its Python
interface runs an asyncio loop and takes 300 us for a call where this takes 60; so mini-racer's
version is held to one minor release.

V8's embedder gives each isolate a thread. What is asked of it (`mr_eval`, `mr_call_function`)
returns at once, and what came of it is told by a callback on that thread. Making an isolate waits
for the callback, but runs none of the author's code; a call does not wait.

A call whose promise has to be waited for is parked once V8 has nothing more to do for it, and the
next one runs; its timers are the worker's. Calls that are parked share the isolate and its memory.
When it is lost (one of its calls took too long or too much), the others are run again in another:
snippets have no effect outside themselves. A call that shared a lost isolate is blamed for its
memory only when it did the same apart, with no other call beside it.
"""

from __future__ import annotations

import ctypes
import json
import threading
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Any

from greenflow.lang.javascript import library

mini_racer = library.load()

# The kinds of mini-racer's values that are met here.
_STRING, _FUNCTION = 5, 100
_FIRST_ERROR, _NO_MEMORY, _TERMINATED = 200, 202, 204

_MADE, _CALLED, _SETTLED = 0, 1, 2  # what a callback is about

PROBE = 1.0  # seconds that an isolate without a call has to give a sign of life

# What realm.js answers: a promise has to be waited for; another call was settled.
PENDING, OTHER = b"p", b"o "

PARKED = 1000  # calls of one program that wait at the same time; more of them wait for their turn

#: The part of the memory limit that the payloads of parked calls may have, as JSON: values take
#: several times their text, and the calls have to work with them.
PARKED_SHARE = 1 / 16

SHARED = 2  # isolates that a call may lose to others; it then runs apart

LOG_END = b"\t"  # what realm.js writes behind the lines that a call logged; JSON has none

#: Bytes of JSON that a call may result in: twice the largest body by default. What is larger is
#: decoded in the engine, beside all others, and helps nobody there.
MAX_RESULT = 16 << 20

# Without WebAssembly, which no snippet needs, there is less to attack. V8's own threads would be
# more than the cores that the engine shares.
FLAGS = ("--single-threaded", "--no-expose-wasm")


def message(text: str) -> bytes:
    """The answer that is an error of ours with this text (wire.py)."""
    return b"m" + json.dumps(text).encode()


class RunningCall:
    """A call that came by the wire: what to hand in, and when it must be over."""

    __slots__ = (
        *("end", "is_abandoned", "is_apart", "key", "lost", "number"),
        *("obeys_until", "seconds", "task", "text", "wakes"),
    )

    def __init__(self, number: bytes, seconds: float, text: bytes) -> None:
        self.number, self.seconds, self.text = number, seconds, text
        self.end = 0.0  # monotonic time
        self.obeys_until = 0.0  # monotonic time that V8 has once the call was cancelled
        self.task = 0
        self.key: int | None = None  # what realm.js calls it, once it is parked
        self.wakes = 0.0  # monotonic time of its next timer
        self.lost = 0  # isolates that it was in when they were stopped
        self.is_apart = self.is_abandoned = False


class Isolate:
    """One program. All of it but making and closing is done under the worker's lock."""

    def __init__(
        self,
        realm: str,
        source: str,
        web: str,
        memory: int,
        lock: threading.RLock,
        answer: Callable[[RunningCall, bytes], None],
        park: Callable[[Isolate, RunningCall, float | None], None],
    ) -> None:
        """`web` is what the source may use of the web's APIs (web/), `memory` the limit in bytes.
        `answer` takes what a call came to, `park` one that waits, for so many seconds if it has a
        timer; then it is to be given to `wake`."""
        self.waiting: deque[RunningCall] = deque()
        self.parked: dict[int, RunningCall] = {}
        self.current: RunningCall | None = None
        self.is_used = False  # since the last probe
        self.is_broken = False  # no more calls: it was stopped in the middle of one
        self._memory, self._lock, self._answer, self._park = memory, lock, answer, park
        self._due: deque[tuple[RunningCall, bytes]] = deque()  # what to ask about calls that began
        self._is_turn_of_due = self._is_old = False  # old: a call began here
        self._held, self._room = 0, memory * PARKED_SHARE  # bytes of the texts of parked calls
        self._refusal: bytes | None = None
        self._told = threading.Event()
        self._made: tuple[int, Any, bytes] = (0, None, b"")
        self._dll = mini_racer.init_mini_racer(flags=FLAGS, ignore_duplicate_init=True)
        self._callback = mini_racer.mr_callback_func(self._hear)  # V8 keeps no reference of its own
        self._context = self._dll.mr_init_context(self._callback)
        self._dll.mr_set_hard_memory_limit(self._context, memory)
        self._nothing = self._evaluate("[]")[1]
        boot = self._evaluate(realm)[1]
        kind, module, text = self._evaluate(source)
        if kind != _FUNCTION:
            self._refusal = b"s" + json.dumps(text.decode("utf-8", "replace")).encode()
            return
        arguments = self._evaluate("[]")[1]
        notify = self._dll.mr_make_js_callback(self._context, _SETTLED)
        self._dll.mr_array_push(self._context, arguments, notify)
        self._dll.mr_array_push(self._context, arguments, self._string(web.encode()))
        self._told.clear()
        self._dll.mr_call_function(self._context, boot, module, arguments, _MADE)
        self._told.wait()
        self._entry = self._made[1]

    def close(self) -> None:
        """Give back all that V8 has of it. Not from a callback: it ends the isolate's thread."""
        self._dll.mr_free_context(self._context)

    @property
    def is_idle(self) -> bool:
        """Whether nobody waits for anything here."""
        return self.current is None and not self.parked and not self.waiting

    def add(self, call: RunningCall) -> None:
        """Run the call once it is its turn."""
        self.waiting.append(call)
        self._go_on()

    def is_parked(self, call: RunningCall) -> bool:
        """Whether the call waits here."""
        return call.key is not None and self.parked.get(call.key) is call

    def wake(self, call: RunningCall) -> None:
        """Run the timer of a parked call."""
        self._due.append((call, b"w %d" % (call.key or 0)))
        self._go_on()

    def abandon(self, call: RunningCall) -> None:
        """Nobody waits for the call any more."""
        call.is_abandoned = True
        if call in self.waiting:
            self.waiting.remove(call)
        elif call is not self.current and self._unpark(call.key):
            self._due.append((_of_ours(), b"q %d" % (call.key or 0)))
            self._go_on()

    def begun(self) -> list[RunningCall]:
        """The calls that have begun and have no answer."""
        return [*self.parked.values(), *([self.current] if self.current else ())]

    def left(self) -> list[RunningCall]:
        """The calls that have no answer; they are to run in another isolate."""
        for call in self.parked.values():
            call.lost += 1
            call.is_apart = call.is_apart or call.lost >= SHARED
            call.key = None
        left = [*self.parked.values(), *self.waiting]
        self.parked.clear()
        self.waiting.clear()
        return left

    def probe(self) -> None:
        """Ask for a sign of life, as a call without a number, if there was a call since."""
        if self.is_used and self.current is None and self._refusal is None and not self.is_broken:
            self.is_used = False
            self._ask(_of_ours(), b"c")

    def cancel(self, seconds: float) -> None:
        """Ask V8 to end what runs; it has `seconds` to obey."""
        if self.current is not None:
            self.current.obeys_until = monotonic() + seconds
            self._dll.mr_cancel_task(self._context, self.current.task)

    def _go_on(self) -> None:
        """Run what is next: a new call and one that began, by turns."""
        if not self.waiting and not self._due:
            return
        while self.current is None and not self.is_broken:
            may_begin = self._may_begin()
            if self._due and (self._is_turn_of_due or not may_begin):
                self._is_turn_of_due = False
                call, text = self._due.popleft()
                if not call.number or self._unpark(call.key):
                    self._ask(call, text)
            elif may_begin and self.waiting[0].is_apart and self._is_old:
                self.is_broken = True  # what others left in memory is no matter of this one
            elif may_begin:
                self._is_turn_of_due = True
                self._begin(self.waiting.popleft())
            else:
                return

    def _may_begin(self) -> bool:
        """Whether the first new call may share the isolate with those that are parked."""
        if not self.waiting or not self.parked:
            return bool(self.waiting)
        call = self.waiting[0]
        is_shared = not call.is_apart and not next(iter(self.parked.values())).is_apart
        has_room = len(self.parked) < PARKED and self._held + len(call.text) <= self._room
        return is_shared and has_room

    def _begin(self, call: RunningCall) -> None:
        if self._refusal is not None:
            self._answer(call, self._refusal)
            return
        call.end = monotonic() + call.seconds
        self._is_old = True
        self._ask(call, call.text)

    def _ask(self, call: RunningCall, text: bytes) -> None:
        self.current, self.is_used = call, self.is_used or bool(call.number)
        self._given = self._string(text)
        call.task = self._dll.mr_call_function(
            self._context, self._entry, self._given, self._nothing, _CALLED
        )

    def _unpark(self, key: int | None) -> RunningCall | None:
        call = None if key is None else self.parked.pop(key, None)
        if call is not None:
            self._held -= len(call.text)
        return call

    def _string(self, text: bytes) -> Any:
        return self._dll.mr_alloc_string_val(self._context, text, len(text), _STRING)

    def _evaluate(self, source: str) -> tuple[int, Any, bytes]:
        """Kind, handle and text of a script's value."""
        self._told.clear()
        self._dll.mr_eval(self._context, self._string(source.encode("utf-8", "replace")), _MADE)
        self._told.wait()
        return self._made

    def _hear(self, callback_id: int, raw_val_handle: Any) -> None:
        """V8 tells something, on the isolate's thread."""
        about, handle = callback_id, raw_val_handle
        value = handle.contents
        kind, text = value.type, b""
        if kind == _STRING or kind >= _FIRST_ERROR:
            text = ctypes.string_at(value.value.value_ptr, value.len)
        if about == _MADE:
            self._made = kind, handle, text
            self._told.set()
            return
        self._dll.mr_free_value(self._context, handle)
        with self._lock:
            call = self.current
            if about == _SETTLED:
                self._due.append((_of_ours(), b"c"))
                self._go_on()
                return
            if call is None:
                return
            self._dll.mr_free_value(self._context, self._given)
            if kind == _STRING and text == PENDING:
                # The jobs of promises are done before V8 comes to this.
                self._ask(call, b"" if call.number else b"c")
            elif kind == _STRING and text.startswith(OTHER):
                _, key, line = text.split(b" ", 2)
                other = self._unpark(int(key))
                if other is not None:
                    self._answer(other, line)
                self._ask(call, b"" if call.number else b"c")
            elif kind == _STRING and text.startswith(PENDING):
                self._wait(call, text)
            else:
                self._finish(call, kind, text)

    def _wait(self, call: RunningCall, text: bytes) -> None:
        """Park the call under way."""
        key, *delay = text[2:].split(b" ")
        if self._is_over_memory():  # jobs of promises that V8 ended are told by nothing else
            self._end_over_memory()
            return
        if call.obeys_until:
            self.stop(over_time(call))
            return
        call.key = int(key)
        self.current = None
        self.parked[call.key] = call
        self._held += len(call.text)
        if call.is_abandoned:
            self.abandon(call)
            self._answer(call, given_up())
        else:
            self._park(self, call, float(delay[0]) / 1000 if delay else None)
        self._go_on()

    def _finish(self, call: RunningCall, kind: int, text: bytes) -> None:
        if kind == _NO_MEMORY or self._is_over_memory():
            self._end_over_memory()
            return
        if call.obeys_until or kind == _TERMINATED:
            self.stop(over_time(call))
            return
        self.current = None
        self._answer(call, text if kind == _STRING else message(text.decode("utf-8", "replace")))
        self._go_on()

    def _is_over_memory(self) -> bool:
        return bool(self._dll.mr_hard_memory_limit_reached(self._context))

    def _end_over_memory(self) -> None:
        """The isolate is over its limit. A call that was alone has done it; of several nobody
        knows: the one under way is the likeliest, and runs apart."""
        self.is_broken = True
        call, self.current = self.current, None
        begun = [*self.parked.values(), *([call] if call is not None and call.number else ())]
        if len(begun) == 1:
            self.parked.clear()
            self._answer(begun[0], over_memory(self._memory))
        elif call is not None and call.number:
            call.is_apart = True
            self.waiting.appendleft(call)
        for other in self.parked.values():
            other.is_apart = other.is_apart or call is None or not call.number

    def stop(self, answer: bytes) -> None:
        """Answer the call under way; no other runs here."""
        self.is_broken = True
        call, self.current = self.current, None
        if call is not None:
            self._answer(call, answer)


def _of_ours() -> RunningCall:
    """A question of our own, which has no answer for the engine."""
    call = RunningCall(b"", PROBE, b"")
    call.end = monotonic() + PROBE
    return call


def over_time(call: RunningCall) -> bytes:
    """The answer of a call that took too long."""
    return message(
        f"the JavaScript call took longer than its limit of {call.seconds:g} s; "
        "give the node a longer timeout, or let the snippet do less"
    )


def over_size(answer: bytes) -> bytes:
    """The answer in the place of one that is too large, if its result or error is. What the call
    logged, which stands before it (wire.py), is kept."""
    start = answer.index(LOG_END) + 1 if answer.startswith(b"l") else 0
    size = len(answer) - start - 1
    if size <= MAX_RESULT:
        return answer
    what = "error" if answer[start : start + 1] == b"e" else "result"
    return answer[:start] + message(
        f"the {what} of the JavaScript call is {size:,} bytes of JSON, "
        f"more than the limit of {MAX_RESULT >> 20} MiB; let the snippet return less"
    )


def given_up() -> bytes:
    """The answer of a call that nobody waits for."""
    return message("the JavaScript call was given up")


def over_memory(memory: int) -> bytes:
    """The answer of a call that took too much memory; `memory` is the limit in bytes."""
    return message(f"the JavaScript call took more memory than its limit of {memory >> 20} MiB")
