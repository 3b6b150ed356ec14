"""Hubs and OS threads: work posted from one thread to the hub of another, and a thread with a hub.

Lives here: `HomeHub`, the hub that a runtime lives on, and how any OS thread has a function run
there. What is run there is the runtime's.

Whoever posts waits without polling: a plain thread with a native lock, which an interrupt of the
program ends, and a thread that has a hub with a watcher, so that its other greenlets go on. Who
stops waiting has the function's greenlet killed, and so the process that it asks exited.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from typing import Any, TypeVar

from gevent import GreenletExit, get_hub
from gevent._hub_local import get_hub_if_exists
from gevent.hub import Hub, Waiter
from gevent.lock import RLock
from gevent.monkey import get_original, is_module_patched
from greenlet import getcurrent, greenlet

from greenflow.errors import Inactive

T = TypeVar("T")

# Native ones in a monkey-patched program, too: they are for OS threads, not for greenlets.
_allocate_lock = get_original("_thread", "allocate_lock")
_start_thread = get_original("_thread", "start_new_thread")
_thread_number = get_original("_thread", "get_ident")


def has_hub() -> bool:
    """Whether the calling thread is one of gevent's: the program is monkey-patched, or this thread
    has a hub. What is started there runs on that hub."""
    return is_module_patched("socket") or get_hub_if_exists() is not None


class HomeHub:
    """The hub that a runtime lives on: the calling thread's, or that of a thread of its own."""

    def __init__(self, own_thread: bool) -> None:
        self._lock = _allocate_lock()  # around the three below
        self._under_way: set[_PostedCall] = set()
        self._closed = self._is_gone = False
        self.own_thread = own_thread
        self.changing = RLock()  # around what starts, drains or stops that which lives here
        self.hub: Hub
        self.thread: int
        if own_thread:
            started, self._ended = _allocate_lock(), _allocate_lock()
            started.acquire()
            self._ended.acquire()
            _start_thread(self._main, (started,))
            started.acquire()
        else:
            self.hub, self.thread = get_hub(), _thread_number()

    def run(self, function: Callable[..., T], *args: Any) -> T:
        """What the function returns or raises, run on this hub's thread, with the context variables
        of the caller. Raises Inactive once the hub is closed."""
        if _thread_number() == self.thread:
            return function(*args)
        call = _PostedCall(partial(function, *args))
        with self._lock:
            if self._closed:
                raise Inactive("the runtime is stopped")
            self._under_way.add(call)
        try:
            self._post(call.begin)
            call.wait()
        except BaseException:
            self._post(call.cancel)
            raise
        finally:
            with self._lock:
                self._under_way.discard(call)
        result: T = call.outcome()
        return result

    def _post(self, callback: Callable[[], object]) -> None:
        with self._lock:
            if not self._is_gone:
                self.hub.loop.run_callback_threadsafe(callback)

    def close(self) -> None:
        """Take no more calls, and end the thread of its own."""
        with self._lock:
            was_closed, self._closed = self._closed, True
        if self.own_thread and not was_closed:
            self._end.send()

    def join(self) -> None:
        """After `close`: return when the thread has ended, at once in this very thread."""
        if self.own_thread and _thread_number() != self.thread:
            with self._ended:
                return

    def _main(self, started: Any) -> None:
        """The thread: its main greenlet waits, and its hub runs the rest, until `close`."""
        self.hub, self.thread = get_hub(), _thread_number()
        self._end = self.hub.loop.async_()
        started.release()
        self.hub.wait(self._end)
        self._end.close()
        with self._lock:
            left, self._is_gone = list(self._under_way), True
        for call in left:
            call.fail(Inactive("the runtime stopped meanwhile"))
        self.hub.destroy(destroy_loop=True)
        self._ended.release()


class _PostedCall:
    """A function that one thread posts to the hub of another, and its outcome."""

    __slots__ = ("_context", "_error", "_function", "_greenlet", "_is_done", "_value", "_wake")

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function, self._context = function, copy_context()
        self._greenlet: greenlet | None = None
        self._value: Any = None
        self._error: BaseException | None = None
        self._is_done = False
        self._wake: Callable[[], object] = _nothing

    # -- in the thread that waits --------------------------------------------------------------

    def wait(self) -> None:
        """Return when there is an outcome."""
        hub = get_hub_if_exists()
        if hub is None or getcurrent() is hub:
            lock = _allocate_lock()
            lock.acquire()
            self._wake = lock.release
            if not self._is_done:
                lock.acquire()
            return
        waiter: Waiter[None] = Waiter(hub)
        self._wake = partial(hub.loop.run_callback_threadsafe, waiter.switch, None)
        watcher = hub.loop.async_()
        watcher.start(_nothing)  # a hub that nothing can wake would give up waiting
        try:
            if not self._is_done:
                waiter.get()
        finally:
            watcher.stop()
            watcher.close()

    def outcome(self) -> Any:
        """What the function returned; raises what it raised."""
        error, self._error = self._error, None
        if error is not None:
            try:
                raise error
            finally:
                del error  # its traceback holds this frame
        return self._value

    # -- in the hub's thread -------------------------------------------------------------------

    def begin(self) -> None:
        """Start the function in a greenlet of its own; what waits can be killed."""
        if not self._is_done:
            self._greenlet = greenlet(self._run, get_hub())
            self._greenlet.gr_context = self._context
            self._greenlet.switch()

    def _run(self) -> None:
        try:
            self._value = self._function()
        except BaseException as error:  # the thread that waits raises it
            self._error = error
        self._done()

    def cancel(self) -> None:
        """Nobody waits any more."""
        self._is_done = True
        if self._greenlet is not None and not self._greenlet.dead:
            self._greenlet.throw(GreenletExit())

    def fail(self, error: BaseException) -> None:
        """The hub ends, and with it what the function waits for."""
        if not self._is_done:
            self._error = error
            self._done()

    def _done(self) -> None:
        self._greenlet = None
        self._is_done = True
        self._wake()


def _nothing() -> None:
    """Nobody waits yet: whoever comes sees that it is done."""
