"""Plans of an apply: shown by a dry run, kept in a file, and done later.

Lives here: how a plan is told, and its file. A plan holds the documents as they are to be stored
and the newest changes that it was made on; when there are others by then, it is stale and refused.
What a plan does, `store/applying` works out.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from greenflow.config import Settings
    from greenflow.spec.signature import Signature
    from greenflow.store.applying import Application

# What a plan's file begins with, so that another file is not taken for one, and its layout.
_FORMAT = "greenflow plan 1"


def show(plan: Application, form: str) -> None:
    """Print what a plan would do."""
    from greenflow.cli.changes import edits_as_data, print_edits
    from greenflow.cli.output import TABLES, print_data

    if form not in TABLES:
        print_data({"made_on": plan.made_on, "documents": edits_as_data(plan.edits)}, form)
        return
    print_edits(plan.edits)
    counted = dict.fromkeys(("created", "changed", "deleted"), 0)
    for edit in plan.edits:
        counted[edit.verb] += 1
    would = ", ".join(f"{count} {verb}" for verb, count in counted.items() if count)
    click.echo(f"would be {would}" if would else "nothing to do")


def save(path: str, plan: Application, signature: Signature) -> None:
    """Keep a plan in a file, which only this user may read: values are in it. Raises OSError."""
    content = {
        "format": _FORMAT,
        "made_on": plan.made_on,
        "collection": plan.collection,
        "documents": list(plan.documents),
        "gone": sorted(plan.gone),
        "message": signature.message,
        "source": signature.source,
        "set": signature.group,
        "places": signature.places,
        "files": {} if plan.collection == "values" else dict(signature.files),
    }
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        json.dump(content, file, ensure_ascii=False)


def carry_out(settings: Settings, path: str, message: str) -> int:
    """Do what a plan in a file says, and tell what of it will not run: returns the exit code.
    Raises ChangedMeanwhile if it is stale, and OSError."""
    from greenflow.cli.progress import Progress
    from greenflow.cli.verdict import WILL_NOT_RUN, StoreChange
    from greenflow.scheme.registry import Scheme
    from greenflow.spec.signature import here
    from greenflow.store.applying import carried_out
    from greenflow.store.base import Rewrite, open_store

    content = _read(path)
    signature = here(message or content["message"], content["source"])._replace(
        group=content["set"],
        expected=content["made_on"],
        places=tuple(content["places"]),
        files=content["files"],
    )
    rewrite = Rewrite(content["documents"], frozenset(content["gone"]))
    told = f"storing {len(rewrite.documents)} {content['collection']}"
    with open_store(settings.database) as store, Progress(told):
        change = StoreChange(store, content["made_on"])
        records = carried_out(store, content["collection"], rewrite, signature)
        applied = rewrite._replace(documents=[record.document for record in records])
        scheme = Scheme.installed()
        if content["collection"] == "values":
            verdict = change.verdict(Rewrite(), applied, scheme, settings)
        else:
            verdict = change.verdict(applied, Rewrite(), scheme, settings, signature.places)
    click.echo(f"done: {len(rewrite.documents)} applied, {len(rewrite.gone)} deleted")
    verdict.tell()
    return WILL_NOT_RUN if verdict else 0


def _read(path: str) -> dict[str, Any]:
    with open(path, encoding="utf-8") as file:
        try:
            content = json.load(file)
        except ValueError:
            content = None
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise click.UsageError(
            f"{path}: this is no plan of `greenflow apply --dry-run --save-plan`"
        )
    return content
