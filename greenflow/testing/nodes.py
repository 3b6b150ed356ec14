"""`test` nodes: which there are in some specs, and the running of one.

Lives here: Workflow and NodeTest. The specs run in memory, in a runtime of their own for each test,
so that none sees what another did; what a workflow stores by `syscall` is stored there and nowhere
else. Sources that nothing in a workflow can reach stay still: no listener opens a port, no schedule
comes due.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from greenflow.config import Settings
from greenflow.engine.node import Node
from greenflow.engine.source import Source
from greenflow.errors import GreenflowError
from greenflow.nodes.test import SECONDS, Test
from greenflow.runtime import Runtime
from greenflow.scheme.registry import Scheme
from greenflow.store.base import open_store
from greenflow.testing.observing import FlowRecord, ObservingScheme
from greenflow.testing.running import GRACE, run_test


class Workflow:
    """What is tested: the documents of specs, as they are stored, and of the values they name."""

    def __init__(
        self,
        specs: Iterable[dict[str, Any]],
        values: Iterable[dict[str, Any]],
        settings: Settings,
        scheme: Scheme,
    ) -> None:
        self.specs = {document["id"]: document for document in specs}
        self.values, self.settings, self.scheme = list(values), settings, scheme
        names = {name: id for id, each in self.specs.items() if (name := each.get("name"))}
        self._next = {
            id: {link["id"] if link.get("id") else names.get(link.get("name")) for link in found}
            for id, document in self.specs.items()
            if (found := list(_links(document)))
        }
        self.tests = [id for id in self.specs if issubclass(self._kind(id), Test)]
        self._private = self._of_tests_alone()

    def of(self, test: str) -> list[dict[str, Any]]:
        """The documents that a test runs in: all but other tests and what they alone lead to, of
        which there is much, and which may be broken."""
        left_out = self._private - self._behind([test])
        return [document for id, document in self.specs.items() if id not in left_out]

    def _kind(self, id: str) -> type[Node[Any]]:
        try:
            return self.scheme.node_type(self.specs[id]["kind"])
        except (LookupError, GreenflowError):
            return Node  # what it is is not known here; the table says so of the symbol

    def _behind(self, ids: Iterable[str]) -> set[str]:
        """Nodes, and all they lead to."""
        found = set(ids)
        pending = list(found)
        while pending:
            for id in self._next.get(pending.pop(), ()):
                if id is not None and id not in found:
                    found.add(id)
                    pending.append(id)
        return found

    def _of_tests_alone(self) -> set[str]:
        """The tests, and what is reached from them alone. Not sources: other ways lead to them."""
        private = self._behind(self.tests)
        others = [
            id
            for id in self.specs
            if id not in private or (id not in self.tests and issubclass(self._kind(id), Source))
        ]
        return private - self._behind(others)


def _links(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The links in a document, sound or not."""
    links = document.get("links")
    for one in links.values() if isinstance(links, dict) else ():
        for link in one if isinstance(one, list) else [one]:
            if isinstance(link, dict):
                yield link


class NodeTest(NamedTuple):
    """One `test` node; `run` runs it."""

    workflow: Workflow
    id: str
    name: str
    source: str  # the file, or what else it comes from
    line: int  # of the file, from 1; 0 is unknown
    timeout: float = SECONDS  # unless its spec says something else

    def run(self) -> None:
        """Run it in a runtime of its own. Raises NodeTestFailed."""
        workflow = self.workflow
        grace = min(workflow.settings.grace, GRACE)
        # No broker of the service's: a test would take its events, and publish to its subscribers.
        settings = msgspec.structs.replace(workflow.settings, grace=grace, broker=Settings().broker)
        observing = ObservingScheme(workflow.scheme, FlowRecord(), {}, still=True)
        with open_store("memory://") as store:
            store.specs.apply(workflow.of(self.id))
            store.values.apply(workflow.values)
            with Runtime(store, settings=settings, scheme=observing, own_thread=False) as runtime:
                run_test(runtime, self.id, self.timeout)
