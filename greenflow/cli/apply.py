"""`greenflow apply`: stores what files say, all of it or nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from greenflow.cli.options import COLLECTIONS, with_settings

if TYPE_CHECKING:
    from greenflow.config import Settings
    from greenflow.store.base import Collection, Record


@click.command("apply", short_help="Store specs or values from files.")
@click.argument("what", type=click.Choice(list(COLLECTIONS)), default="specs")
@click.option(
    "--file",
    "-f",
    "files",
    multiple=True,
    required=True,
    metavar="FILE",
    help="File, folder, or - for standard input; may be repeated.",
)
@with_settings()
def command(settings: Settings, what: str, files: tuple[str, ...]) -> None:
    """Stores specs (or values) from files in place of those with the same id or name.

    Everything is checked first; with one fault nothing is stored. Nothing is deleted. The data of
    values is encrypted if the setting values.key has a key.
    """
    from greenflow.cli.collections import collection_of, validator_of
    from greenflow.cli.output import print_data, print_table
    from greenflow.spec.batch import check, read_files
    from greenflow.store.base import open_store
    from greenflow.values.seal import Keys
    from greenflow.values.values import sealed

    collection_name = COLLECTIONS[what]
    validator = validator_of(collection_name)
    entries = check(read_files(files), validator, settings.namespace, named=True)
    documents = [entry.data for entry in entries]
    keys = Keys(settings.values.key) if collection_name == "values" else Keys(())
    with open_store(settings.database) as store:
        collection = collection_of(store, collection_name)
        stored = _stored(collection, documents)
        before = {record.document["id"]: record.revision for record in stored}
        records = collection.apply(sealed(documents, (each.document for each in stored), keys))
    done = [{"result": _result(before, record), **_summary(record)} for record in records]
    if settings.output == "table":
        print_table(
            ("RESULT", "NAMESPACE", "NAME", "KIND", "ID"),
            (
                (one["result"], one["namespace"], one["name"], one["kind"], one["id"])
                for one in done
            ),
        )
    else:
        print_data(done, settings.output)


def _stored(collection: Collection, documents: list[dict[str, Any]]) -> list[Record]:
    """What the documents will replace."""
    ids = [document["id"] for document in documents if document.get("id")]
    names = [document["name"] for document in documents if document.get("name")]
    return collection.find({"$or": [{"id": {"$in": ids}}, {"name": {"$in": names}}]})


def _result(before: dict[str, int], record: Record) -> str:
    revision = before.get(record.document["id"])
    if revision is None:
        return "created"
    return "unchanged" if revision == record.revision else "changed"


def _summary(record: Record) -> dict[str, Any]:
    keys = ("id", "namespace", "name", "kind")
    return {**{key: record.document.get(key) for key in keys}, "revision": record.revision}
