"""How changes are shown: what `log`, `show`, `diff`, `blame` and `rollback` have in common.

Lives here: headings and differences as lines for people and as data for programs. What a change is,
the store knows.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from greenflow.log import printable

if TYPE_CHECKING:
    from greenflow.config import Settings
    from greenflow.store.base import Store
    from greenflow.store.change import Edit, Heading
    from greenflow.store.history import History

# Colours of the lines of a difference, by their first character, as git has them.
_COLOURS = {"+": "green", "-": "red", "@": "cyan"}


@contextmanager
def whole_history(settings: Settings) -> Iterator[Store]:
    """The store, once what other programs wrote past it is in its history (BEHAVIOUR 7.19). Raises
    NoDatabase."""
    from greenflow.errors import StoreUnavailable
    from greenflow.store.base import open_store
    from greenflow.store.change import SPECS, VALUES

    with open_store(settings.database, create=False) as store:
        with suppress(StoreUnavailable):  # who may only read sees what is recorded
            for collection in (SPECS, VALUES):
                store.claim(settings.namespace, collection)
        yield store


def number_of(word: str) -> int:
    """A change as people name it: its number, with or without `#`. Raises UsageError."""
    digits = word.removeprefix("#")
    if not digits.isdecimal():
        raise click.UsageError(f"{word!r} is no number of a change; `greenflow log` lists them")
    return int(digits)


def heading_of(history: History, namespace: str, number: int) -> Heading:
    """The heading of a change. Raises UnknownChange."""
    from greenflow.store.rollback import unknown

    for heading in history.headings(namespace, number + 1, 1):
        if heading.number == number:
            return heading
    raise unknown(namespace, number, history.oldest(namespace), history.newest(namespace))


def ids_of(history: History, namespace: str, names: Iterable[str]) -> frozenset[str] | None:
    """The ids of what is or was called so; None if no names are given. Raises UnknownSpec."""
    from greenflow.errors import UnknownSpec

    ids: set[str] = set()
    missing = []
    for name in names:
        found = history.named(namespace, name)
        ids |= found
        missing += [] if found else [name]
    if missing:
        raise UnknownSpec(
            f"namespace {namespace}: no change of the history is about {', '.join(missing)}"
        )
    return frozenset(ids) or None


def when(heading: Heading) -> str:
    """The time of a change, in this machine's zone, to the second."""
    return datetime.fromtimestamp(heading.time).strftime("%Y-%m-%d %H:%M:%S")


def what(heading: Heading) -> str:
    """What a change did, in a few words: `2 created, 1 changed: web, hello, ...`."""
    counted = zip(("created", "changed", "deleted"), heading.counts, strict=True)
    verbs = ", ".join(f"{count} {verb}" for verb, count in counted if count)
    more = ", ..." if sum(heading.counts) > len(heading.names) else ""
    return f"{verbs}: {', '.join(heading.names)}{more}"


def data_of(heading: Heading) -> dict[str, Any]:
    """A heading for programs; the time is that of RFC 3339, in UTC."""
    created, changed, deleted = heading.counts
    time = datetime.fromtimestamp(heading.time, UTC).isoformat(timespec="microseconds")
    data = {
        "change": heading.number,
        "namespace": heading.namespace,
        "time": time.replace("+00:00", "Z"),
        "author": heading.author,
        "message": heading.message,
        "source": heading.source,
        "created": created,
        "changed": changed,
        "deleted": deleted,
    }
    return {**data, "set": heading.group} if heading.group else data


def edits_as_data(edits: Iterable[Edit]) -> list[dict[str, Any]]:
    """What edits do, field by field, for programs."""
    from greenflow.spec.difference import ABSENT, fields
    from greenflow.store.change import FILES

    return [
        {
            "result": edit.verb,
            "collection": edit.collection,
            "name": edit.name,
            "id": edit.id,
            "fields": [
                {
                    "path": path,
                    **({} if before is ABSENT else {"before": before}),
                    **({} if after is ABSENT else {"after": after}),
                }
                for path, before, after in fields(
                    _masked(edit, edit.before) or {}, _masked(edit, edit.after) or {}
                )
            ],
        }
        for edit in edits
        if edit.collection != FILES
    ]


def print_edits(edits: Iterable[Edit]) -> None:
    """Prints what edits do, document by document, as unified text; in colours on a terminal."""
    from greenflow.store.change import FILES

    for edit in edits:
        if edit.collection != FILES:
            for line in lines_of(edit):
                click.secho(printable(line), fg=_COLOURS.get(line[:1]))


def lines_of(edit: Edit) -> Iterator[str]:
    """The lines of one document: what was done to it, and the difference."""
    from greenflow.spec.difference import unified

    name = edit.name or edit.id
    sort = "value " if edit.collection == "values" else ""
    yield f"{edit.verb} {sort}{name}"
    before, after = _masked(edit, edit.before), _masked(edit, edit.after)
    difference = unified(before, after, name)
    yield from difference
    if before is not None and after is not None and not difference:
        yield "  (its data, which is not shown)"


def _masked(edit: Edit, text: str | None) -> dict[str, Any] | None:
    """A document as it may be shown: the data of a value may be a secret."""
    from greenflow.values.values import shown

    if text is None:
        return None
    document: dict[str, Any] = json.loads(text)
    return shown(document) if edit.collection == "values" else document
