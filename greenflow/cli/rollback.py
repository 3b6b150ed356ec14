"""`greenflow rollback`: takes changes back, by a change of its own."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from greenflow.cli.options import with_settings

if TYPE_CHECKING:
    from greenflow.config import Settings


@click.command("rollback", short_help="Take changes back.")
@click.argument("words", nargs=-1, metavar="[CHANGE] [NAME]...")
@click.option("--to", metavar="CHANGE", help="Make everything as this change had left it.")
@click.option("--message", "-m", default="", help="Why, for the history.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@with_settings()
def command(
    settings: Settings, words: tuple[str, ...], to: str | None, message: str, yes: bool
) -> int:
    """Undoes one CHANGE, or goes back to what was after the change that --to names: for the whole
    namespace, or for the specs and values called NAME.

    What is done is shown, and asked for unless --yes. It is a new change: all of it or nothing, and
    refused if somebody changes something meanwhile. Nothing is lost, also this can be rolled back.
    What will not run then, or hardly as it is meant, is told on standard error, and the exit code
    is 5.
    """
    from greenflow.cli.changes import edits_as_data, ids_of, number_of, print_edits, whole_history
    from greenflow.cli.output import TABLES, print_data
    from greenflow.cli.progress import Progress
    from greenflow.cli.verdict import WILL_NOT_RUN, StoreChange
    from greenflow.scheme.registry import Scheme
    from greenflow.spec.signature import here
    from greenflow.store.change import SPECS, VALUES
    from greenflow.store.rollback import back_to, undoing

    if to is None and not words:
        raise click.UsageError("say which CHANGE to undo, or --to CHANGE to go back to")
    chosen, names = (to, words) if to is not None else (words[0], words[1:])
    number, namespace = number_of(chosen), settings.namespace
    with whole_history(settings) as store:
        with Progress("reading the history") as progress:
            ids = ids_of(store.history, namespace, names)
            plan = (undoing if to is None else back_to)(store.history, namespace, number, ids)
            specs, values = plan.of(SPECS), plan.of(VALUES)
            progress.now("looking at what will run")
            places = [edit.place for edit in plan.edits if edit.collection == SPECS and edit.after]
            change = StoreChange(store, [namespace])
            verdict = change.verdict(specs, values, Scheme.installed(), settings, places)
        tables = settings.output in TABLES
        if not plan.edits:
            if tables:
                click.echo("nothing to do: it is as it was")
            else:
                print_data({"change": None, "documents": []}, settings.output)
            return 0
        if tables:
            print_edits(plan.edits)
        verdict.tell()
        if not yes:
            if sys.stdin is None or not sys.stdin.isatty():
                raise click.UsageError("nothing was changed: say --yes, for there is nobody to ask")
            click.confirm(f"change {len(plan.edits)} documents?", abort=True, err=True)
        reason = message or (f"undo change {number}" if to is None else f"back to change {number}")
        source = " ".join(("rollback", *(("--to", chosen) if to else (chosen,)), *names))
        signature = here(reason, source)._replace(expected={namespace: plan.newest})
        with Progress(f"changing {len(plan.edits)} documents"):
            store.rewrite(specs, values, signature)
    done = plan.newest + 1
    if tables:
        click.echo(f"change {done}: {reason}")
    else:
        print_data({"change": done, "documents": edits_as_data(plan.edits)}, settings.output)
    return WILL_NOT_RUN if verdict else 0
