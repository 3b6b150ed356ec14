"""`greenflow pause`: sources of a running engine hold what comes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from greenflow.cli.engines import engine_options
from greenflow.cli.options import with_settings

if TYPE_CHECKING:
    from greenflow.config import Settings


@click.command("pause", short_help="Have sources of a running engine hold.")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@engine_options
@with_settings()
def command(
    settings: Settings, names: tuple[str, ...], engine: str | None, admin: str | None
) -> None:
    """Has the sources NAME begin nothing until they are resumed or the engine ends, edits of them
    too: a listener answers 503 with Retry-After, due times of a schedule count as missed, events
    and changes of files wait. What is under way goes on."""
    from greenflow.cli.pausing import change

    change(settings, "pause", names, engine, admin)
