"""`greenflow delete`: deletes what is named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from greenflow.cli.options import (
    files_option,
    manner_options,
    split_files,
    take_collection,
    with_settings,
)

if TYPE_CHECKING:
    from greenflow.config import Settings


@click.command("delete", short_help="Delete specs or values.")
@click.argument("words", nargs=-1, metavar="[specs|values] [NAME|FILE]...")
@files_option
@manner_options
@click.option("--message", "-m", default="", help="Why, for the history.")
@with_settings()
def command(
    settings: Settings, words: tuple[str, ...], files: tuple[str, ...], message: str
) -> None:
    """Deletes specs (or values): those named, by name or id, or what the entries of files name.

    An entry that names nothing is an error, and then nothing is deleted; one that names what is not
    there is not.
    """
    from greenflow.cli.collections import collection_of, find_named
    from greenflow.cli.output import print_done
    from greenflow.spec.batch import read_files, selectors
    from greenflow.spec.signature import here
    from greenflow.store.base import open_store

    collection_name, names = take_collection(words)
    names, more = split_files(names)
    if "-" in names:
        names, more = tuple(name for name in names if name != "-"), (*more, "-")
    files = (*more, *files)
    if bool(names) == bool(files):
        raise click.UsageError("say what to delete: NAMEs, or FILEs")
    wanted: list[dict[str, Any]] = selectors(read_files(files), settings.namespace)
    with open_store(settings.database, create=False) as store:
        collection = collection_of(store, collection_name)
        if names:
            found = find_named(collection, names, settings.namespace)
            wanted = [{"id": record.document["id"]} for record in found]
        signature = here(message, " ".join(("delete", *words)))
        records = collection.delete({"$or": wanted}, signature) if wanted else []
    keys = ("namespace", "name", "kind", "id")
    done = [
        {"result": "deleted", **{key: record.document.get(key) for key in keys}}
        for record in records
    ]
    print_done(done, ("result", *keys), settings.output)
