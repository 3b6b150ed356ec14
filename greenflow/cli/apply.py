"""`greenflow apply`: stores what files say, all of it or nothing."""

from __future__ import annotations

import json
from contextlib import ExitStack
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from greenflow.cli.options import COMPAT, files_option, manner_options, take_files, with_settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from greenflow.config import Settings
    from greenflow.scheme.registry import Scheme
    from greenflow.spec.signature import Signature
    from greenflow.store.base import Collection, Record, Store

#: What a dry run ends with where it has found differences, with --exit-code: as diff and git do.
DIFFERENT = 1


class Wish(NamedTuple):
    """What the options ask for beside storing."""

    dry_run: bool
    exit_code: bool
    save: str | None
    prune: bool
    allow_empty: bool
    max_delete: int | None
    strict: bool
    if_change: int | None


@click.command("apply", short_help="Store specs or values from files.")
@click.argument("words", nargs=-1, metavar="[specs|values] [FILE]...")
@files_option
@click.option("--message", "-m", default="", help="Why, for the history.")
@click.option("--strict", is_flag=True, help="Store nothing if some of it will not run as meant.")
@manner_options
@click.option("--dry-run", is_flag=True, help="Only show what would be done.")
@click.option("--exit-code", is_flag=True, help="With --dry-run: 1 if something would be done.")
@click.option(
    "--save-plan", "save", metavar="FILE", help="With --dry-run: keep it, for --plan to do it."
)
@click.option(
    "--plan", metavar="FILE", help="Do what a dry run has kept, if nothing changed since."
)
@click.option("--set", "group", default="", metavar="NAME", help="The set that all of it makes up.")
@click.option("--prune", is_flag=True, help="Delete what was of the set and the files do not have.")
@click.option("--allow-empty", is_flag=True, help="With --prune: the set may become empty.")
@click.option(
    "--max-delete",
    type=click.IntRange(0),
    metavar="N",
    help="With --prune: so many may be deleted, not a fifth of the set.",
)
@click.option(
    "--if-change", type=click.IntRange(0), metavar="N", help="Only if N is the newest change."
)
@with_settings(COMPAT)
def command(
    settings: Settings,
    words: tuple[str, ...],
    files: tuple[str, ...],
    message: str,
    group: str,
    plan: str | None,
    **options: Any,
) -> int:
    """Stores specs (or values) from files in place of those with the same id or name.

    Everything is checked first; with one fault nothing is stored. Nothing is deleted, but by
    --prune. The data of values is encrypted if the setting values.key has a key. What is stored and
    will not run, or hardly as it is meant, is told on standard error, and the exit code is 5, also
    of a dry run.
    """
    from greenflow.spec.signature import here

    wish = Wish(**options)
    _check(wish, plan, group, (*words, *files))
    if plan is not None:
        from greenflow.cli.plans import carry_out

        return carry_out(settings, plan, message)
    collection, paths = take_files(words, files)
    source = " ".join(("apply", *(["values"] if collection == "values" else []), *paths))
    signature = here(message, source)._replace(group=group)
    return _apply(settings, collection, paths, signature, wish)


def _check(wish: Wish, plan: str | None, group: str, words: tuple[str, ...]) -> None:
    if plan is not None and (words or group or any(wish)):
        raise click.UsageError("--plan has everything in it: leave out files and other options")
    if (wish.exit_code or wish.save) and not wish.dry_run:
        raise click.UsageError("--exit-code and --save-plan are for --dry-run")
    if wish.prune and not group:
        raise click.UsageError("--prune deletes of a set: say which, with --set NAME")
    if (wish.allow_empty or wish.max_delete is not None) and not wish.prune:
        raise click.UsageError("--allow-empty and --max-delete are for --prune")


