"""What will become of what is stored, told at the places of the files.

Lives here: StoreChange, what an apply or a rollback does to the specs and values of a store, and
the Verdict on it. It asks table/stored.py, which has the rule of the engine, and puts the answer
into lines, `file:line:column: name: reason`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from greenflow.errors import SpecFault
from greenflow.log.redactor import redact
from greenflow.spec.batch import Entry
from greenflow.spec.fields import as_written
from greenflow.store.document import new_id

if TYPE_CHECKING:
    from greenflow.config import Settings
    from greenflow.scheme.registry import Scheme
    from greenflow.store.base import Rewrite, Store
    from greenflow.table.stored import Judgement

#: What `apply` and `rollback` end with when all is stored, or would be, and some of it will not run
#: or hardly as it is meant.
WILL_NOT_RUN = 5

#: Said of what could be active before. Whether an engine runs it, nobody knows here.
_KEPT = "; an engine that runs the old version runs it on, and a restart would not bring it back"

# How a missing node is called in table/activity.py's reason.
_NO_NODE = re.compile(r"no node '(.*)' in namespace")

Documents = dict[str, dict[str, Any]]  # by id


class Verdict(NamedTuple):
    """Lines about specs that will not run, and about those that will, but hardly as meant, by id;
    `about` is how many were asked for."""

    about: int
    inactive: dict[str, list[str]]
    doubtful: dict[str, list[str]]

    def __bool__(self) -> bool:
        """Whether there is something to say."""
        return bool(self.inactive or self.doubtful)

    def tell(self, end: str = "") -> None:
        """Print it to standard error, and `end`."""
        for these, what in (
            (self.inactive, "will not run:"),
            (self.doubtful, "will run, but hardly as meant:"),
        ):
            if these:
                click.echo(f"{len(these)} of {self.about} {what}", err=True)
            for line in (line for lines in these.values() for line in lines):
                click.echo(f"  {redact(line)}", err=True)
        if end:
            click.echo(end, err=True)


class StoreChange:
    """A change of the specs and values that a store has in some namespaces. It is made before they
    are changed, and asked while the store is open."""

    def __init__(self, store: Store, namespaces: Iterable[str]) -> None:
        self._store, self.namespaces = store, sorted(set(namespaces))
        where = {"namespace": {"$in": self.namespaces}}
        self.specs = {r.document["id"]: r.document for r in store.specs.find(where)}
        self.values = {r.document["id"]: r.document for r in store.values.find(where)}

    def verdict(
        self,
        specs: Rewrite,
        values: Rewrite,
        scheme: Scheme,
        settings: Settings,
        origins: Sequence[Entry | str] = (),
    ) -> Verdict:
        """What will become of the specs that are stored so, and of those that run and are touched.
        `origins` say of each spec that is stored where it is written: an entry of a file, or a
        place. Documents have ids, or are as they are applied (BEHAVIOUR 7.4)."""
        stored, ids = _merged(self.specs, specs)
        keys, _ = _merged(self.values, values)
        written = dict(zip(ids, origins, strict=True)) if origins else dict.fromkeys(ids, "")
        depends = bool(specs.gone or values.documents or values.gone)  # any spec may
        return self._of(scheme, settings, stored, keys, written, depends)

    def _of(
        self,
        scheme: Scheme,
        settings: Settings,
        specs: Documents,
        values: Documents,
        written: Mapping[str, Entry | str],
        depends: bool,
    ) -> Verdict:
        from greenflow.table import stored

        def judged(specs: Documents, values: Documents, namespace: str) -> Judgement:
            ours, theirs = (
                [each for each in documents.values() if each["namespace"] == namespace]
                for documents in (specs, values)
            )
            about = [each["id"] for each in ours if depends or each["id"] in written]
            return stored.judge(ours, scheme, namespace, theirs, settings, about)

        verdict = Verdict(len(written or specs), {}, {})
        for namespace in self.namespaces:
            faults, doubts = judged(specs, values, namespace)
            before = judged(self.specs, self.values, namespace).faults if faults else {}
            for id in faults:
                ran = id in self.specs and id not in before
                if id in written or ran:
                    told = [self._sought(fault, namespace, specs) for fault in faults[id]]
                    said = _lines(scheme, specs[id], written.get(id, ""), told)
                    verdict.inactive[id] = [line + _KEPT * ran for line in said]
            for id in doubts.keys() & written.keys():
                these = verdict.inactive if id in faults else verdict.doubtful
                said = _lines(scheme, specs[id], written[id], doubts[id])
                these.setdefault(id, []).extend(said)
        order = {id: number for number, id in enumerate(written)}
        for these in (verdict.inactive, verdict.doubtful):
            for id in sorted(these, key=lambda id: order.get(id, len(order))):
                these[id] = these.pop(id)
        return verdict

    def _sought(self, fault: SpecFault, namespace: str, specs: Documents) -> SpecFault:
        """The fault; that of a link also says where else there is such a node."""
        missing = _NO_NODE.match(fault.reason)
        if missing is None:
            return fault
        stored = self._store.specs.find({"name": missing[1], "namespace": {"$ne": namespace}})
        others = {record.document["namespace"] for record in stored}
        others |= {
            each["namespace"]
            for each in specs.values()
            if each.get("name") == missing[1] and each["namespace"] != namespace
        }
        if not others:
            return fault
        known = ", ".join(map(repr, sorted(others)))
        return SpecFault(fault.path, f"{fault.reason}; there is one in namespace {known}")


def _merged(stored: Documents, rewrite: Rewrite) -> tuple[Documents, list[str]]:
    """What is stored when it was rewritten so, ordered by id, and the ids of what it stores."""
    documents = {id: each for id, each in stored.items() if id not in rewrite.gone}
    named = {(each["namespace"], each.get("name")): id for id, each in documents.items()}
    ids: list[str] = []
    for document in rewrite.documents:
        name = document.get("name")
        id = document.get("id") or (name and named.get((document["namespace"], name)))
        ids.append(id or new_id())
        documents[ids[-1]] = {**document, "id": ids[-1]}
    return {id: documents[id] for id in sorted(documents)}, ids


def doubts(
    entries: Iterable[Entry], scheme: Scheme, namespace: str, settings: Settings
) -> Iterator[str]:
    """The lines about specs of a namespace that can run, but hardly as they are meant."""
    from greenflow.table.stored import doubtful

    ours = {entry.data["id"]: entry for entry in entries if entry.data["namespace"] == namespace}
    found = doubtful((entry.data for entry in ours.values()), scheme, namespace, (), settings)
    for id, faults in found.items():
        yield from _lines(scheme, ours[id].data, ours[id], faults)


def _lines(
    scheme: Scheme, document: dict[str, Any], origin: Entry | str, faults: Iterable[SpecFault]
) -> Iterator[str]:
    for fault in faults:
        if isinstance(origin, str):
            place = origin or f"stored in namespace {document['namespace']}"
        else:
            written = origin.document.data
            kind = scheme.node_type(written["kind"]).spec_type
            path = as_written(kind, written, fault.path)
            place, located = origin.document.located(fault._replace(path=path))
            fault = located._replace(path=fault.path)
        said = str(fault).removeprefix("$: ")
        yield f"{place}: {document.get('name') or document['id']}: {said}"
