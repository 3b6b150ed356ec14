"""Runtime: one namespace, running. What an embedding program and the command line hold.

Lives here: Runtime: it starts and stops, lets any thread in, and calls nodes. Store, table and
loader are put together in assembly.py. Stopping goes sources, work, resources: the sources stop,
what is under way gets the grace, then nodes, shared things and the store are closed.

A runtime lives on one hub. In a program that is monkey-patched, or uses gevent in the thread that
starts it, that is this thread's; in any other program it is that of an OS thread of its own. Every
public method may be called from any thread: it is run on the runtime's hub (`Runtime.run`).
"""

from __future__ import annotations

import atexit
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar
from weakref import WeakSet

import gevent
from gevent.monkey import get_original

from greenflow.config import Settings
from greenflow.engine.packet import NOTHING, Fault
from greenflow.engine.services import Services
from greenflow.engine.source import begins
from greenflow.errors import Inactive, StoreUnavailable
from greenflow.hub.clock import Clock
from greenflow.hub.thread import HomeHub, has_hub
from greenflow.log import secret
from greenflow.net.wsgi.serving import Application, application
from greenflow.nodes.listener import Listener, listeners
from greenflow.payload.value import adopt, by_value, copy
from greenflow.runtime.asking import way_in
from greenflow.runtime.assembly import Assembly
from greenflow.runtime.choosing import at_port, named
from greenflow.runtime.processes import ProcessInfo, ended, listed
from greenflow.scheme.registry import Scheme
from greenflow.store.base import Record, Store
from greenflow.store.home import HomeOperations
from greenflow.store.operations import Operations, apply_values
from greenflow.table.table import Table

if TYPE_CHECKING:
    from greenflow.admin.interface import Interface

T = TypeVar("T")

# Why calls are refused.
DRAINING = "the runtime drains: it takes no more calls"
STOPPED = "the runtime is stopped; start it again with start()"
FORKED = (
    "the runtime ran when this OS process was forked, and does not run here: have it start after "
    "the fork, which the first call does, or make another Runtime"
)

_log = logging.getLogger("greenflow.runtime")
_known: WeakSet[Runtime] = WeakSet()