def _apply(
    settings: Settings, name: str, paths: tuple[str, ...], signature: Signature, wish: Wish
) -> int:
    from greenflow.cli.collections import collection_of, validator_of
    from greenflow.cli.output import is_quiet
    from greenflow.cli.plans import save, show
    from greenflow.cli.progress import Progress
    from greenflow.cli.verdict import WILL_NOT_RUN, StoreChange, Verdict
    from greenflow.errors import NoDatabase
    from greenflow.scheme.registry import Scheme
    from greenflow.spec.batch import check, read_files
    from greenflow.store.applying import application, carried_out, check_deletions
    from greenflow.store.base import Rewrite, open_store
    from greenflow.store.operations import lookup_in
    from greenflow.values.seal import Keys
    from greenflow.values.values import sealed

    validator = validator_of(name, settings)
    keys = Keys(settings.values.key) if name == "values" else Keys(())
    scheme = (
        validator if isinstance(validator, Scheme) else Scheme.installed(compat=settings.compat)
    )
    with ExitStack() as opened, Progress("reading files") as progress:

        @cache
        def reading() -> Store:  # opened when it is asked: most faults need no store
            try:
                return opened.enter_context(open_store(settings.database, create=False))
            except NoDatabase:
                return opened.enter_context(open_store("memory://"))

        read = read_files(paths)
        progress.now(f"checking {len(read)} {name}")
        entries = check(
            read,
            validator,
            settings.namespace,
            named=True,
            stored=lambda namespace, called: lookup_in(reading().specs)(namespace, called),
        )
        checked = [entry.data for entry in entries]

        def judged(change: StoreChange, rewrite: Rewrite) -> Verdict:
            if name == "values":
                return change.verdict(Rewrite(), rewrite, scheme, settings)
            return change.verdict(rewrite, Rewrite(), scheme, settings, entries)

        spaces = {document["namespace"] for document in checked}
        if wish.prune:
            spaces.add(settings.namespace)
        elif wish.strict:
            verdict = judged(StoreChange(reading(), spaces), Rewrite(checked))
            if verdict:
                progress.end()
                verdict.tell("nothing was stored")
                return WILL_NOT_RUN
        progress.now(f"working out what {len(entries)} {name} change")
        store = reading() if wish.dry_run else opened.enter_context(open_store(settings.database))
        change = StoreChange(store, spaces)
        collection = collection_of(store, name)
        stored = _stored(collection, checked)
        documents = sealed(checked, (record.document for record in stored), keys)
        signature = signature._replace(
            places=tuple(f"{e.document.source}:{e.document.position()[0]}" for e in entries),
            files={entry.document.source: entry.document.text for entry in entries},
        )
        plan = None
        if wish.dry_run or wish.prune:
            group = signature.group if wish.prune else ""
            plan = application(store, name, documents, [settings.namespace], group)
        if plan and wish.prune:
            members = [
                store.history.members(namespace, name, signature.group)
                for namespace in plan.made_on
            ]
            check_deletions(plan, sum(map(len, members)), wish.allow_empty, wish.max_delete)
            signature = signature._replace(expected=plan.made_on)
        if wish.if_change is not None:
            applied_to = {document["namespace"] for document in documents}
            signature = signature._replace(expected=dict.fromkeys(applied_to, wish.if_change))
        gone = plan.gone if plan else frozenset()
        if plan and wish.dry_run:
            verdict = judged(change, Rewrite(checked, gone))
            progress.end()
            show(plan, settings.output)
            verdict.tell()
            if wish.save:
                save(wish.save, plan, signature)
            if verdict:
                return WILL_NOT_RUN
            return DIFFERENT if wish.exit_code and plan.edits else 0
        if wish.strict and wish.prune and (verdict := judged(change, Rewrite(checked, gone))):
            progress.end()
            verdict.tell("nothing was stored")
            return WILL_NOT_RUN
        progress.now(f"storing {len(documents)} {name}")
        records = carried_out(store, name, Rewrite(documents, gone), signature)
        progress.now("looking at what will run")
        applied = [record.document for record in records]
        verdict = judged(change, Rewrite(applied, gone))
        lines = _advice(collection, applied, scheme)
    before = {record.document["id"]: record.revision for record in stored}
    done = [
        {"result": _result(before, record), **_summary(record.document, record.revision)}
        for record in records
    ]
    if plan:
        texts = (edit.before for edit in plan.edits if edit.before and edit.after is None)
        done += [{"result": "deleted", **_summary(json.loads(text), None)} for text in texts]
    _tell(done, settings.output)
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


def _stored(collection: Collection, documents: Sequence[dict[str, Any]]) -> list[Record]:
    """What the documents will replace."""
    ids = [document["id"] for document in documents if document.get("id")]
    names = [document["name"] for document in documents if document.get("name")]
    return collection.find({"$or": [{"id": {"$in": ids}}, {"name": {"$in": names}}]})


def _tell(done: list[dict[str, Any]], form: str) -> None:
    from greenflow.cli.output import print_done

    print_done(done, ("result", "namespace", "name", "kind", "id"), form)


def _result(before: dict[str, int], record: Record) -> str:
    revision = before.get(record.document["id"])
    if revision is None:
        return "created"
    return "unchanged" if revision == record.revision else "changed"


def _summary(document: Mapping[str, Any], revision: int | None) -> dict[str, Any]:
    keys = ("id", "namespace", "name", "kind")
    return {**{key: document.get(key) for key in keys}, "revision": revision}
