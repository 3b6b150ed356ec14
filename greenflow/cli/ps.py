"""`greenflow ps`: the engines that run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from greenflow.cli.engines import ago, repeat, watch_option
from greenflow.cli.options import with_settings

if TYPE_CHECKING:
    from greenflow.admin.sockets import RunningEngine
    from greenflow.config import Settings


@click.command("ps", short_help="List the engines that run.")
@watch_option
@with_settings()
def command(settings: Settings, watch: float | None) -> None:
    """Lists the running engines of this user: those that `greenflow run` has opened a Unix socket
    for. The other commands choose one by `--engine NAME`."""
    from greenflow.admin.client import engines
    from greenflow.cli.output import TABLES, print_data, print_table

    def show() -> None:
        found = [_looked_at(each) for each in engines(None)]
        if settings.output in TABLES:
            titles = ("NAME", "PID", "STATE", "UPTIME", "NODES", "INACTIVE", "PROCESSES", "STORE")
            print_table(titles, map(_row, found))
        else:
            print_data(found, settings.output)

    repeat(show, watch)


def _looked_at(engine: RunningEngine) -> dict[str, Any]:
    from greenflow.admin.client import EngineAddress, EngineClient
    from greenflow.errors import GreenflowError

    found: dict[str, Any] = {"name": engine.name, "pid": engine.pid, "socket": engine.path}
    try:
        found |= EngineClient(EngineAddress(engine.path, "")).get("/api/v1/status")
    except GreenflowError as error:
        return {**found, "state": "silent", "error": str(error)}
    return {**found, "state": state_of(found)}


def state_of(status: dict[str, Any]) -> str:
    """The state of an engine in a word."""
    if status["draining"]:
        return "draining"
    return "ready" if status["ready"] else "not ready"


def _row(found: dict[str, Any]) -> tuple[object, ...]:
    if found["state"] == "silent":
        return found["name"], found["pid"], "silent", None, None, None, None, None
    nodes = found["nodes"]
    return (
        found["name"],
        found["pid"],
        found["state"],
        ago(found["uptime"]),
        sum(nodes.values()),
        nodes.get("inactive", 0),
        found["processes"],
        found["store"],
    )
