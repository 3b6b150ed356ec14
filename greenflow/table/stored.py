"""Which stored specs can be active in a runtime, and why the others cannot.

Lives here: stored specs as a Graph for the rule of activity.py, without running them. What only
shows when a spec is rendered or opened, such as an address that is in use, a runtime says in its
log.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from greenflow.errors import GreenflowError
from greenflow.scheme.registry import Scheme
from greenflow.spec.fields import Link, Spec
from greenflow.spec.ports import canonical, has_port
from greenflow.spec.template import Deferred
from greenflow.table.activity import work_out


def inactive(
    documents: Iterable[dict[str, Any]],
    scheme: Scheme,
    namespace: str,
    values: Iterable[dict[str, Any]] = (),
) -> dict[str, str]:
    """Why specs of a namespace are inactive, by id; those that can be active are not in it.
    `documents` are all specs of the namespace, `values` all values."""
    known = {called for value in values for called in (value["id"], value.get("name"))}
    stored = _Stored(scheme, namespace, known)
    for document in documents:
        stored.add(document)
    stored.index()
    ids = [*stored.specs, *stored.faults]
    reasons = work_out(stored, dict.fromkeys(ids), {}, stored.faults).reasons
    return {id: reason for id, reason in reasons.items() if reason}


class _Stored:
    """The specs of a namespace, as they are stored."""

    def __init__(self, scheme: Scheme, namespace: str, values: set[Any]) -> None:
        self.scheme, self.namespace, self.values = scheme, namespace, values
        self.specs: dict[str, Spec] = {}
        self.faults: dict[str, str] = {}
        self.names: dict[str, str] = {}
        self.deferred: set[str] = set()  # their ports depend on what they are rendered with
        self._referrers: dict[str, list[tuple[str, str]]] = {}

    def add(self, document: dict[str, Any]) -> None:
        """Take a spec in, checked as a runtime checks it."""
        id = document["id"]
        if document.get("name"):
            self.names[document["name"]] = id
        try:
            spec = self.scheme.decode(document, self.namespace)
        except Deferred:
            spec = self.scheme.outline(document, self.namespace)
            self.deferred.add(id)
        except GreenflowError as error:
            self.faults[id] = str(error)
            return
        self.specs[id] = spec
        for key, value in spec.env.items():
            called = value.id or value.name
            if called is not None and called not in self.values:
                self.faults[id] = (
                    f"$.env.{key}: no value {called!r} in namespace {self.namespace!r}"
                )

    def index(self) -> None:
        """All specs are here: find out who links to whom."""
        for id in self.specs:
            for port, link in self.links(id):
                target = self.target(link)
                if target is not None:
                    self._referrers.setdefault(target, []).append((id, port))

    def fault(self, id: str) -> str:
        return self.faults.get(id, "")

    def links(self, id: str) -> Iterator[tuple[str, Link]]:
        spec = self.specs.get(id)
        for port, links in () if spec is None else spec.links.items():
            for link in links:
                yield port, link

    def target(self, link: Link) -> str | None:
        id = link.id or self.names.get(link.name or "")
        return id if id in self.specs or id in self.faults else None

    def has_input(self, id: str, port: str) -> bool:
        if id in self.deferred or id not in self.specs:
            return True
        return has_port(self.scheme.ports(self.specs[id])[0], canonical(port))

    def referrers_of(self, id: str) -> list[tuple[str, str]]:
        return self._referrers.get(id, [])

    def is_active(self, id: str) -> bool:
        return False  # nothing runs
