"""`greenflow tap`: what passes a node of a running engine, as it passes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from greenflow.cli.engines import client_of, engine_options
from greenflow.cli.options import with_settings

if TYPE_CHECKING:
    from greenflow.config import Settings

#: Ends of a stream that were asked for; any other is that of the node or of the engine.
_WELL = frozenset({"it has told all that it may", "the lease is over"})


@click.command("tap", short_help="Show what passes a node, live.")
@click.argument("node")
@click.option("--filter", "chosen", metavar="CEL", help="Only payloads, `self`, it is true of.")
@click.option("--rate", type=click.IntRange(1, 100), metavar="NUMBER", help="A second: 5.")
@click.option("--total", type=click.IntRange(1, 10_000), metavar="NUMBER", help="In all: 50.")
@engine_options
@with_settings()
def command(
    settings: Settings,
    node: str,
    chosen: str | None,
    rate: int | None,
    total: int | None,
    engine: str | None,
    admin: str | None,
) -> int:
    """Shows what comes to the ports of a node and what leaves by them, without secrets: of each
    second a few, and each as likely as any other. Ends with 0 when it has shown all that it may,
    with 1 when the node or the engine is gone."""
    from greenflow.admin.client import segment
    from greenflow.cli.output import TABLES

    client = client_of(settings, engine, admin)
    asked = {"filter": chosen, "rate": rate, "total": total}
    order = {name: value for name, value in asked.items() if value is not None}
    is_table, reason = settings.output in TABLES, "the engine ended"
    for name, data in client.events(f"/api/v1/nodes/{segment(node)}/tap", order):
        if name == "passage":
            _print(data, is_table)
        elif name == "end":
            reason = data["reason"]
    click.echo(reason, err=True)
    return int(reason not in _WELL)


def _print(passage: dict[str, Any], is_table: bool) -> None:
    from greenflow.cli.runs import when
    from greenflow.log import printable

    if not is_table:
        click.echo(json.dumps(passage, ensure_ascii=False))
        return
    arrow = "->" if passage["way"] == "in" else "<-"
    line = (
        f"{when(passage['time'])} {arrow} {passage['port']} process {passage['process']} "
        f"1/{passage['of']} {passage['payload']['text']}"
    )
    click.echo(printable(line))
