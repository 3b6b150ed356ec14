"""`greenflow get`: shows what is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from greenflow.cli.options import take_collection, with_settings

if TYPE_CHECKING:
    from greenflow.config import Settings
    from greenflow.store.base import Collection, Record


@click.command("get", short_help="Show what is stored.")
@click.argument("words", nargs=-1, metavar="[specs|values] [NAME]...")
@click.option("--all-namespaces", "-A", is_flag=True, help="Show every namespace.")
@with_settings()
def command(settings: Settings, words: tuple[str, ...], all_namespaces: bool) -> None:
    """Shows the stored specs (or values) of a namespace, all or those named, by name or id.

    JSON and YAML show them in full, as they can be applied again; the table also says which of them
    could not be active in a runtime, and why.
    """
    from greenflow.cli.collections import collection_of, find_named
    from greenflow.cli.output import print_data, print_table
    from greenflow.store.base import open_store

    collection_name, names = take_collection(words)
    if names and all_namespaces:
        raise click.UsageError("a NAME is one of a namespace: leave out --all-namespaces")
    faults: dict[str, str] = {}
    with open_store(settings.database) as store:
        collection = collection_of(store, collection_name)
        if settings.output == "table" and collection_name == "specs":
            faults = _faults(collection, None if all_namespaces else settings.namespace)
        if names:
            records = find_named(collection, names, settings.namespace)
        else:
            records = collection.find(None if all_namespaces else {"namespace": settings.namespace})
    records.sort(
        key=lambda record: (
            record.document["namespace"],
            record.document.get("name") or "",
            record.document["id"],
        )
    )
    if settings.output == "table" and collection_name == "specs":
        print_table(
            ("NAMESPACE", "NAME", "KIND", "ID", "REVISION", "INACTIVE BECAUSE"),
            (
                (
                    *_cells(record, "namespace", "name", "kind", "id"),
                    faults.get(record.document["id"]),
                )
                for record in records
            ),
        )
        return
    if settings.output == "table":
        print_table(
            ("NAMESPACE", "NAME", "ID", "REVISION"),
            (_cells(record, "namespace", "name", "id") for record in records),
        )
        return
    documents = [record.document for record in records]
    if collection_name == "values":
        from greenflow.cli.values import shown

        documents = [shown(document) for document in documents]
    print_data(documents, settings.output)


def _cells(record: Record, *keys: str) -> tuple[object, ...]:
    return (*map(record.document.get, keys), record.revision)


def _faults(collection: Collection, namespace: str | None) -> dict[str, str]:
    """Why specs would be inactive in a runtime, by id."""
    from greenflow.cli.activation import inactive
    from greenflow.scheme import Scheme

    scheme = Scheme.installed()
    by_namespace: dict[str, list[dict[str, Any]]] = {}
    for record in collection.find(None if namespace is None else {"namespace": namespace}):
        by_namespace.setdefault(record.document["namespace"], []).append(record.document)
    faults: dict[str, str] = {}
    for name, documents in by_namespace.items():
        faults |= inactive(documents, scheme, name)
    return faults
