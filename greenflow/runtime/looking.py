"""A runtime as the admin interface sees it.

Lives here: where the parts are that an Engine (admin/engine.py) asks for. What is made of them is
the interface's.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import gevent

from greenflow.admin.engine import Engine, Metrics
from greenflow.engine.services import Services
from greenflow.records import Records
from greenflow.runtime.assembly import Assembly
from greenflow.table.table import Table


class Looked(Engine):
    """The runtime whose parts these are. `refusal` is why it takes no calls, or nothing; `drain`
    and `call` are its own, to be called on its hub."""

    def __init__(
        self,
        parts: Assembly,
        drain: Callable[[], object],
        call: Callable[[str, Any, str, float | None], Any],
    ) -> None:
        self._assembly, self._drain, self._call = parts, drain, call
        self.settings, self.namespace = parts.settings, parts.namespace
        self.name = parts.settings.admin.name or parts.namespace
        self.store = parts.store_name
        self.began = time.time()
        self._draining: gevent.Greenlet[[], object] | None = None

    @property
    def running(self) -> tuple[Table, Services] | None:
        table, services = self._assembly._table, self._assembly._services
        return None if table is None or services is None else (table, services)

    @property
    def recorded(self) -> Records | None:
        return self._assembly._records

    @property
    def is_followed(self) -> bool:
        loader = self._assembly._loader
        return loader is not None and loader.connected

    @property
    def is_draining(self) -> bool:
        return self._assembly.is_draining

    @property
    def metrics(self) -> Metrics | None:
        exposition = self._assembly.exposition
        return None if exposition is None else exposition.pieces

    def drain(self) -> None:
        if self._draining is None:
            self._draining = gevent.spawn(self._drain)

    def call(self, node: str, payload: Any, port: str, timeout: float | None) -> Any:
        return self._call(node, payload, port, timeout)
