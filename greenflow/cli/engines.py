"""What the commands share that ask a running engine: which one, and asking again and again.

Lives here: the options --engine, --admin and --watch. How an engine is asked is admin/client.py's.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from greenflow.admin.client import EngineClient
    from greenflow.config import Settings


def engine_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command the options that choose a running engine: `engine` and `admin`."""
    command = click.option(
        "--admin", metavar="URL", help="Its admin interface: unix:PATH, HOST:PORT or a URL."
    )(command)
    return click.option(
        "--engine", metavar="NAME", help="The running engine: its name, NAME-PID or PID."
    )(command)


def watch_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command --watch."""
    return click.option(
        "--watch",
        type=click.FloatRange(0.1),
        metavar="SECONDS",
        is_flag=False,
        flag_value=2.0,
        help="Show it again each so many seconds (2), until Ctrl-C.",
    )(command)


def client_of(settings: Settings, engine: str | None, admin: str | None) -> EngineClient:
    """Who asks the engine that is meant. Raises NoEngine, UsageError."""
    from greenflow.admin.client import EngineClient, target_of, the_engine

    if engine is not None and admin is not None:
        raise click.UsageError("either --engine or --admin")
    if admin is None:
        return EngineClient(the_engine(engine))
    try:
        target = target_of(admin)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--admin") from None
    token = settings.admin.token
    return EngineClient(target, token[0] if token else "")


def repeat(show: Callable[[], None], seconds: float | None) -> None:
    """Show it once, or again and again."""
    show()
    while seconds is not None:
        time.sleep(seconds)
        if sys.stdout is not None and sys.stdout.isatty():
            click.clear()
        show()
        sys.stdout.flush()


def ago(seconds: float) -> str:
    """How long something has run, for a person."""
    from greenflow.spec.duration import format_duration

    return format_duration(float(int(seconds)))


def shown_time(seconds: float | None) -> str | None:
    """A time as a person reads it: 1.2 ms, 35 s."""
    if seconds is None:
        return None
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} us"