class Runtime(Assembly):
    """Runs the specs of one namespace of a store. A context manager that starts and stops it; the
    first `call` or `run` starts it, too.

    `store` is a URL or an open store; a store that is handed in stays open, and must be of the hub
    that the runtime lives on. `specs` and `values` are applied before the start. `own_thread` says
    whether it lives in an OS thread of its own; by default it does unless the program is
    monkey-patched or the thread that starts it has a hub. `clock` is what its nodes wait by, the
    system's by default; a `seed` makes what code leaves to chance the same in each run. With
    `listen` False its listeners open no sockets, and are reached through `wsgi` alone.
    """

    def __init__(
        self,
        store: str | Store = "memory://",
        *,
        namespace: str | None = None,
        specs: Any = None,
        settings: Settings | None = None,
        scheme: Scheme | None = None,
        own_thread: bool | None = None,
        clock: Clock | None = None,
        seed: int | None = None,
        listen: bool = True,
        values: Any = None,
    ) -> None:
        super().__init__(store, namespace, specs, settings, scheme, clock, seed, listen, values)
        #: The namespace's HTTP listeners as one WSGI application, for any thread of a server or a
        #: framework; the first request starts the runtime. With several listeners the one answers
        #: whose `port` is SERVER_PORT; `wsgi_of` names one.
        self.wsgi: Application = application(self._listener_at, self._at_home)
        #: Its admin interface as a WSGI application to mount, by the settings `admin.hosts` and
        #: `admin.token`; while the runtime does not run, it answers 503.
        self.admin: Application = application(
            lambda environ: self.interface.mounted if self._home else None, self._at_home
        )
        self._own_thread = own_thread
        self._home: HomeHub | None = None
        self._settling_in = get_original("_thread", "allocate_lock")()  # OS threads that start it
        self._refusal = ""  # why calls are refused, once it has run
        _known.add(self)

    # -- starting and stopping -----------------------------------------------------------------

    def start(self, *, wait: bool = True) -> None:
        """Open the store, load every spec, and run. A bad spec stops no other; `status` tells.

        With `wait`, workflows at `init` and `active` are waited for, up to the grace.

        Raises StoreUnavailable; SpecInvalid for the specs handed in; Inactive in an OS process that
        was forked while it ran.
        """
        self._start_on(self._settled(again=True), wait)

    def _start_on(self, home: HomeHub, wait: bool = True) -> None:
        try:
            home.run(self._start, home, wait)
        except BaseException:
            if self._home is not home:
                home.join()
            raise

    def _settled(self, again: bool = False) -> HomeHub:
        """The hub to live on, chosen at first. Raises Inactive once it has stopped."""
        home = self._home
        if home is None or self._refusal:
            with self._settling_in:
                if self._refusal and not (again and self._refusal == STOPPED):
                    raise Inactive(self._refusal)
                if self._home is None:
                    own = not has_hub() if self._own_thread is None else self._own_thread
                    self._home, self._refusal = HomeHub(own), ""
                home = self._home
        return home

    def _start(self, home: HomeHub, wait: bool) -> None:
        with home.changing:
            if self._home is not home:  # stopped meanwhile
                raise Inactive(STOPPED)
            if self._loader is None and self._services is None:
                try:
                    self._open()
                except BaseException:
                    self._leave("")
                    raise
            table = self._table
        if wait and table is not None:
            table.settle()

    def drain(self) -> None:
        """Stop the sources, refuse calls, and wait for what is under way, up to the grace. What the
        nodes hold stays open until `stop`."""
        home = self._home
        if home is not None:
            home.run(self._drain, home)

    def _drain(self, home: HomeHub) -> None:
        with home.changing:
            if self._home is not home or self._loader is None:
                return
            table, services = self._running()
            self._refusal, self.is_draining = DRAINING, True
            self._stop_following()
            sources = [i for i, s in table.symbols.items() if begins(s.version.node)]
            table.change(dict.fromkeys(sources))
            self._await_processes(services)

    def stop(self) -> None:
        """Stop the sources, give what is under way the grace, close everything. A second stop does
        nothing. In a signal handler that gevent runs it only begins to stop."""
        home = self._home
        if home is None:
            return
        if gevent.getcurrent() is home.hub:
            gevent.spawn(self.stop)
            return
        with suppress(Inactive):  # another thread has stopped it meanwhile
            home.run(self._stop, home)
        home.join()

    def _stop(self, home: HomeHub) -> None:
        with home.changing:
            if self._home is home:
                self._close()
                self._leave(STOPPED)

    def _leave(self, refusal: str) -> None:
        home, self._home, self._refusal = self._home, None, refusal
        self.is_draining = False
        if "interface" in self.__dict__:  # somebody has asked for it
            self.interface.end_streams()
        if home is not None:
            home.close()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()  # it may have been interrupted while it waited
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def register(self, opcode: str, function: Callable[..., Any]) -> None:
        """Offer a function to `syscall` nodes, before the start.

        Its parameters are positional; those with a plain type are checked. What it raises goes to
        the node's `error`.
        """
        self._registered[opcode] = by_value(function)

    # -- using it ------------------------------------------------------------------------------

    def run(self, function: Callable[..., T], *args: Any) -> T:
        """What the function returns or raises, run on the runtime's hub, from any OS thread. Starts
        the runtime if it has not run yet.

        On the runtime's thread it is simply called. Elsewhere it runs in a greenlet of its own with
        the caller's context variables; who stops waiting, as by an interrupt, has it killed. Raises
        what `start` does, and Inactive once the runtime drains or is stopped.
        """
        home = self._settled()
        if self._loader is None:
            self._start_on(home)
        return home.run(function, *args)

    def call(
        self, node: str, payload: Any = None, *, port: str = "in", timeout: float | None = None
    ) -> Any:
        """Send a payload to a node, by name or id, in a process of its own; returns the answer. To
        a source without in ports, such as a schedule, it is sent as an event of the source.

        NOTHING is returned as None. Raises the error that the workflow answers, Inactive for a node
        that is not running, TimeoutError after `timeout` seconds: the process is exited then.
        """
        return self.run(self._call, node, payload, port, timeout)

    def _call(self, node: str, payload: Any, port: str, timeout: float | None) -> Any:
        table, services = self._running()
        ask = way_in(table, node, port)
        process = services.begin()
        try:
            with gevent.Timeout(timeout) as limit:
                answer = ask(process, adopt(payload))
                failure = process.settle(answer.error if isinstance(answer, Fault) else None)
        except gevent.Timeout as expired:
            if expired is not limit:
                raise
            raise TimeoutError(f"node {node!r} did not answer within {timeout:g} s") from None
        finally:
            if process.children:
                process.spawn(process.finish)
            else:
                process.exit()
        if failure is not None:
            raise secret.concealed(failure)
        return None if answer is NOTHING else copy(answer)

    def processes(self) -> list[ProcessInfo]:
        """What runs, by number; children behind their parents."""
        return self.run(lambda: listed(*self._running()))

    def cancel(self, process_id: int) -> bool:
        """End a process and its children, rolled back. What waits for its answer gets the error
        `process exited`; a listener answers 503. Returns whether there was one of that number."""
        return self.run(lambda: ended(self._running()[1], process_id))

    def wsgi_of(self, name: str) -> Application:
        """One listener, by its name, as a WSGI application. While it is not running, requests are
        answered 503."""

        def choose(environ: dict[str, Any]) -> Listener | None:
            return named(self._listeners(), name, self.namespace)

        return application(choose, self._at_home)

    def _listener_at(self, environ: dict[str, Any]) -> Listener | None:
        return at_port(self._listeners(), environ["SERVER_PORT"], self.namespace)

    @cached_property
    def interface(self) -> Interface:
        """What answers in `admin`. Used on the hub of the runtime."""
        from greenflow.admin.interface import Interface
        from greenflow.runtime.looking import Looked

        return Interface(Looked(self, self.drain, self._call))

    def _at_home(self, function: Callable[..., T], *args: Any) -> T:
        """As `run`, and also while the runtime drains. Raises Inactive when it has stopped."""
        if (home := self._home) is None:
            raise Inactive("the runtime is stopped")
        return home.run(function, *args)

    def _listeners(self) -> dict[str, Listener]:
        """Those that run, by id; none if the runtime does not, and the log says why."""
        try:
            if self._loader is None or self._refusal:
                self._start_on(self._settled())
            return self._all_listeners()
        except (Inactive, StoreUnavailable) as error:
            _log.error("a request is answered 503: %s", error)
            return {}

    def _all_listeners(self) -> dict[str, Listener]:
        return {} if self._services is None else listeners(self._services)

    def apply_values(self, values: Any) -> list[Record]:
        """Store a value, or a list of them, in place of those with their id or name; the specs that
        are bound to them are loaded again soon after. From any thread.

        Raises SpecInvalid, DuplicateSpec, InvalidArgument and StoreUnavailable.
        """
        return self.run(self._apply_values, values)

    def _apply_values(self, values: Any) -> list[Record]:
        if self._opened is None:
            raise Inactive("the runtime is not started")
        keys = self._running()[1].values.keys
        return apply_values(self._opened.values, values, self.namespace, keys)

    @property
    def operations(self) -> Operations:
        """What may be asked of the stored specs."""
        if (home := self._home) is None:
            raise Inactive("the runtime is not started")
        return HomeOperations(home, self._operations())

    @property
    def connected(self) -> bool:
        """Whether the store's changes are being followed."""
        return self._loader is not None and self._loader.connected

    @property
    def services(self) -> Services:
        """What the nodes share. Raises Inactive before the start."""
        return self._running()[1]

    @property
    def table(self) -> Table:
        """The symbols. Raises Inactive before the start."""
        return self._running()[0]

    def status(self) -> list[dict[str, Any]]:
        """Every symbol: id, name, kind, whether it is active, and what is wrong; ordered by id."""
        if (home := self._home) is None:
            raise Inactive("the runtime is not started")
        return home.run(self._status)

    def metrics(self) -> str:
        """What it counts, in the text format of Prometheus. Raises Inactive unless it runs."""
        return self._at_home(self._metrics).decode()

    def collect(self) -> list[Any]:
        """The same for a registry of prometheus-client: `REGISTRY.register(runtime)`. Nothing
        unless it runs."""
        return [] if self._home is None else self._at_home(self._families)

    def _forked(self) -> None:
        """In the child of a fork: what has not started yet may start, what ran does not run."""
        self._settling_in = get_original("_thread", "allocate_lock")()
        if self._home is not None:
            super()._forked()
            self._home, self._refusal = None, FORKED

    def _running(self) -> tuple[Table, Services]:
        if self._table is None or self._services is None:
            raise Inactive(self._refusal or "the runtime is not started")
        return self._table, self._services


def _forked() -> None:
    """Threads, connections and sockets of a runtime are its parent's: none of them is touched."""
    for runtime in list(_known):
        runtime._forked()


def _at_exit() -> None:
    for runtime in list(_known):
        if runtime._loader is not None:
            _log.warning(
                "the program ends while the runtime of namespace %r runs, and what is under way in "
                "it is lost: call stop(), or use it as a context manager",
                runtime.namespace,
            )


os.register_at_fork(after_in_child=_forked)
atexit.register(_at_exit)
