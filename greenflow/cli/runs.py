"""`greenflow runs`: what ran in a running engine and was recorded."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from greenflow.cli.engines import client_of, engine_options, repeat, watch_option
from greenflow.cli.options import with_settings

if TYPE_CHECKING:
    from greenflow.config import Settings


@click.command("runs", short_help="List what ran in a running engine.")
@click.option("--failed", is_flag=True, help="Only what failed.")
@click.option("--slow", is_flag=True, help="Only the slowest of each minute.")
@click.option("--node", metavar="NAME", help="Only what passed this node.")
@click.option("--since", metavar="DURATION", help="Only what began in the last so long, as 10m.")
@click.option(
    "--limit",
    type=click.IntRange(1),
    default=50,
    show_default=True,
    metavar="NUMBER",
    help="The newest, so many.",
)
@watch_option
@engine_options
@with_settings()
def command(
    settings: Settings,
    failed: bool,
    slow: bool,
    node: str | None,
    since: str | None,
    limit: int,
    watch: float | None,
    engine: str | None,
    admin: str | None,
) -> None:
    """Lists the recorded runs, the newest first: every one that failed, the slowest of each minute,
    and a sample. `greenflow show ID` shows one of them, `greenflow retry ID` runs it again."""
    from greenflow.cli.output import TABLES, print_data, print_table

    client = client_of(settings, engine, admin)
    seconds = None if since is None else _seconds(since)

    def show() -> None:
        import time

        query = {
            "failed": "true" if failed else None,
            "slow": "true" if slow else None,
            "node": node,
            "since": None if seconds is None else time.time() - seconds,
            "limit": min(limit, 200),
        }
        found = list(islice(client.pages("/api/v1/runs", **query), limit))
        if settings.output not in TABLES:
            print_data(found, settings.output)
            return
        titles = ("ID", "BEGAN", "TOOK", "OUTCOME", "WHAT", "NODE", "ERROR")
        print_table(titles, map(_row, found))

    repeat(show, watch)


def _row(run: dict[str, Any]) -> tuple[object, ...]:
    return (
        run["id"],
        when(run["started"]),
        took(run["duration"]),
        run["outcome"],
        run["request"] or run["source"] or "a call",
        run["node"] or None,
        run["error"] or None,
    )


def when(seconds: float) -> str:
    """A time, for a person: of this machine's zone."""
    from datetime import UTC, datetime

    return datetime.fromtimestamp(seconds, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def took(seconds: float | None) -> str:
    """How long something took, for a person."""
    if seconds is None:
        return "still"
    return f"{seconds * 1000:.1f}ms" if seconds < 10 else f"{seconds:.1f}s"


def _seconds(text: str) -> float:
    from greenflow.spec.duration import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise click.UsageError(f"--since: {error}") from None
