"""`greenflow logs`: the log of a running engine, as it is written."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from greenflow.cli.engines import client_of, engine_options
from greenflow.cli.options import with_settings

if TYPE_CHECKING:
    from greenflow.admin.client import EngineClient
    from greenflow.config import Settings


@click.command("logs", short_help="Follow the log of a running engine.")
@click.option("--follow", "-f", is_flag=True, help="Go on with each record that is written.")
@click.option("--node", metavar="NAME", help="Only records about this node.")
@click.option("--level", metavar="LEVEL", help="Only records of this level or above.")
@engine_options
@with_settings()
def command(
    settings: Settings,
    follow: bool,
    node: str | None,
    level: str | None,
    engine: str | None,
    admin: str | None,
) -> int:
    """Prints the last records of the log of a running engine, and with -f each one from then on.
    Ends with 1 when the engine ends."""
    from greenflow.cli.output import TABLES

    client = client_of(settings, engine, admin)
    is_table = settings.output in TABLES
    if not follow:
        for each in client.get("/api/v1/logs/recent", node=node, level=level)["items"]:
            _print_line(each["line"], is_table)
        return 0
    return _follow(client, node, level, is_table)


def _follow(client: EngineClient, node: str | None, level: str | None, is_table: bool) -> int:
    """Until the engine ends; a lease that is over is taken anew."""
    from greenflow.admin.client import NoEngine

    while True:
        try:
            reason = ""
            for name, data in client.events("/api/v1/logs", node=node, level=level):
                if name == "record":
                    _print(data, is_table)
                elif name == "dropped":
                    click.echo(f"{data['dropped']} records were dropped", err=True)
                elif name == "end":
                    reason = data["reason"]
        except NoEngine as error:
            reason = str(error)
        if reason != "the lease is over":
            click.echo(reason or "the engine ended", err=True)
            return 1


def _print_line(line: str, is_table: bool) -> None:
    """A record as it was written: a line of JSON, or text."""
    try:
        record = json.loads(line)
    except ValueError:
        click.echo(line)
    else:
        _print(record, is_table)


def _print(record: dict[str, Any], is_table: bool) -> None:
    from greenflow.log import printable

    if not is_table:
        click.echo(json.dumps(record))
        return
    first = {"ts", "level", "message", "logger", "traceback"}
    fields = "".join(f" {key}={value}" for key, value in record.items() if key not in first)
    line = f"{record['ts']} {record['level']:<7} {record['message']}{fields}"
    click.echo(printable(line))
    for part in record.get("traceback", "").splitlines():
        click.echo(f"    {printable(part)}")
