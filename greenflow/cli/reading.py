"""What commands that run specs for a moment read: specs and values, and how long it may take.

Lives here: the specs and values of files and of a store. Not here: which of them take part, and
what is done with them (call.py, test.py); what a faulty file is (spec/batch.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from greenflow.scheme.registry import Scheme
    from greenflow.spec.batch import Entry
    from greenflow.store.base import Store


def read_timeout(text: str | None) -> float | None:
    """The seconds of --timeout. Raises UsageError."""
    from greenflow.spec.duration import parse_duration

    try:
        return None if text is None else parse_duration(text)
    except ValueError as error:
        raise click.UsageError(f"--timeout: {error}") from None


def read_specs_and_values(
    files: Iterable[str],
    values: Iterable[str],
    namespace: str,
    scheme: Scheme,
    faults: Iterable[str] = (),
) -> tuple[list[Entry], list[Entry]]:
    """The specs of files, of any namespace, and the values of files, of this one.

    Everything is read: raises Faulty with the faults of all files, after those that were found
    before.
    """
    from greenflow.spec.batch import Faulty, check, read_files
    from greenflow.values.values import ValueValidator

    lines = list(faults)
    specs: list[Entry] = []
    known: list[Entry] = []
    try:
        specs = check(read_files(files), scheme, namespace, named=False)
    except Faulty as error:
        lines += error.lines
    try:
        known = check(read_files(values), ValueValidator(), namespace, named=True, derived=True)
    except Faulty as error:
        lines += error.lines
    if lines:
        raise Faulty(lines)
    return specs, of_namespace(known, namespace)


def of_namespace(entries: Iterable[Entry], namespace: str) -> list[Entry]:
    """Those of a namespace."""
    return [entry for entry in entries if entry.data["namespace"] == namespace]


def stored_specs_and_values(
    store: Store, namespace: str
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The documents of the specs and values of a namespace."""
    specs, values = (
        [record.document for record in collection.find({"namespace": namespace})]
        for collection in (store.specs, store.values)
    )
    return specs, values
