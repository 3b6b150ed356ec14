"""What a runtime holds while it runs, put together in order and taken apart in the other.

Lives here: Assembly: the store, the table, the loaders and what is shared, opened and closed on the
hub that they live on. When that is, and who may call it, is Runtime's.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from functools import partial
from time import monotonic, time
from typing import TYPE_CHECKING, Any, TypeVar

import gevent
from gevent.event import Event
from gevent.hub import Hub

from greenflow import lang
from greenflow.broker import open_broker
from greenflow.config import Settings, of_languages, secrets
from greenflow.engine.culprit import running_in
from greenflow.engine.node import Node
from greenflow.engine.services import Services
from greenflow.errors import GreenflowError, Inactive
from greenflow.hub import guard, patching
from greenflow.hub.clock import Clock
from greenflow.hub.lag import Lag
from greenflow.log import secret
from greenflow.log.access import open_access_log
from greenflow.log.redactor import redact_url
from greenflow.records import Records
from greenflow.scheme.registry import Scheme
from greenflow.store.base import Store, open_store
from greenflow.store.change import SPECS, VALUES
from greenflow.store.operations import Operations, apply_values
from greenflow.table.loader import Loader
from greenflow.table.table import Table

if TYPE_CHECKING:
    from greenflow.metrics.exposing import Exposition
    from greenflow.runtime.exporting import Exporting

T = TypeVar("T")

# What runtimes held when this OS process was forked: nothing of it is closed here.
_left_to_the_parent: list[dict[str, Any]] = []


class Assembly:
    """The parts of one namespace, running; none of them before it is opened."""

    def __init__(
        self,
        store: str | Store,
        namespace: str | None,
        specs: Any,
        settings: Settings | None,
        scheme: Scheme | None,
        clock: Clock | None,
        seed: int | None,
        listen: bool,
        values: Any,
    ) -> None:
        self.settings = settings or Settings()
        self.namespace = namespace or self.settings.namespace
        self.scheme = scheme or Scheme.installed(compat=self.settings.compat)
        self._store, self._specs, self._values, self._listens = store, specs, values, listen
        self._clock, self._seed = clock or Clock(), seed
        #: Where a person finds a spec, for logs: given an id and a path in the spec, its
        #: `file:line:column`, or None. Set before the start by who knows the files.
        self.locate: Callable[[str, str], str | None] | None = None
        self.is_draining = False  # its sources have stopped for good
        self._registered: dict[str, Callable[..., Any]] = {}
        self._opened: Store | None = None
        self._services: Services | None = None
        self._table: Table | None = None
        self._loader: Loader | None = None
        self._values_loader: Loader | None = None
        self._records: Records | None = None
        self._secrets: frozenset[str] = frozenset()
        self._languages: dict[str, Any] | None = None  # what those that it holds were told
        self._guarded: Hub | None = None
        self._exporting: Exporting | None = None
        self._lag: Lag | None = None
        self._exposition: Exposition | None = None
        self._began = 0.0  # by monotonic()

    @property
    def store_name(self) -> str:
        """What a person calls its store, without the secrets of a URL."""
        return redact_url(self._store) if isinstance(self._store, str) else "handed in"

    @property
    def exposition(self) -> Exposition | None:
        """What it counts; None unless it runs. Used on its hub."""
        if self._exposition is None and self._table is not None and self._loader is not None:
            from greenflow.metrics.collecting import Parts
            from greenflow.metrics.exposing import Exposition

            assert self._services is not None
            assert self._lag is not None
            began = time() - (monotonic() - self._began)
            assert self._records is not None
            parts = Parts(
                self._table,
                self._services,
                self._loader,
                self._lag,
                self._records,
                self.store_name,
                began,
            )
            self._exposition = Exposition(parts)
        return self._exposition

    def _metrics(self) -> bytes:
        if self.exposition is None:
            raise Inactive("the runtime is not started")
        return b"".join(self.exposition.pieces()[1])

    def _families(self) -> list[Any]:
        return [] if self.exposition is None else list(self.exposition.families())

    def _status(self) -> list[dict[str, Any]]:
        if self._table is None:
            raise Inactive("the runtime is not started")
        return [
            {
                "id": symbol.id,
                "name": symbol.name,
                "kind": symbol.version.document.get("kind"),
                "active": symbol.active,
                "reason": symbol.reason,
            }
            for symbol in sorted(self._table.symbols.values(), key=lambda symbol: symbol.id)
        ]

    def _open(self) -> None:
        patching.check()
        self._secrets = secret.hold(secrets(self.settings))
        try:
            self._opened = open_store(self._store) if isinstance(self._store, str) else self._store
            self._services = Services(
                self.namespace,
                self.settings,
                self.scheme,
                self._clock,
                seed=self._seed,
                listens=self._listens,
                broker=open_broker(self.settings.broker, self.namespace, self._clock),
            )
            self._services.locate = self.locate
            self._records = Records(
                self.namespace, self.settings.records, self._at_home, self._node_of
            )
            self._services.recorder = self._records.recorder
            self._lag, self._began = Lag(), monotonic()
            if (access := self.settings.log.access) is not None:
                form = self.settings.log.access_format
                self._services.access = open_access_log(access, form)
            if self.settings.tracing.to:
                from greenflow.runtime.exporting import Exporting

                self._exporting = Exporting(self.settings.tracing)
                self._services.tracer = self._exporting.tracer
            self._languages = of_languages(self.settings)
            lang.hold(self._languages)
            self._services.operations.update({**self._operations().opcodes(), **self._registered})
            self._table = Table(self._services)
            values = self._services.values
            if self._values is not None:
                apply_values(self._opened.values, self._values, self.namespace, values.keys)
            if self._specs is not None:
                self._operations().apply(self._specs)
            values.changed = self._on_values
            self._values_loader = Loader(
                values,
                self._opened.values,
                self.namespace,
                "values stay as they are",
                claim=partial(self._opened.claim, self.namespace, VALUES),
            )
            self._values_loader.start()  # specs are bound to them
            loader = Loader(
                self._table,
                self._opened.specs,
                self.namespace,
                tend=partial(_thin, self._opened, self.settings),
                claim=partial(self._opened.claim, self.namespace, SPECS),
                loaded=self._on_specs,
            )
            loader.start()
            self._loader = loader
            if self.settings.hub_guard:
                self._guarded = gevent.get_hub()
                guard.hold(self._guarded, self.settings.hub_guard, running_in)
        except BaseException:
            self._close()
            raise

    def _on_values(self, keys: Set[tuple[str, str]]) -> None:
        if self._table is not None:
            self._table.change({}, values=keys)

    def _at_home(self, function: Callable[..., T], *args: Any) -> T:
        """Run a function on the hub that all of this lives on."""
        raise NotImplementedError

    @property
    def records(self) -> Records:
        """What ran: the processes that failed, the slowest of each minute, and a sample. Raises
        Inactive before the start."""
        if self._records is None:
            raise Inactive("the runtime is not started")
        return self._records

    def _node_of(self, name: str) -> Node[Any] | None:
        """The node of that name or id that runs now."""
        try:
            symbol = None if self._table is None else self._table.find(name)
        except Inactive:
            return None
        return symbol.version.node if symbol is not None and symbol.active else None

    def _on_specs(self) -> None:
        """The newest specs run: which change that is, records say."""
        if self._opened is not None and self._records is not None:
            self._records.recorder.changed(self._opened.history.newest(self.namespace))

    def _operations(self) -> Operations:
        if self._opened is None:
            raise Inactive("the runtime is not started")
        scope = self.settings.syscall.namespace
        return Operations(self._opened.specs, self.scheme, self.namespace, scope)

    def _close(self) -> None:
        self._stop_following()
        self._loader = self._values_loader = None
        if self._records is not None:
            self._records.close()
        if self._table is not None:
            self._table.close()
            self._table = None
        if self._services is not None:
            self._finish(self._services)
            self._services.close()
            if self._services.access is not None:
                self._services.access.close()
            self._services = None
        if self._records is not None:
            self._records.end()
            self._records = None
        self._exposition = None
        if self._lag is not None:
            self._lag.close()
            self._lag = None
        if self._exporting is not None:
            self._exporting.close()
            self._exporting = None
        if self._guarded is not None:
            guard.release(self._guarded)
            self._guarded = None
        if self._languages is not None:
            lang.release(self._languages)
            self._languages = None
        if self._opened is not None:
            if isinstance(self._store, str):
                self._opened.close()
            self._opened = None
        secret.release(self._secrets)
        self._secrets = frozenset()

    def _stop_following(self) -> None:
        """The end begins: what is under way may end; what never would is soon over its budget."""
        if self._services is not None:
            self._services.broker.wind_down()
        self.hurry()
        for loader in (self._values_loader, self._loader):
            if loader is not None:
                loader.stop()

    def hurry(self) -> None:
        """The end is near: what goes round in the graph has not much left (BEHAVIOUR 17.7). Nothing
        waits in here, and whoever was interrupted for it goes on as before: a signal handler may
        call it, while the hub has thousands of greenlets to run first."""
        if self._services is not None:
            for process in list(self._services.processes):
                process.hurry(self._services.cycles)

    def _finish(self, services: Services) -> None:
        """End what no node holds any more: processes whose children go on, calls."""
        self._await_processes(services)
        # Side by side: each may wait once more for calls that must not be interrupted.
        error = GreenflowError("the runtime stopped, and the grace is over")
        exits = [gevent.spawn(each.exit, error) for each in services.processes]
        gevent.joinall(exits, raise_error=True)

    def _await_processes(self, services: Services) -> None:
        one_less, end = Event(), monotonic() + self.settings.grace
        for process in services.processes:
            process.on_exit(one_less.set)
        while services.processes and (left := end - monotonic()) > 0:
            one_less.clear()
            one_less.wait(left)

    def _forked(self) -> None:
        """In the child of a fork: what was put together is the parent's."""
        _left_to_the_parent.append(self.__dict__.copy())
        self._opened = self._services = self._table = self._loader = self._records = None
        self._values_loader = None
        self._languages = self._guarded = self._exporting = self._lag = self._exposition = None


def _thin(store: Store, settings: Settings) -> None:
    """Forget the changes that are older than the settings say (BEHAVIOUR 7.21)."""
    keep = settings.history
    store.history.thin(keep.keep, time() - keep.days * 24 * 60 * 60)
