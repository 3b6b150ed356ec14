"""`greenflow processes`: what a running engine is at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from greenflow.cli.engines import client_of, engine_options, repeat, shown_time, watch_option
from greenflow.cli.options import with_settings

if TYPE_CHECKING:
    from greenflow.config import Settings


@click.command("processes", short_help="List the processes of a running engine.")
@click.option("--source", metavar="NAME", help="Only those of this source.")
@watch_option
@engine_options
@with_settings()
def command(
    settings: Settings,
    source: str | None,
    watch: float | None,
    engine: str | None,
    admin: str | None,
) -> None:
    """Lists the processes that run: their source, what they began with, for how long they have run,
    in which node they are, and how many packets are under way. `greenflow cancel NUMBER` ends one.
    """
    from greenflow.cli.output import TABLES, print_data, print_table

    client = client_of(settings, engine, admin)

    def show() -> None:
        found = [
            each
            for each in client.pages("/api/v1/processes")
            if source is None or each["source"] == source
        ]
        if settings.output not in TABLES:
            print_data(found, settings.output)
            return
        titles = (
            *("NUMBER", "SOURCE", "PARENT", "REQUEST", "RUNS FOR", "NODE", "PACKETS"),
            "CHILDREN",
        )
        rows = (
            (
                each["id"],
                each["source"],
                each["parent"],
                each["method"] and f"{each['method']} {each['path']}",
                shown_time(each["seconds"]),
                each["node"],
                each["packets"],
                each["children"],
            )
            for each in found
        )
        print_table(titles, rows)

    repeat(show, watch)
