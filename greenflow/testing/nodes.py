"""`test` nodes: which there are in some specs, and the running of one.

Lives here: Workflow and NodeTest. The specs run in memory, in a runtime of their own for each test,
so that none sees what another did; what a workflow stores by `syscall` is stored there and nowhere
else. No source begins by itself (sources.py), and no node reaches outside that the test does not
allow (outside.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from greenflow.config import Settings
from greenflow.engine.node import Node
from greenflow.errors import GreenflowError
from greenflow.nodes.test import SECONDS, Test
from greenflow.nodes.trigger import Trigger
from greenflow.runtime import Runtime
from greenflow.scheme.registry import Scheme
from greenflow.spec.reference import referred_to
from greenflow.store.base import open_store
from greenflow.testing.observing import FlowRecord, ObservingScheme
from greenflow.testing.outside import Outside
from greenflow.testing.running import GRACE, run_test
from greenflow.testing.sources import Sources


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
        self._names = {name: id for id, each in self.specs.items() if (name := each.get("name"))}
        self.tests = [id for id in self.specs if issubclass(self._kind(id), Test)]
        self._private = self._of_tests_alone()

    def of(self, test: str) -> list[dict[str, Any]]:
        """The documents that a test runs in: all but other tests and what they alone lead to, of
        which there is much, and which may be broken."""
        left_out = self._private - self._behind([test])
        return [document for id, document in self.specs.items() if id not in left_out]

    def behind(self, id: str, *, events: bool) -> list[dict[str, Any]]:
        """The documents of a node and all that it leads to; with `events` also through the topics
        of `trigger` nodes, of which all take part then."""
        found = self._behind([id])
        if events and any(map(self._is_trigger, found)):
            found |= self._behind(filter(self._is_trigger, self.specs))
        return [self.specs[each] for each in self.specs if each in found]

    def _is_trigger(self, id: str) -> bool:
        return issubclass(self._kind(id), Trigger)

    def _kind(self, id: str) -> type[Node[Any]]:
        try:
            return self.scheme.node_type(self.specs[id]["kind"])
        except (LookupError, GreenflowError):
            return Node  # what it is is not known here; the table says so of the symbol

    def _behind(self, ids: Iterable[str]) -> set[str]:
        """Nodes, and all they lead to, and are made of."""
        found = set(ids)
        pending = list(found)
        while pending:
            document = self.specs[pending.pop()]
            called = [
                link["id"] if link.get("id") else self._names.get(link.get("name"))
                for link in _links(document)
            ]
            called += (self._names.get(name, name) for name in referred_to(document))
            for id in called:
                if isinstance(id, str) and id in self.specs and id not in found:
                    found.add(id)
                    pending.append(id)
        return found

    def _of_tests_alone(self) -> set[str]:
        """The tests, and what is reached from them alone. Not sources: other ways lead to them."""
        private = self._behind(self.tests)
        others = [
            id
            for id in self.specs
            if id not in private or (id not in self.tests and self.scheme.begins(self.specs[id]))
        ]
        return private - self._behind(others)


def _links(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The links in a document, sound or not; also those of the specs in it, which may lead out."""
    links = document.get("links", document.get("ports"))
    for one in links.values() if isinstance(links, dict) else ():
        for link in one if isinstance(one, list) else [one]:
            if isinstance(link, dict):
                yield link
    inner = document.get("specs", document.get("nodes"))
    for one in inner if isinstance(inner, list) else [inner]:
        if isinstance(one, dict):
            yield from _links(one)


class NodeTest(NamedTuple):
    """One `test` node; `run` runs it."""

    workflow: Workflow
    id: str
    name: str
    source: str  # the file, or what else it comes from
    line: int  # of the file, from 1; 0 is unknown
    timeout: float = SECONDS  # unless its spec says something else
    allowed: frozenset[str] = frozenset()  # beside those that its spec allows

    def run(self) -> None:
        """Run it in a runtime of its own. Raises NodeTestFailed and ReachedOutside."""
        workflow = self.workflow
        grace = min(workflow.settings.grace, GRACE)
        # No broker of the service's: a test would take its events, and publish to its subscribers.
        settings = msgspec.structs.replace(workflow.settings, grace=grace, broker=Settings().broker)
        sources = Sources()
        outside = Outside(self.allowed.union(_allowed(workflow.specs[self.id])))
        observing = ObservingScheme(
            workflow.scheme, FlowRecord(), {}, sources=sources, outside=outside
        )
        with open_store("memory://") as store:
            store.specs.apply(workflow.of(self.id))
            store.values.apply(workflow.values)
            with Runtime(store, settings=settings, scheme=observing, own_thread=False) as runtime:
                # Of a node that was refused as others were loaded, its state tells who needs it.
                outside.reached.clear()
                sources.open()
                run_test(runtime, self.id, self.timeout, outside)


def _allowed(document: Mapping[str, Any]) -> list[str]:
    """The field `allow` of a test, sound or not."""
    allow = document.get("allow")
    return [one for one in (allow if isinstance(allow, list) else [allow]) if isinstance(one, str)]
