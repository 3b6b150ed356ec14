"""`greenflow get`: shows what is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from greenflow.cli.options import take_collection, with_settings

if TYPE_CHECKING:
    from greenflow.config import Settings


@click.command("get", short_help="Show what is stored.")
@click.argument("words", nargs=-1, metavar="[specs|values] [NAME]...")
@click.option("--all-namespaces", "-A", is_flag=True, help="Show every namespace.")
@with_settings()
def command(settings: Settings, words: tuple[str, ...], all_namespaces: bool) -> None:
    """Shows the stored specs (or values) of a namespace, all or those named, by name or id.

    JSON and YAML show them in full, as they can be applied again.
    """
    from greenflow.cli.collections import collection_of, find_named
    from greenflow.cli.output import print_data, print_table
    from greenflow.store.base import open_store

    collection_name, names = take_collection(words)
    if names and all_namespaces:
        raise click.UsageError("a NAME is one of a namespace: leave out --all-namespaces")
    with open_store(settings.database) as store:
        collection = collection_of(store, collection_name)
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
    if settings.output == "table":
        is_specs = collection_name == "specs"
        keys = ("namespace", "name", *(("kind",) if is_specs else ()), "id")
        print_table(
            [*map(str.upper, keys), "REVISION"],
            ((*map(record.document.get, keys), record.revision) for record in records),
        )
        return
    documents = [record.document for record in records]
    if collection_name == "values":
        from greenflow.cli.values import shown

        documents = [shown(document) for document in documents]
    print_data(documents, settings.output)
