"""Which stored specs can be active in a runtime, and why the others cannot.

Lives here: stored specs as a Graph for the rule of activity.py, without running them, and what is
said of them: `inactive`, in the words of a runtime, and `judge`, with their places and with what
can run but hardly does what it says. What only shows when a spec is opened, such as a database that
is away, a runtime says in its log.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any, NamedTuple

from greenflow.config import Settings
from greenflow.engine.foresight import Claim, Foresight
from greenflow.engine.node import Node
from greenflow.errors import GreenflowError, SpecFault, SpecInvalid
from greenflow.hub.breathing import unhurried
from greenflow.log import secret
from greenflow.scheme.compat.unclear import unclear
from greenflow.scheme.registry import Scheme
from greenflow.spec.fields import Link, Spec
from greenflow.spec.ports import canonical, has_port
from greenflow.spec.reference import Referred, referred_to
from greenflow.spec.template import Deferred, unbound
from greenflow.spec.undecoded import links_of
from greenflow.table.activity import lack, work_out
from greenflow.table.advice import advise
from greenflow.values.seal import Keys
from greenflow.values.values import Values

#: Links for which the node is looked for that was meant: that asks all nodes, and who has that many
#: wrong has not mistyped them.
MOST_ADVISED = 50


class Judgement(NamedTuple):
    """What is said of stored specs, by id. Nothing is said of one that can be active and means what
    it says."""

    faults: dict[str, list[SpecFault]]
    """Why it is inactive."""
    doubts: dict[str, list[SpecFault]]
    """What of it can run, and hardly does what it says."""


def inactive(
    documents: Iterable[dict[str, Any]],
    scheme: Scheme,
    namespace: str,
    values: Iterable[dict[str, Any]] = (),
    settings: Settings | None = None,
) -> dict[str, str]:
    """Why specs of a namespace are inactive, by id; those that can be active are not in it.
    `documents` are all specs of the namespace, ordered by id, `values` all values."""
    stored = _Stored(documents, scheme, namespace, values, settings or Settings())
    reasons = stored.reasons(stored.documents)
    return {id: reason for id, reason in reasons.items() if reason}


def judge(
    documents: Iterable[dict[str, Any]],
    scheme: Scheme,
    namespace: str,
    values: Iterable[dict[str, Any]],
    settings: Settings,
    about: Iterable[str],
) -> Judgement:
    """What is to be said of the specs with the ids `about`, of those that they lead to, and of
    those that lead to them. The rest of the arguments are as for `inactive`."""
    stored = _Stored(documents, scheme, namespace, values, settings)
    asked = list(about)
    reasons = stored.reasons(stored.around(asked))
    faults = {id: stored.explain(id, reason, reasons) for id, reason in reasons.items() if reason}
    doubts = {id: found for id in asked if (found := stored.doubts(id))}
    return Judgement(faults, doubts)


def _claims(kind: type[Node[Any]]) -> bool:
    """Whether nodes of a kind may claim something."""
    return kind.claims.__func__ is not Foresight.claims.__func__  # type: ignore[attr-defined]


def doubtful(
    documents: Iterable[dict[str, Any]],
    scheme: Scheme,
    namespace: str,
    values: Iterable[dict[str, Any]],
    settings: Settings,
) -> dict[str, list[SpecFault]]:
    """The doubts of a Judgement, whether the specs are active or not."""
    stored = _Stored(documents, scheme, namespace, values, settings)
    return {id: found for id in unhurried(stored.documents) if (found := stored.doubts(id))}


class _Stored:
    """The specs of a namespace, as they are stored. One is decoded when it is first asked for."""

    def __init__(
        self,
        documents: Iterable[dict[str, Any]],
        scheme: Scheme,
        namespace: str,
        values: Iterable[dict[str, Any]],
        settings: Settings,
    ) -> None:
        self.documents = {document["id"]: document for document in documents}
        self.scheme, self.namespace, self.settings = scheme, namespace, settings
        self.values = Values(namespace, settings.environment, Keys(settings.values.key))
        self.values.change({value["id"]: (value, 0) for value in values})
        self.names = {
            document["name"]: id for id, document in self.documents.items() if document.get("name")
        }
        self._advised = 0
        self._specs: dict[str, Spec | None] = {}
        self._faults: dict[str, list[SpecFault]] = {}
        self._deferred: set[str] = set()  # their ports depend on what they are rendered with
        self._referrers: dict[str, list[tuple[str, str]]] = {}
        for id, document in self.documents.items():
            for port, target in self._written(document):
                self._referrers.setdefault(target, []).append((id, port))

    def reasons(self, ids: Iterable[str]) -> dict[str, str]:
        """The rule, for these and all that depends on them. Of two that claim the same, and could
        be active otherwise, the first one is."""
        ids = list(ids)
        kinds = {id: self.scheme.known_type(self.documents[id]) for id in self.documents}
        claiming = [id for id, kind in kinds.items() if kind is not None and _claims(kind)]
        if not set(claiming).isdisjoint(ids):
            ids = self.around([*ids, *claiming])
        reasons = work_out(self, ids, {}, self.documents).reasons
        if self._take_claims([id for id in claiming if not reasons.get(id, "-")]):
            reasons = work_out(self, ids, {}, self.documents).reasons
        return reasons

    def _take_claims(self, ids: Iterable[str]) -> bool:
        """Give each what it claims, unless another one has it: that is its fault then."""
        taken: list[tuple[Claim, str]] = []
        for id in ids:
            spec = self.spec(id)
            if spec is None or id in self._deferred:
                continue
            for claim in self.scheme.node_type(spec.kind).claims(spec, self.settings):
                holder = next((other for had, other in taken if claim.meets(had)), None)
                if holder is None:
                    taken.append((claim, id))
                else:
                    name = self.documents[holder].get("name") or holder
                    reason = f"{claim.called} is taken by node {name!r}; choose another one"
                    self._faults.setdefault(id, []).append(SpecFault(claim.path, reason))
        return bool(self._faults.keys() & set(ids))

    def _written(self, document: dict[str, Any]) -> Iterator[tuple[str, str]]:
        """The out ports and the ids that a document leads to or is made of, as far as it can be
        read undecoded: as little as that costs."""
        for port, link in links_of(document):
            id = str(link.get("id") or self.names.get(str(link.get("name"))))
            if id in self.documents:
                yield port, id
        for called in referred_to(document):
            id = self.names.get(called, called)
            if id in self.documents:
                yield "", id  # as if by a port that no link has

    def around(self, ids: Iterable[str]) -> list[str]:
        """The ids, and all that can be reached from them over links, in either direction: what
        their being active may depend on, or depends on them. In the order of the documents."""
        seen: set[str] = set()
        stack = [id for id in ids if id in self.documents]
        while stack:
            id = stack.pop()
            if id not in seen:
                seen.add(id)
                stack += [target for _, target in self._written(self.documents[id])]
                stack += [referrer for referrer, _ in self.referrers_of(id)]
        return [id for id in self.documents if id in seen]

    def spec(self, id: str) -> Spec | None:
        """The spec, checked as a runtime checks it; None if it has a fault."""
        if id not in self._specs:
            self._specs[id] = None  # while it is asked whether it is inside of itself
            self._specs[id] = self._decoded(id, self.documents[id])
        return self._specs[id]

    def _decoded(self, id: str, document: dict[str, Any]) -> Spec | None:
        bindings = self.values.bindings(self.find, is_running=False)
        try:
            try:
                spec = self.scheme.decode(document, self.namespace, "$", bindings)
                self.scheme.ports(spec)
            except Deferred:
                self._deferred.add(id)
                return self.scheme.outline(document, self.namespace)
            faults = self.scheme.node_type(spec.kind).lacks(spec, self.scheme)
        except SpecInvalid as error:
            faults = list(error.faults)
        except GreenflowError as error:
            faults = [SpecFault("$", str(error))]
        if not faults:
            return spec
        held = secret.hold(bindings.inserted)
        self._faults[id] = [fault._replace(reason=secret.conceal(fault.reason)) for fault in faults]
        secret.release(held)
        return None

    def find(self, called: str) -> Referred | None:
        """What a spec refers to. What is wrong with it, it says itself."""
        id = self.names.get(called, called)
        if id not in self.documents:
            return None
        faults = self._faults.get(id, ()) if self.spec(id) is None else ()
        return Referred(
            self.documents[id],
            lambda fault: ("as stored", fault),
            fault="; ".join(map(str, faults)),
        )

    def doubts(self, id: str) -> list[SpecFault]:
        """What of a spec that is active hardly means what it says."""
        document = self.documents[id]
        found = [*unbound(document), *unclear(document, self.scheme)]
        spec = self.spec(id)
        if spec is not None and id not in self._deferred:
            found += self.scheme.node_type(spec.kind).doubts(spec, self.scheme)
        return found

    def explain(self, id: str, reason: str, reasons: dict[str, str]) -> list[SpecFault]:
        """The faults of an inactive spec, each at its place, with what may have been meant."""
        faults = self._faults.get(id)
        if faults:
            return [advise(fault, self.values.names()) for fault in faults]
        spec = self.spec(id)
        assert spec is not None
        for port, links in spec.links.items():
            for i, link in enumerate(links):
                why, _ = lack(self, [(port, link)], lambda target: not reasons[target])
                if why == reason:
                    place, why = f"$.links.{port}[{i}]", why.partition(": ")[2]
                    self._advised += 1
                    known = self._named if self._advised <= MOST_ADVISED else {}
                    return [advise(SpecFault(place, why), known, link, self.inputs(link))]
        return [SpecFault("$", reason)]

    @cached_property
    def _named(self) -> dict[str, str]:
        """The ids by name, or by themselves where there is no name."""
        return {document.get("name") or id: id for id, document in self.documents.items()}

    def inputs(self, link: Link) -> tuple[str, ...]:
        """The in ports of the node that a link leads to; none if there is no such node."""
        target = self.target(link)
        spec = None if target is None else self.spec(target)
        return () if spec is None else self.scheme.ports(spec)[0]

    # -- see Graph -------------------------------------------------------------------------------

    def fault(self, id: str) -> str:
        self.spec(id)
        return "; ".join(map(str, self._faults.get(id, ())))

    def links(self, id: str) -> Iterator[tuple[str, Link]]:
        spec = self.spec(id)
        for port, links in () if spec is None else spec.links.items():
            for link in links:
                yield port, link

    def target(self, link: Link) -> str | None:
        id = link.id or self.names.get(link.name or "")
        return id if id in self.documents else None

    def has_input(self, id: str, port: str) -> bool:
        spec = self.spec(id)
        if spec is None or id in self._deferred:
            return True
        return has_port(self.scheme.ports(spec)[0], canonical(port))

    def referrers_of(self, id: str) -> list[tuple[str, str]]:
        return self._referrers.get(id, [])

    def is_active(self, id: str) -> bool:
        return False  # nothing runs
