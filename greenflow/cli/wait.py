"""`greenflow wait`: until a running engine, or a node of it, is ready."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from greenflow.cli.engines import client_of, engine_options
from greenflow.cli.options import with_settings
from greenflow.cli.reading import read_timeout

if TYPE_CHECKING:
    from greenflow.admin.client import EngineClient
    from greenflow.config import Settings

#: Seconds between two looks.
PAUSE = 0.2


@click.command("wait", short_help="Wait until an engine or a node is ready.")
@click.option(
    "--for",
    "wanted",
    required=True,
    metavar="WHAT",
    help="`ready`: the engine is; or `active=NAME`: that node is.",
)
@click.option("--timeout", default="60s", show_default=True, metavar="DURATION", help="How long.")
@engine_options
@with_settings()
def command(
    settings: Settings, wanted: str, timeout: str, engine: str | None, admin: str | None
) -> int:
    """Waits until a running engine is ready, or a node of it is active; also for an engine that is
    not there yet. Ends with 1, and says what was missing, when that takes longer than --timeout.
    """
    from greenflow.admin.client import AdminFailed, NoEngine

    what, _, name = wanted.partition("=")
    if (what, bool(name)) not in (("ready", False), ("active", True)):
        raise click.BadParameter("ready or active=NAME", param_hint="--for")
    seconds = read_timeout(timeout)
    end = time.monotonic() + (0.0 if seconds is None else seconds)
    while True:
        try:
            client = client_of(settings, engine, admin)
            missing = _missing(client, name)
        except (AdminFailed, NoEngine) as error:
            missing = str(error)
        if not missing:
            return 0
        if time.monotonic() >= end:
            click.echo(f"not {wanted} within {timeout}: {missing}", err=True)
            return 1
        time.sleep(PAUSE)


def _missing(client: EngineClient, name: str) -> str:
    """What is in the way, or nothing."""
    from greenflow.admin.client import segment

    if not name:
        status = client.get("/api/v1/status")
        return "" if status["ready"] else "; ".join(status["missing"])
    node = client.get(f"/api/v1/nodes/{segment(name)}")
    return "" if node["state"] == "active" else f"{node['state']}: {node['reason']}"
