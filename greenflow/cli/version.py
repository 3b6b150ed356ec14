"""`greenflow version`."""

from __future__ import annotations

import click


@click.command("version", short_help="Print the version.")
def command() -> None:
    """Prints the version."""
    from importlib.metadata import version

    click.echo(f"greenflow {version('greenflow')}")
