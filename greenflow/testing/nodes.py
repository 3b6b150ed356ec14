"""`test` nodes: which there are in some specs, and the running of one.

Lives here: NodeTest. The specs run in memory, in a runtime of their own for each test, so that none
sees what another did; what a workflow stores by `syscall` is stored there and nowhere else. Sources
that nothing in a workflow can reach stay still: no listener opens a port, no schedule comes due.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from greenflow.config import Settings
from greenflow.errors import GreenflowError
from greenflow.nodes.test import SECONDS, Test
from greenflow.runtime import Runtime
from greenflow.scheme import Scheme
from greenflow.store.base import open_store
from greenflow.testing.observing import ObservingScheme, Record
from greenflow.testing.running import GRACE, run_test


class Workflow(NamedTuple):
    """What is tested: the documents of specs, as they are stored, and of the values they name."""

    specs: list[dict[str, Any]]
    values: list[dict[str, Any]]
    settings: Settings
    scheme: Scheme


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
        specs, values, settings, scheme = self.workflow
        settings = msgspec.structs.replace(settings, grace=min(settings.grace, GRACE))
        observing = ObservingScheme(scheme, Record(), {}, still=True)
        with open_store("memory://") as store:
            store.specs.apply(specs)
            store.values.apply(values)
            with Runtime(store, settings=settings, scheme=observing, own_thread=False) as runtime:
                run_test(runtime, self.id, self.timeout)


def find_tests(documents: Iterable[Mapping[str, Any]], scheme: Scheme) -> Iterator[str]:
    """The ids of the `test` nodes among stored documents."""
    for document in documents:
        try:
            kind = scheme.node_type(document["kind"])
        except (LookupError, GreenflowError):
            continue  # what it is is not known here; the table says so of the node
        if issubclass(kind, Test):
            yield document["id"]
