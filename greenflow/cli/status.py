"""`greenflow status`: a running engine and its nodes, or one node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from greenflow.cli.engines import (
    ago,
    client_of,
    engine_options,
    repeat,
    shown_time,
    watch_option,
)
from greenflow.cli.options import with_settings

if TYPE_CHECKING:
    from greenflow.admin.client import EngineClient
    from greenflow.config import Settings


@click.command("status", short_help="Show what a running engine and its nodes do.")
@click.argument("name", required=False)
@click.option("--state", metavar="STATE", help="Only nodes in this state, as inactive or paused.")
@click.option("--kind", metavar="KIND", help="Only nodes of this kind.")
@watch_option
@engine_options
@with_settings()
def command(
    settings: Settings,
    name: str | None,
    state: str | None,
    kind: str | None,
    watch: float | None,
    engine: str | None,
    admin: str | None,
) -> None:
    """Shows a running engine and its nodes, or the node NAME: state, reason, revision, packets in
    flight and in all, errors, and the times within which it does half and 99 of 100 of its work.

    A node is `active`; `starting`; `paused` by hand; `refused`, when an older revision of it runs
    as the newest could not; or `inactive`.
    """
    client = client_of(settings, engine, admin)
    if name is not None:
        repeat(lambda: _show_node(client, name, settings.output), watch)
    else:
        repeat(lambda: _show_engine(client, state, kind, settings.output), watch)


def _show_engine(client: EngineClient, state: str | None, kind: str | None, form: str) -> None:
    from greenflow.cli.output import TABLES, print_data, print_table
    from greenflow.cli.ps import state_of

    status = client.get("/api/v1/status")
    nodes = list(client.pages("/api/v1/nodes", state=state, kind=kind))
    if form not in TABLES:
        print_data({**status, "nodes": nodes, "counts": status["nodes"]}, form)
        return
    counts = ", ".join(f"{count} {state}" for state, count in status["nodes"].items())
    click.echo(
        f"{status['name']} ({status['pid']}): {state_of(status)}, up {ago(status['uptime'])}, "
        f"greenflow {status['version']}, {counts or 'no nodes'}, {status['processes']} processes"
    )
    for reason in status["missing"]:
        click.echo(f"  {reason}")
    titles = (
        *("NAME", "KIND", "STATE", "REVISION", "IN FLIGHT", "PACKETS", "ERRORS", "P50", "P99"),
        "REASON",
    )
    print_table(titles, map(_row, nodes))


def _row(node: dict[str, Any]) -> tuple[object, ...]:
    return (
        node["name"] or node["id"],
        node["kind"],
        node["state"],
        node["revision"],
        node["in_flight"],
        node["packets"],
        node["errors"],
        shown_time(node["p50"]),
        shown_time(node["p99"]),
        node["reason"] or None,
    )


def _show_node(client: EngineClient, name: str, form: str) -> None:
    from greenflow.admin.client import segment
    from greenflow.cli.output import TABLES, print_data, print_table

    node = client.get(f"/api/v1/nodes/{segment(name)}")
    if form not in TABLES:
        print_data(node, form)
        return
    links = ", ".join(f"{port} -> {' '.join(to)}" for port, to in node["links"].items())
    shown = {**node, "links": links or None, "reason": node["reason"] or None}
    print_table(("FIELD", "VALUE"), shown.items())
