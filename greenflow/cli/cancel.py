"""`greenflow cancel`: ends processes of a running engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from greenflow.cli.engines import client_of, engine_options
from greenflow.cli.options import with_settings
from greenflow.cli.reading import read_timeout

if TYPE_CHECKING:
    from greenflow.config import Settings

#: Seconds beyond the longest grace that an engine has to answer.
MORE = 30.0


@click.command("cancel", short_help="End processes of a running engine.")
@click.argument("numbers", nargs=-1, type=click.IntRange(0), metavar="[NUMBER]...")
@click.option("--source", metavar="NAME", help="All processes of this source, 1,000 at most.")
@click.option("--grace", metavar="DURATION", help="What calls have to end that must not be cut.")
@engine_options
@with_settings()
def command(
    settings: Settings,
    numbers: tuple[int, ...],
    source: str | None,
    grace: str | None,
    engine: str | None,
    admin: str | None,
) -> int:
    """Ends processes and their children, rolled back. Who waits for their answers gets the error
    `cancelled`; a listener answers 503.

    A call that must not be interrupted has the grace of the engine, or less with `--grace`; then it
    is given up, and the exit code is 1. So it is where there was no such process.
    """
    from greenflow.cli.output import TABLES, print_data, print_table

    if not numbers and source is None:
        raise click.UsageError("say which NUMBERs, or --source")
    client = client_of(settings, engine, admin)
    seconds = read_timeout(grace)
    body = {"ids": list(numbers), "source": source, "grace": seconds}
    patience = (settings.grace if seconds is None else seconds) + MORE
    done = client.post("/api/v1/processes/cancel", body, patience)
    if settings.output in TABLES:
        rows = [(each["id"], each["outcome"].replace("_", " ")) for each in done["items"]]
        rows += [(id, "not there") for id in done["unknown"]]
        print_table(("NUMBER", "RESULT"), rows)
    else:
        print_data(done, settings.output)
    return int(bool(done["unknown"]) or any(e["outcome"] != "ended" for e in done["items"]))
