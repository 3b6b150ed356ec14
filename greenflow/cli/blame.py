"""`greenflow blame`: which change set each field of a spec."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from greenflow.cli.options import with_settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from greenflow.config import Settings
    from greenflow.store.change import Edit


@click.command("blame", short_help="Show which change set each field of a spec.")
@click.argument("name")
@with_settings()
def command(settings: Settings, name: str) -> None:
    """Shows for each field of the spec (or value) NAME which change gave it what it has now."""
    from greenflow.cli.changes import data_of, when, whole_history
    from greenflow.cli.collections import find_named
    from greenflow.cli.output import TABLES, print_data, print_table
    from greenflow.errors import UnknownSpec

    namespace = settings.namespace
    with whole_history(settings) as store:
        try:
            (record,) = find_named(store.specs, [name], namespace)
        except UnknownSpec:
            (record,) = find_named(store.values, [name], namespace)
        ids = frozenset({record.document["id"]})
        set_by = blamed(store.history.edits(namespace, ids=ids))
        newest = store.history.headings(namespace, limit=2**31, ids=ids)
    headings = {heading.number: heading for heading in newest}
    rows = [(path, headings.get(number)) for path, number in set_by]
    if settings.output in TABLES:
        print_table(
            ("FIELD", "CHANGE", "TIME", "AUTHOR", "MESSAGE"),
            (
                (path, each.number, when(each), each.author, each.message or None)
                if each
                else (path, None, None, None, "before the history began")
                for path, each in rows
            ),
        )
    else:
        print_data(
            [{"field": path, **(data_of(each) if each else {})} for path, each in rows],
            settings.output,
        )


def blamed(edits: Iterable[Edit]) -> list[tuple[str, int]]:
    """The fields of a document after its edits, and the number of the change that set each; 0 where
    that is not known."""
    from greenflow.spec.difference import ABSENT, fields

    set_by: dict[str, int] = {}
    document: dict[str, Any] = {}
    for number, edit in enumerate(edits):
        if edit.after is None:
            set_by, document = {}, {}
            continue
        before: dict[str, Any] = json.loads(edit.before) if edit.before else {}
        if number == 0:
            set_by = dict.fromkeys(_leaves(before), 0)
        document = json.loads(edit.after)
        for path, _, after in fields(before, document):
            if after is not ABSENT:
                set_by.update(dict.fromkeys(_leaves(after, path), edit.number))
    return [(path, set_by.get(path, 0)) for path in _leaves(document)]


def _leaves(value: Any, path: str = "$") -> Iterator[str]:
    """The paths of all that has nothing inside."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _leaves(item, f"{path}.{key}")
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from _leaves(item, f"{path}[{index}]")
    else:
        yield path
