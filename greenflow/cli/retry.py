"""`greenflow retry`: runs a recorded run again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from greenflow.cli.engines import client_of, engine_options
from greenflow.cli.options import with_settings
from greenflow.cli.reading import read_timeout

if TYPE_CHECKING:
    from greenflow.config import Settings

#: Seconds that a run has unless it says otherwise, and those beyond it that an engine has to
#: answer.
TIMEOUT, MORE = 30.0, 30.0


@click.command("retry", short_help="Run a recorded run again.")
@click.argument("run")
@click.option("--timeout", metavar="DURATION", help="What it may take, 30s if nothing is said.")
@engine_options
@with_settings()
def command(
    settings: Settings, run: str, timeout: str | None, engine: str | None, admin: str | None
) -> int:
    """Sends what a recorded run began with again, as it was, to where it came in, and prints the
    answer as JSON. It runs by the graph that runs now. `greenflow runs` lists runs.

    Only what was small enough to be shown whole is kept as it was.
    """
    from greenflow.admin.client import segment

    seconds = read_timeout(timeout)
    seconds = TIMEOUT if seconds is None else seconds
    client = client_of(settings, engine, admin)
    path = f"/api/v1/runs/{segment(run)}/retry"
    done = client.post(path, {"timeout": seconds}, seconds + MORE)
    if done["outcome"] == "answered":
        click.echo(json.dumps(done["answer"], ensure_ascii=False))
        return 0
    where = f"{done['node']} at {done['at']}: " if done["node"] else ""
    click.echo(f"{where}{done['error']}", err=True)
    return 1
