"""What people and workflows may ask of the stored specs: create, read, update, delete, apply.

Lives here: Operations: the checks and the defaults in front of a collection; and `apply_values`,
which does the same for values. How documents are kept is the store's, and what becomes of a change
is the loader's.

Raises SpecInvalid, DuplicateSpec, UnknownSpec, InvalidArgument and StoreUnavailable as they come;
whoever answers a workflow turns the first four into `invalid argument` (BEHAVIOUR 7.8).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from greenflow.engine.origin import located_in
from greenflow.errors import (
    CompileFailed,
    DuplicateSpec,
    GreenflowError,
    InvalidArgument,
    SpecFault,
    SpecInvalid,
    UnknownSpec,
)
from greenflow.spec.fields import COMMON, Spec, rename
from greenflow.spec.reference import Beside, Lookup, Referred
from greenflow.spec.signature import Signature
from greenflow.values.values import ValueValidator, sealed

if TYPE_CHECKING:
    from greenflow.scheme.registry import Scheme
    from greenflow.store.base import Collection, Record
    from greenflow.values.seal import Keys

_log = logging.getLogger("greenflow.store")

EVERYWHERE = "*"  # the scope of all namespaces (BEHAVIOUR 7.5)


class Operations:
    """The specs of a namespace. `scope` is what null reads and deletes: a namespace, or `*`."""

    def __init__(
        self, collection: Collection, scheme: Scheme, namespace: str, scope: str | None = None
    ) -> None:
        self.collection, self.scheme, self.namespace = collection, scheme, namespace
        self.scope = scope or namespace

    def create(self, documents: Any, signature: Signature | None = None) -> list[Record]:
        """Insert new specs; a known id or (namespace, name) is DuplicateSpec (BEHAVIOUR 7.2)."""
        return self.collection.insert(self._validated(documents), signature)

    def apply(self, documents: Any, signature: Signature | None = None) -> list[Record]:
        """Replace whole specs, or insert them (BEHAVIOUR 7.4)."""
        return self.collection.apply(self._validated(documents), signature)

    def update(self, patches: Any, signature: Signature | None = None) -> list[Record]:
        """Merge top-level fields into stored specs (BEHAVIOUR 7.3)."""
        named = [{"namespace": self.namespace, **patch} for patch in as_list(patches)]
        return self.collection.update(
            [self._renamed(patch) for patch in named],
            lambda merged: self.scheme.validate(merged, self.namespace, self._beside([])),
            signature,
        )

    def _translated(self, document: dict[str, Any]) -> dict[str, Any]:
        """The document as it is meant here (BEHAVIOUR 1.12)."""
        meaning = self.scheme.translated(document)
        for note in meaning.notes:
            _log.warning("%s: %s", document.get("name") or document.get("id"), note)
        return meaning.data

    def _renamed(self, patch: dict[str, Any]) -> dict[str, Any]:
        """The patch without aliases of fields, for what it is merged into has none either (1.6).
        Only the kind knows those of its own fields."""
        kind = patch.get("kind")
        if kind is None and not patch.keys() <= COMMON:
            key = "id" if patch.get("id") else "name"
            where = {"namespace": patch["namespace"], key: patch.get(key)}
            kind = next((record.document["kind"] for record in self.collection.find(where)), None)
        try:
            spec_type = self.scheme.node_type(kind).spec_type if isinstance(kind, str) else Spec
        except (LookupError, GreenflowError):
            spec_type = Spec  # what is wrong with the kind is said when the whole is checked
        if self.scheme.release is not None and isinstance(kind, str):
            meaning = self._translated({"kind": kind, **patch})
            patch = {key: value for key, value in meaning.items() if key in patch}
        return rename(spec_type, patch)

    def read(self, filter: Any = None) -> list[Record]:
        """The specs that a filter finds, in order of their ids (BEHAVIOUR 7.5)."""
        return self.collection.find(self._scoped(filter))

    def delete(self, filter: Any = None, signature: Signature | None = None) -> list[Record]:
        """Delete what a filter finds, and return it as it was."""
        return self.collection.delete(self._scoped(filter), signature)

    def _validated(self, documents: Any) -> list[dict[str, Any]]:
        given = [self._translated(document) for document in as_list(documents)]
        beside = self._beside(given)
        return [self.scheme.validate(document, self.namespace, beside) for document in given]

    def _beside(self, documents: list[dict[str, Any]]) -> Beside:
        """What a document may refer to: the others, and what is stored."""
        located = [(document, partial(_located, document)) for document in documents]
        return Beside(located, self.namespace, lookup_in(self.collection))

    def _scoped(self, filter: Any) -> Mapping[str, Any] | None:
        if filter is not None and not isinstance(filter, Mapping):
            raise InvalidArgument("a filter is null or a map")
        if not filter:
            return None if self.scope == EVERYWHERE else {"namespace": self.scope}
        if _mentions_namespace(filter):
            return filter
        return {"$and": [{"namespace": self.namespace}, filter]}

    def opcodes(self) -> dict[str, Callable[..., list[dict[str, Any]]]]:
        """What workflows may call (BEHAVIOUR 14.2): each takes the payload and answers
        documents. The collection has two names (1.6)."""
        operations = {
            "create": _opcode(self.create),
            "read": _opcode(lambda filter, signature: self.read(filter)),
            "update": _opcode(self.update),
            "delete": _opcode(self.delete),
        }
        return {
            f"{collection}.{name}": operation
            for collection in ("nodes", "specs")
            for name, operation in operations.items()
        }


def _located(document: Mapping[str, Any], fault: SpecFault) -> tuple[str, SpecFault]:
    return str(document.get("name") or document.get("id")), fault


def lookup_in(collection: Collection) -> Lookup:
    """What finds the stored specs that others refer to."""

    def find(namespace: str, called: str) -> Referred | None:
        within = {"namespace": namespace}
        records = collection.find({**within, "name": called}) or collection.find(
            {**within, "id": called}
        )
        if not records:
            return None
        document, revision = records[0].document, records[0].revision
        located = partial(located_in, None, document["id"], revision)
        return Referred(document, located, revision)

    return find


def _opcode(
    operation: Callable[[Any, Signature | None], list[Record]],
) -> Callable[..., list[dict[str, Any]]]:
    """The operation for workflows: bad input is `invalid argument` (BEHAVIOUR 7.8), and the node
    that calls signs."""

    def call(payload: Any, *, signature: Signature | None = None) -> list[dict[str, Any]]:
        try:
            return [record.document for record in operation(payload, signature)]
        except (SpecInvalid, CompileFailed, DuplicateSpec, UnknownSpec) as error:
            raise InvalidArgument(error) from error

    return call


def apply_values(
    collection: Collection,
    documents: Any,
    namespace: str,
    keys: Keys,
    signature: Signature | None = None,
) -> list[Record]:
    """Store whole values, in place of those with their id or name (BEHAVIOUR 16.1); their data is
    encrypted if there is a key. Raises SpecInvalid for what is no value, else as `apply`."""
    validator = ValueValidator()
    valid = [validator.validate(document, namespace) for document in as_list(documents)]
    stored: list[Record] = []
    if keys:
        ids = [each["id"] for each in valid if each.get("id")]
        names = [each["name"] for each in valid if each.get("name")]
        stored = collection.find({"$or": [{"id": {"$in": ids}}, {"name": {"$in": names}}]})
    return collection.apply(sealed(valid, (record.document for record in stored), keys), signature)


def as_list(documents: Any) -> list[dict[str, Any]]:
    """One spec or a list of them as a list (BEHAVIOUR 7.7). Raises InvalidArgument."""
    many = documents if isinstance(documents, list) else [documents]
    for document in many:
        if not isinstance(document, dict):
            raise InvalidArgument("a spec is a map; give one, or a list of them")
    return many


def _mentions_namespace(filter: Any) -> bool:
    if isinstance(filter, Mapping):
        return any(key == "namespace" or _mentions_namespace(filter[key]) for key in filter)
    return isinstance(filter, list) and any(map(_mentions_namespace, filter))
