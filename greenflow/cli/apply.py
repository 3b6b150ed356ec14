"""`greenflow apply`: stores what files say, all of it or nothing."""

from __future__ import annotations

from contextlib import ExitStack
from functools import cache
from typing import TYPE_CHECKING, Any

import click

from greenflow.cli.options import files_option, manner_options, take_files, with_settings

if TYPE_CHECKING:
    from greenflow.config import Settings
    from greenflow.scheme.registry import Scheme
    from greenflow.store.base import Collection, Record, Store


@click.command("apply", short_help="Store specs or values from files.")
@click.argument("words", nargs=-1, metavar="[specs|values] [FILE]...")
@files_option
@click.option("--strict", is_flag=True, help="Store nothing if some of it will not run as meant.")
@manner_options
@with_settings()
def command(
    settings: Settings, words: tuple[str, ...], files: tuple[str, ...], strict: bool
) -> int:
    """Stores specs (or values) from files in place of those with the same id or name.

    Everything is checked first; with one fault nothing is stored. Nothing is deleted. The data of
    values is encrypted if the setting values.key has a key. What is stored and will not run, or
    hardly as it is meant, is told on standard error, and the exit code is 5.
    """
    from greenflow.cli.collections import collection_of, validator_of
    from greenflow.cli.output import is_quiet
    from greenflow.cli.verdict import WILL_NOT_RUN, AppliedChange
    from greenflow.errors import NoDatabase
    from greenflow.scheme.registry import Scheme
    from greenflow.spec.batch import check, read_files
    from greenflow.store.base import open_store
    from greenflow.store.operations import lookup_in
    from greenflow.values.seal import Keys
    from greenflow.values.values import sealed

    collection_name, files = take_files(words, files)
    validator = validator_of(collection_name)
    keys = Keys(settings.values.key) if collection_name == "values" else Keys(())
    scheme = validator if isinstance(validator, Scheme) else Scheme.installed()
    with ExitStack() as opened:

        @cache
        def reading() -> Store:  # opened when it is asked: most faults need no store
            try:
                return opened.enter_context(open_store(settings.database, create=False))
            except NoDatabase:
                return opened.enter_context(open_store("memory://"))

        entries = check(
            read_files(files),
            validator,
            settings.namespace,
            named=True,
            stored=lambda namespace, called: lookup_in(reading().specs)(namespace, called),
        )
        documents = [entry.data for entry in entries]
        if strict:
            verdict = AppliedChange(reading(), collection_name, entries).verdict(
                documents, scheme, settings
            )
            if verdict:
                verdict.tell("nothing was stored")
                return WILL_NOT_RUN
        store = opened.enter_context(open_store(settings.database))
        change = AppliedChange(store, collection_name, entries)
        collection = collection_of(store, collection_name)
        stored = _stored(collection, documents)
        before = {record.document["id"]: record.revision for record in stored}
        records = collection.apply(sealed(documents, (each.document for each in stored), keys))
        verdict = change.verdict((record.document for record in records), scheme, settings)
        lines = _advice(collection, [record.document for record in records], scheme)
    _tell(before, records, settings.output)
    verdict.tell()
    for line in () if is_quiet() else lines:
        click.echo(f"advice: {line}", err=True)
    return WILL_NOT_RUN if verdict else 0


def _advice(collection: Collection, documents: list[dict[str, Any]], scheme: Scheme) -> list[str]:
    """What the author should know of specs that are sound."""
    from greenflow.scheme.advice import advice

    namespaces = sorted({document["namespace"] for document in documents})

    def others() -> list[dict[str, Any]]:
        records = collection.find({"namespace": {"$in": namespaces}})
        return [record.document for record in records]

    return advice(documents, others, scheme)


def _stored(collection: Collection, documents: list[dict[str, Any]]) -> list[Record]:
    """What the documents will replace."""
    ids = [document["id"] for document in documents if document.get("id")]
    names = [document["name"] for document in documents if document.get("name")]
    return collection.find({"$or": [{"id": {"$in": ids}}, {"name": {"$in": names}}]})


def _tell(before: dict[str, int], records: list[Record], form: str) -> None:
    from greenflow.cli.output import print_done

    done = [{"result": _result(before, record), **_summary(record)} for record in records]
    print_done(done, ("result", "namespace", "name", "kind", "id"), form)


def _result(before: dict[str, int], record: Record) -> str:
    revision = before.get(record.document["id"])
    if revision is None:
        return "created"
    return "unchanged" if revision == record.revision else "changed"


def _summary(record: Record) -> dict[str, Any]:
    keys = ("id", "namespace", "name", "kind")
    return {**{key: record.document.get(key) for key in keys}, "revision": record.revision}
