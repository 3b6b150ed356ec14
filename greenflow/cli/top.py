"""`greenflow top`: the busiest nodes of a running engine, live."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from greenflow.cli.engines import ago, client_of, engine_options, shown_time
from greenflow.cli.options import with_settings

if TYPE_CHECKING:
    from rich.table import Table

    from greenflow.admin.client import EngineClient
    from greenflow.config import Settings

#: Lines of a terminal that are no nodes.
AROUND = 4

#: Nodes that are told where there is no terminal.
MOST = 50


@click.command("top", short_help="Watch the busiest nodes of a running engine.")
@click.option(
    "--interval",
    type=click.FloatRange(0.2),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="Time between two looks.",
)
@click.option("--times", type=click.IntRange(1), metavar="N", help="End after N looks.")
@engine_options
@with_settings()
def command(
    settings: Settings, interval: float, times: int | None, engine: str | None, admin: str | None
) -> None:
    """Shows the busiest nodes of a running engine, until Ctrl-C: packets and errors a second since
    the look before, packets in flight, and the times within which a node does half and 99 of 100
    of its work. In a pipe, or with `--output json`, each look is one JSON object in a line.
    """
    client = client_of(settings, engine, admin)
    looks = Looks(client)
    if settings.output == "table" and sys.stdout is not None and sys.stdout.isatty():
        _live(looks, interval, times)
        return
    from json import dumps

    for _ in _counted(times):
        time.sleep(interval)
        status, nodes = looks.next()
        click.echo(dumps({**status, "nodes": nodes[:MOST]}))


class Looks:
    """What an engine does from look to look."""

    def __init__(self, client: EngineClient) -> None:
        self._client = client
        self._before: dict[str, tuple[int, int]] = {}
        self._time = 0.0
        self.next()

    def next(self) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The engine, and its nodes with `rate` and `failing`, each a second; the busiest first."""
        status = self._client.get("/api/v1/status")
        nodes = list(self._client.pages("/api/v1/nodes"))
        now = time.monotonic()
        seconds = now - self._time
        before, self._time = self._before, now
        self._before = {node["id"]: (node["packets"], node["errors"]) for node in nodes}
        for node in nodes:
            packets, errors = before.get(node["id"], (node["packets"], node["errors"]))
            node["rate"] = max(0.0, node["packets"] - packets) / seconds
            node["failing"] = max(0.0, node["errors"] - errors) / seconds
        nodes.sort(key=lambda node: (-node["rate"], -node["in_flight"], node["name"] or node["id"]))
        return status, nodes


def _live(looks: Looks, interval: float, times: int | None) -> None:
    from rich.console import Console
    from rich.live import Live

    console = Console(highlight=False)
    with Live(console=console, screen=True, auto_refresh=False) as live:
        for _ in _counted(times):
            time.sleep(interval)
            live.update(_table(*looks.next(), max(console.height - AROUND, 1)), refresh=True)


def _table(status: dict[str, Any], nodes: list[dict[str, Any]], room: int) -> Table:
    from rich.table import Table
    from rich.text import Text

    from greenflow.cli.ps import state_of
    from greenflow.log import printable

    title = (
        f"{status['name']} ({status['pid']}): {state_of(status)}, up {ago(status['uptime'])}, "
        f"{status['processes']} processes"
    )
    table = Table(box=None, pad_edge=False, title=printable(title), title_justify="left")
    for heading in ("NAME", "KIND", "STATE"):
        table.add_column(heading, no_wrap=True)
    for heading in ("PACKETS/S", "ERRORS/S", "IN FLIGHT", "P50", "P99"):
        table.add_column(heading, justify="right", no_wrap=True)
    for node in nodes[:room]:
        cells = (
            node["name"] or node["id"],
            node["kind"],
            node["state"],
            f"{node['rate']:.1f}",
            f"{node['failing']:.1f}",
            node["in_flight"],
            shown_time(node["p50"]) or "-",
            shown_time(node["p99"]) or "-",
        )
        table.add_row(*(Text(printable(str(cell))) for cell in cells))
    return table


def _counted(times: int | None) -> Iterable[int]:
    from itertools import count

    return count() if times is None else range(times)
