"""`greenflow stacks`: what every greenlet of a running engine is at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from greenflow.cli.engines import client_of, engine_options
from greenflow.cli.options import with_settings

if TYPE_CHECKING:
    from greenflow.config import Settings


@click.command("stacks", short_help="Show what each greenlet of an engine waits for.")
@click.option("--process", type=int, metavar="NUMBER", help="Only those of this process.")
@click.option("--node", metavar="NAME", help="Only those that run this node.")
@engine_options
@with_settings()
def command(
    settings: Settings, process: int | None, node: str | None, engine: str | None, admin: str | None
) -> None:
    """Shows every greenlet of a running engine, those of processes first: its process and node,
    what it waits for, and its calls, the innermost first."""
    from greenflow.cli.output import TABLES, print_data
    from greenflow.log import printable

    found = client_of(settings, engine, admin).get("/api/v1/stacks")
    items = [
        each
        for each in found["items"]
        if process in (None, each["process"]) and node in (None, each["node"])
    ]
    if settings.output not in TABLES:
        print_data({"all": found["all"], "items": items}, settings.output)
        return
    for each in items:
        owner = f"process {each['process']}" if each["process"] is not None else "greenlet"
        place = f" in {each['node']}" if each["node"] else ""
        since = f", {each['seconds']:.1f} s in that node" if each["seconds"] is not None else ""
        reason = each["waits_for"] or "something of no module here"
        click.echo(f"{owner}{place}: waits for {reason}{since}")
        for call in each["calls"]:
            click.echo(f"    {printable(call)}")
    click.echo(f"{len(items)} of {found['all']} greenlets")
