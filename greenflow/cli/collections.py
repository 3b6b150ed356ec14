"""The two collections of a store, as the commands see them.

Lives here: what a word on the command line stands for in a store, what checks its documents, and
how one is found by what a person calls it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from greenflow.errors import UnknownSpec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from greenflow.config import Settings
    from greenflow.spec.batch import Validator
    from greenflow.store.base import Collection, Record, Store


def collection_of(store: Store, name: str) -> Collection:
    """The collection called `specs` or `values`."""
    return store.values if name == "values" else store.specs


def validator_of(name: str, settings: Settings) -> Validator:
    """What checks the documents of a collection, and says what they mean."""
    if name == "values":
        from greenflow.values.values import ValueValidator

        return ValueValidator()
    from greenflow.scheme.registry import Scheme

    return Scheme.installed(compat=settings.compat)


def find_named(collection: Collection, names: Iterable[str], namespace: str) -> list[Record]:
    """What is called so in a namespace: by name, or by id. A name comes before an id.

    Raises UnknownSpec, which says all that were not found.
    """
    records: dict[str, Record] = {}
    missing = []
    for name in names:
        found = collection.find({"namespace": namespace, "name": name}) or collection.find(
            {"namespace": namespace, "id": name}
        )
        if not found:
            missing.append(name)
        records.update((record.document["id"], record) for record in found)
    if missing:
        raise UnknownSpec(f"namespace {namespace}: nothing is called {', '.join(missing)}")
    return list(records.values())
