"""`greenflow show`: one change, with each document before and after; or one run of an engine."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from greenflow.cli.engines import client_of, engine_options
from greenflow.cli.options import with_settings

if TYPE_CHECKING:
    from greenflow.config import Settings


# The id of a run. A change is a number.
_RUN = re.compile(r"r[0-9a-f]{8}-\d+")


@click.command("show", short_help="Show one change, or one run.")
@click.argument("change", metavar="CHANGE|RUN")
@engine_options
@with_settings()
def command(settings: Settings, change: str, engine: str | None, admin: str | None) -> None:
    """Shows one change, by its number: who made it, and what it did to each spec and value. The
    data of values is not shown.

    Or shows one run of a running engine, by its id: what it began with, its error with the line,
    and its way from node to node with times and payloads. `greenflow runs` lists runs, `greenflow
    log` changes.
    """
    if _RUN.fullmatch(change):
        _show_run(settings, change, engine, admin)
        return
    if engine is not None or admin is not None:
        raise click.UsageError(f"{change!r} is no id of a run, as r0a1b2c3d-42")
    _show_change(settings, change)


def _show_run(settings: Settings, run: str, engine: str | None, admin: str | None) -> None:
    from greenflow.admin.client import segment
    from greenflow.cli.output import TABLES, print_data
    from greenflow.cli.waterfall import print_run

    found = client_of(settings, engine, admin).get(f"/api/v1/runs/{segment(run)}")
    if settings.output in TABLES:
        print_run(found)
    else:
        print_data(found, settings.output)


def _show_change(settings: Settings, change: str) -> None:
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
