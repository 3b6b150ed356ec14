"""What `greenflow pause` and `greenflow resume` share: sources that hold, or go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from greenflow.cli.engines import client_of

if TYPE_CHECKING:
    from greenflow.config import Settings


def change(
    settings: Settings, what: str, names: tuple[str, ...], engine: str | None, admin: str | None
) -> None:
    """Have sources of a running engine pause or resume, and print their states."""
    from greenflow.admin.client import segment
    from greenflow.cli.output import TABLES, print_data, print_table

    client = client_of(settings, engine, admin)
    nodes = [client.post(f"/api/v1/nodes/{segment(name)}/{what}") for name in names]
    if settings.output in TABLES:
        rows = ((node["name"] or node["id"], node["kind"], node["state"]) for node in nodes)
        print_table(("NAME", "KIND", "STATE"), rows)
    else:
        print_data(nodes, settings.output)
