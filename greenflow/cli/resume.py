"""`greenflow resume`: paused sources of a running engine go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from greenflow.cli.engines import engine_options
from greenflow.cli.options import with_settings

if TYPE_CHECKING:
    from greenflow.config import Settings


@click.command("resume", short_help="Have paused sources go on.")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@engine_options
@with_settings()
def command(
    settings: Settings, names: tuple[str, ...], engine: str | None, admin: str | None
) -> None:
    """Has the paused sources NAME go on."""
    from greenflow.cli.pausing import change

    change(settings, "resume", names, engine, admin)
