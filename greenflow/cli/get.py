"""`greenflow get`: shows what is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from greenflow.cli.options import take_collection, with_settings

if TYPE_CHECKING:
    from greenflow.config import Settings
    from greenflow.store.base import Record, Store


#: Said when some specs are inactive: their versions that run are not in the store.
KEPT = (
    "An engine that ran an older version of what is inactive runs that on; "
    "a restart would not bring it back."
)


@click.command("get", short_help="Show what is stored.")
@click.argument("words", nargs=-1, metavar="[specs|values] [NAME]...")
@click.option("--all-namespaces", "-A", is_flag=True, help="Show every namespace.")
@click.option("--reveal", is_flag=True, help="Show the data of values, decrypted.")
@click.option("--source", is_flag=True, help="Show specs as they were written, with comments.")
@with_settings()
def command(
    settings: Settings, words: tuple[str, ...], all_namespaces: bool, reveal: bool, source: bool
) -> None:
    """Shows the stored specs (or values) of a namespace, all or those named, by name or id.

    JSON and YAML show them in full, as they can be applied again, but for the data of values, which
    takes --reveal; the table of specs also says which of them could not be active in a runtime, and
    why, and with --output wide the state of each.
    """
    from greenflow.cli.collections import collection_of, find_named
    from greenflow.cli.output import TABLES, print_data, print_table
    from greenflow.store.base import open_store
    from greenflow.values.seal import Keys
    from greenflow.values.values import is_encrypted, revealed, shown

    collection_name, names = take_collection(words)
    if names and all_namespaces:
        raise click.UsageError("a NAME is one of a namespace: leave out --all-namespaces")
    if reveal and (collection_name != "values" or settings.output in TABLES):
        raise click.UsageError("--reveal shows values, with --output json or yaml")
    if source and (collection_name == "values" or all_namespaces or settings.output != "table"):
        raise click.UsageError("--source shows specs of one namespace, as text")
    in_table = settings.output in TABLES and not source
    faults: dict[str, str] = {}
    with open_store(settings.database, create=False) as store:
        collection = collection_of(store, collection_name)
        if in_table and collection_name == "specs":
            faults = _faults(store, None if all_namespaces else settings.namespace, settings)
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
    if source:
        _print_sources(settings, [record.document for record in records])
        return
    if in_table and collection_name == "specs":
        _print_specs(records, faults, is_wide=settings.output == "wide")
        return
    if in_table:
        print_table(
            ("NAMESPACE", "NAME", "ID", "REVISION", "ENCRYPTED"),
            (
                (
                    *_cells(record, "namespace", "name", "id"),
                    "yes" if is_encrypted(record.document) else "no",
                )
                for record in records
            ),
        )
        return
    documents = [record.document for record in records]
    if reveal:
        keys = Keys(settings.values.key)
        documents = [revealed(document, keys) for document in documents]
    elif collection_name == "values":
        documents = [shown(document) for document in documents]
    print_data(documents, settings.output)


def _print_sources(settings: Settings, documents: list[dict[str, Any]]) -> None:
    """Print the texts of specs; one that was not applied from a file is written anew."""
    from greenflow.cli.output import print_data
    from greenflow.cli.sources import sources, text_of
    from greenflow.store.base import open_store

    with open_store(settings.database, create=False) as store:
        known = sources(store, settings.namespace, [document["id"] for document in documents])
    for document in documents:
        written = known.get(document["id"])
        click.echo(f"# {document.get('name') or document['id']}: ", nl=False)
        if written is None:
            click.echo("not from a file")
            print_data(document, "yaml")
        else:
            click.echo(f"{written.path}:{written.line}")
            click.echo(text_of(written), nl=False)


def _print_specs(records: list[Record], faults: dict[str, str], is_wide: bool) -> None:
    from greenflow.cli.output import print_table

    titles = ("NAMESPACE", "NAME", "KIND", "ID", "REVISION")
    cells = (_cells(record, "namespace", "name", "kind", "id") for record in records)
    reasons = [faults.get(record.document["id"]) for record in records]
    more = ("STATE", "REASON") if is_wide else ("INACTIVE BECAUSE",)
    states = [("inactive" if reason else "active", reason)[-len(more) :] for reason in reasons]
    rows = ((*row, *state) for row, state in zip(cells, states, strict=True))
    print_table((*titles, *more), rows)
    if any(reasons):
        click.echo(KEPT, err=True)


def _cells(record: Record, *keys: str) -> tuple[object, ...]:
    return (*map(record.document.get, keys), record.revision)


def _faults(store: Store, namespace: str | None, settings: Settings) -> dict[str, str]:
    """Why specs would be inactive in a runtime, by id."""
    from greenflow.scheme.registry import Scheme
    from greenflow.table.stored import inactive

    scheme = Scheme.installed()
    by_namespace: dict[str, list[dict[str, Any]]] = {}
    where = None if namespace is None else {"namespace": namespace}
    for record in store.specs.find(where):
        by_namespace.setdefault(record.document["namespace"], []).append(record.document)
    values = [record.document for record in store.values.find(where)]
    faults: dict[str, str] = {}
    for name, documents in by_namespace.items():
        known = (value for value in values if value["namespace"] == name)
        faults |= inactive(documents, scheme, name, known, settings)
    return faults
