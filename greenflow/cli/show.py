"""`greenflow show`: one change, with each document before and after."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from greenflow.cli.options import with_settings

if TYPE_CHECKING:
    from greenflow.config import Settings


@click.command("show", short_help="Show one change.")
@click.argument("change")
@with_settings()
def command(settings: Settings, change: str) -> None:
    """Shows one change, by its number: who made it, and what it did to each spec and value.

    The data of values is not shown.
    """
    from greenflow.cli.changes import (
        data_of,
        edits_as_data,
        heading_of,
        number_of,
        print_edits,
        when,
        whole_history,
    )
    from greenflow.cli.output import TABLES, print_data

    number = number_of(change)
    with whole_history(settings) as store:
        heading = heading_of(store.history, settings.namespace, number)
        edits = store.history.edits(settings.namespace, number - 1, number)
    if settings.output not in TABLES:
        print_data({**data_of(heading), "documents": edits_as_data(edits)}, settings.output)
        return
    click.secho(f"change {heading.number}", fg="yellow")
    click.echo(f"author:  {heading.author}\ntime:    {when(heading)}")
    for title, text in (
        ("message:", heading.message),
        ("source: ", heading.source),
        ("set:    ", heading.group),
    ):
        if text:
            click.echo(f"{title} {text}")
    print_edits(edits)
