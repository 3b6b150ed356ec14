"""`greenflow log`: who changed what, when and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from greenflow.cli.options import with_settings

if TYPE_CHECKING:
    from greenflow.config import Settings


@click.command("log", short_help="Show who changed what, when and why.")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option(
    "--limit", type=click.IntRange(1), default=20, show_default=True, help="Changes to show."
)
@with_settings()
def command(settings: Settings, names: tuple[str, ...], limit: int) -> None:
    """Lists the changes of a namespace, the newest first: all, or those of specs and values that
    are or were called NAME.

    `greenflow show` shows one, `greenflow rollback` takes one back.
    """
    from greenflow.cli.changes import data_of, ids_of, what, when, whole_history
    from greenflow.cli.output import TABLES, print_data, print_table

    with whole_history(settings) as store:
        ids = ids_of(store.history, settings.namespace, names)
        headings = store.history.headings(settings.namespace, None, limit, ids)
    if settings.output in TABLES:
        print_table(
            ("CHANGE", "TIME", "AUTHOR", "WHAT", "MESSAGE"),
            (
                (each.number, when(each), each.author, what(each), each.message or None)
                for each in headings
            ),
        )
    else:
        print_data([data_of(each) for each in headings], settings.output)
