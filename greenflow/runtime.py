"""Runtime: one namespace, running. What an embedding program and the command line hold.

Lives here: Runtime: it puts the store, the table and the loader together, starts and stops them in
order, and calls nodes. What they do is theirs.

Stopping goes sources, work, resources: the sources stop, what is under way gets the grace, then
nodes, shared things and the store are closed.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from time import monotonic
from types import TracebackType
from typing import Any, Self

import gevent
from gevent.event import Event

from greenflow.config import Settings
from greenflow.errors import GreenflowError, Inactive
from greenflow.lang import javascript
from greenflow.loader import Loader
from greenflow.node import Services
from greenflow.operations import Operations
from greenflow.packet import NOTHING, Fault
from greenflow.port import OutPort
from greenflow.process import Process
from greenflow.scheme import Scheme
from greenflow.store.base import Store, open_store
from greenflow.table import Table
from greenflow.value import adopt, copy

_log = logging.getLogger("greenflow.runtime")


class Runtime:
    """Runs the specs of one namespace of a store. A context manager that starts and stops it.

    `store` is a URL or an open store; a store that is handed in stays open. `specs` are applied
    before the start. It belongs to the hub, and so to the thread, that starts it.
    """

    def __init__(
        self,
        store: str | Store = "memory://",
        *,
        namespace: str | None = None,
        specs: Any = None,
        settings: Settings | None = None,
        scheme: Scheme | None = None,
    ) -> None:
        self.settings = settings or Settings()
        self.namespace = namespace or self.settings.namespace
        self.scheme = scheme or Scheme.installed()
        self._store, self._specs = store, specs
        self._registered: dict[str, Callable[..., Any]] = {}
        self._opened: Store | None = None
        self._services: Services | None = None
        self._table: Table | None = None
        self._loader: Loader | None = None
        self._holds_javascript = False

    # -- starting and stopping -----------------------------------------------------------------

    def start(self) -> None:
        """Open the store, load every spec, and run. A bad spec stops no other; `status` tells.

        Raises StoreUnavailable; SpecInvalid for the specs handed in.
        """
        if self._loader is not None:
            return
        self._opened = open_store(self._store) if isinstance(self._store, str) else self._store
        try:
            self._services = Services(self.namespace, self.settings, self.scheme)
            limits = self.settings.javascript
            javascript.hold(javascript.Limits(limits.workers, limits.timeout, limits.memory_mib))
            self._holds_javascript = True
            self._services.operations.update({**self.operations.opcodes(), **self._registered})
            self._table = Table(self._services)
            if self._specs is not None:
                self.operations.apply(self._specs)
            loader = Loader(self._table, self._opened.specs, self.namespace)
            loader.start()
            self._loader = loader
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the sources, give what is under way the grace, close everything."""
        if self._loader is not None:
            self._loader.stop()
            self._loader = None
        if self._table is not None:
            self._table.close()
            self._table = None
        if self._services is not None:
            self._finish(self._services)
            self._services.close()
            self._services = None
        if self._holds_javascript:
            javascript.release()
            self._holds_javascript = False
        if self._opened is not None:
            if isinstance(self._store, str):
                self._opened.close()
            self._opened = None

    def _finish(self, services: Services) -> None:
        """Wait for what no node holds any more: processes whose children go on, calls."""
        one_less, end = Event(), monotonic() + self.settings.grace
        for process in services.processes:
            process.on_exit(one_less.set)
        while services.processes and (left := end - monotonic()) > 0:
            one_less.clear()
            one_less.wait(left)
        for process in list(services.processes):
            process.exit(GreenflowError("the runtime stopped, and the grace is over"))

    def __enter__(self) -> Self:
        self.start()
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
        self._registered[opcode] = _guarded(function)

    # -- using it ------------------------------------------------------------------------------

    def call(
        self, node: str, payload: Any = None, *, port: str = "in", timeout: float | None = None
    ) -> Any:
        """Send a payload to a node, by name or id, in a process of its own; returns the answer.

        NOTHING is returned as None. Raises the error that the workflow answers, Inactive for a node
        that is not running, TimeoutError after `timeout` seconds: the process is exited then.
        """
        table, services = self._running()
        entry = OutPort()
        entry.links = (table.input(node, port),)
        process = Process(grace=self.settings.grace, registry=services.processes)
        try:
            with gevent.Timeout(timeout) as limit:
                (answer,) = process.ask(entry, adopt(payload))
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
            raise failure
        return None if answer is NOTHING else copy(answer)

    @property
    def operations(self) -> Operations:
        """What may be asked of the stored specs."""
        if self._opened is None:
            raise Inactive("the runtime is not started")
        scope = self.settings.syscall.namespace
        return Operations(self._opened.specs, self.scheme, self.namespace, scope)

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
        symbols = sorted(self.table.symbols.values(), key=lambda symbol: symbol.id)
        return [
            {
                "id": symbol.id,
                "name": symbol.name,
                "kind": symbol.version.document.get("kind"),
                "active": symbol.active,
                "reason": symbol.reason,
            }
            for symbol in symbols
        ]

    def _running(self) -> tuple[Table, Services]:
        if self._table is None or self._services is None:
            raise Inactive("the runtime is not started")
        return self._table, self._services


def _guarded(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of others for workflows: it gets copies, and what it returns is a payload."""

    @functools.wraps(function)
    def call(*arguments: Any) -> Any:
        return adopt(function(*map(copy, arguments)))

    return call
