"""`greenflow diff`: how files differ from what is stored, or one change from another."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import click

from greenflow.cli.options import COMPAT, files_option, take_files, with_settings

if TYPE_CHECKING:
    from greenflow.config import Settings
    from greenflow.store.change import Edit

# A number of a change, as `greenflow log` shows it, with or without `#`.
_CHANGE = re.compile(r"#?\d+")


@click.command("diff", short_help="Show how files differ from what is stored, or changes.")
@click.argument("words", nargs=-1, metavar="[specs|values] [FILE]... | CHANGE [CHANGE]")
@files_option
@click.option("--set", "group", default="", metavar="NAME", help="The set of the files.")
@click.option("--prune", is_flag=True, help="Show what --prune of apply would delete of the set.")
@click.option("--exit-code", is_flag=True, help="End with 1 if there are differences.")
@with_settings(COMPAT)
def command(
    settings: Settings,
    words: tuple[str, ...],
    files: tuple[str, ...],
    group: str,
    prune: bool,
    exit_code: bool,
) -> int:
    """Shows what `greenflow apply` of the FILEs would do to the store; or what has changed since a
    CHANGE, or from one CHANGE to another.

    The order of fields, quotes and comments make no difference. The data of values is not shown.
    """
    from greenflow.cli.apply import DIFFERENT
    from greenflow.cli.changes import edits_as_data, print_edits
    from greenflow.cli.output import TABLES, print_data
    from greenflow.cli.progress import Progress

    if prune and not group:
        raise click.UsageError("--prune is about a set: say which, with --set NAME")
    if words and not files and all(map(_is_change, words)):
        edits = _between(settings, words)
    else:
        collection, paths = take_files(words, files)
        with Progress("comparing files with the store"):
            edits = _to_files(settings, collection, paths, group if prune else "")
    if settings.output in TABLES:
        print_edits(edits)
    else:
        print_data(edits_as_data(edits), settings.output)
    return DIFFERENT if exit_code and edits else 0


def _is_change(word: str) -> bool:
    return _CHANGE.fullmatch(word) is not None and not os.path.exists(word)


def _between(settings: Settings, words: tuple[str, ...]) -> list[Edit]:
    from greenflow.cli.changes import number_of, whole_history
    from greenflow.store.rollback import between

    if len(words) > 2:
        raise click.UsageError("a difference is that of one CHANGE to now, or of two")
    first, *rest = map(number_of, words)
    with whole_history(settings) as store:
        last = rest[0] if rest else store.history.newest(settings.namespace)
        return between(store.history, settings.namespace, first, last)


def _to_files(settings: Settings, name: str, paths: tuple[str, ...], group: str) -> list[Edit]:
    from greenflow.cli.collections import validator_of
    from greenflow.errors import NoDatabase
    from greenflow.spec.batch import check, read_files
    from greenflow.store.applying import application
    from greenflow.store.base import open_store
    from greenflow.store.operations import lookup_in
    from greenflow.values.seal import Keys
    from greenflow.values.values import sealed

    keys = Keys(settings.values.key) if name == "values" else Keys(())
    try:
        opened = open_store(settings.database, create=False)
    except NoDatabase:
        opened = open_store("memory://")
    with opened as store:
        entries = check(
            read_files(paths),
            validator_of(name, settings),
            settings.namespace,
            named=True,
            stored=lookup_in(store.specs),
        )
        stored = (record.document for record in store.values.find(None)) if keys else ()
        documents = sealed([entry.data for entry in entries], stored, keys)
        return application(store, name, documents, [settings.namespace], group).edits
