"""One program in V8: an isolate, its thread, and the calls that wait for it.

Lives here: the C interface of mini-racer, for a worker process (worker.py) alone. Its Python
interface runs an asyncio loop and takes 300 us for a call where this takes 60; so mini-racer's
version is held to one minor release.

V8's embedder gives each isolate a thread. What is asked of it (`mr_eval`, `mr_call_function`)
returns at once, and what came of it is told by a callback on that thread. Making an isolate waits
for the callback, but runs none of the author's code; a call does not wait.
"""

from __future__ import annotations

import ctypes
import json
import threading
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Any

from py_mini_racer._dll import init_mini_racer, mr_callback_func

# The kinds of mini-racer's values that are met here.
_STRING, _FUNCTION = 5, 100
_FIRST_ERROR, _NO_MEMORY, _TERMINATED = 200, 202, 204

_MADE, _CALLED, _SETTLED = 0, 1, 2  # what a callback is about

PROBE = 1.0  # seconds that an isolate without a call has to give a sign of life

PENDING = b"p"  # what realm.js answers when a promise has to be waited for

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

    __slots__ = ("end", "number", "obeys_until", "seconds", "task", "text", "waits")

    def __init__(self, number: bytes, seconds: float, text: bytes) -> None:
        self.number, self.seconds, self.text = number, seconds, text
        self.end = 0.0  # monotonic time
        self.obeys_until = 0.0  # monotonic time that V8 has once the call was cancelled
        self.task = 0
        self.waits: bool | None = None  # for a promise; False: it settled before V8 returned


class Isolate:
    """One program. All of it but making and closing is done under the worker's lock."""

    def __init__(
        self,
        realm: str,
        source: str,
        memory: int,
        lock: threading.RLock,
        answer: Callable[[RunningCall, bytes], None],
    ) -> None:
        """`memory` is the limit in bytes, `answer` takes what a call came to."""
        self.waiting: deque[RunningCall] = deque()
        self.current: RunningCall | None = None
        self.is_used = False  # since the last probe
        self.is_broken = False  # no more calls: it was stopped in the middle of one
        self._memory, self._lock, self._answer = memory, lock, answer
        self._refusal: bytes | None = None
        self._told = threading.Event()
        self._made: tuple[int, Any, bytes] = (0, None, b"")
        self._dll = init_mini_racer(flags=FLAGS, ignore_duplicate_init=True)
        self._callback = mr_callback_func(self._hear)  # V8 keeps no reference of its own
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
        self._told.clear()
        self._dll.mr_call_function(self._context, boot, module, arguments, _MADE)
        self._told.wait()
        self._entry = self._made[1]

    def close(self) -> None:
        """Give back all that V8 has of it. Not from a callback: it ends the isolate's thread."""
        self._dll.mr_free_context(self._context)

    def add(self, call: RunningCall) -> None:
        """Run the call once those before it are over."""
        if self.current is None and not self.is_broken:
            self._start(call)
        else:
            self.waiting.append(call)

    def probe(self) -> None:
        """Ask for a sign of life, as a call without a number, if there was a call since."""
        if self.is_used and self.current is None and self._refusal is None:
            self.is_used = False
            self.current = probe = RunningCall(b"", PROBE, b"")
            probe.end = monotonic() + PROBE
            self._ask(probe, b"")

    def cancel(self, seconds: float) -> None:
        """Ask V8 to end what runs; it has `seconds` to obey."""
        if self.current is not None:
            self.current.obeys_until = monotonic() + seconds
            self._dll.mr_cancel_task(self._context, self.current.task)

    def _start(self, call: RunningCall) -> None:
        if self._refusal is not None:
            self._answer(call, self._refusal)
            return
        self.current, self.is_used = call, True
        call.end = monotonic() + call.seconds
        self._ask(call, call.text)

    def _ask(self, call: RunningCall, text: bytes) -> None:
        self._given = self._string(text)
        call.task = self._dll.mr_call_function(
            self._context, self._entry, self._given, self._nothing, _CALLED
        )

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
            if call is None:
                return
            if about == _SETTLED:
                if call.waits:
                    self._ask(call, b"")
                call.waits = False
                return
            self._dll.mr_free_value(self._context, self._given)
            if text == PENDING and kind == _STRING and call.number:
                if call.waits is None:
                    call.waits = True
                else:
                    self._ask(call, b"")
                return
            self._finish(call, kind, text)

    def _finish(self, call: RunningCall, kind: int, text: bytes) -> None:
        if kind == _NO_MEMORY or self._dll.mr_hard_memory_limit_reached(self._context):
            self.stop(over_memory(self._memory))
            return
        if call.obeys_until or kind == _TERMINATED:
            self.stop(over_time(call))
            return
        self.current = None
        self._answer(call, text if kind == _STRING else message(text.decode("utf-8", "replace")))
        while self.waiting and self.current is None:
            self._start(self.waiting.popleft())

    def stop(self, answer: bytes) -> None:
        """Answer the call under way; no other runs here."""
        self.is_broken = True
        call, self.current = self.current, None
        if call is not None:
            self._answer(call, answer)


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


def over_memory(memory: int) -> bytes:
    """The answer of a call that took too much memory; `memory` is the limit in bytes."""
    return message(f"the JavaScript call took more memory than its limit of {memory >> 20} MiB")
