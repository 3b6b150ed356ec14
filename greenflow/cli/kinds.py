"""`greenflow kinds`: what kinds of nodes there are, and what each one takes."""

from __future__ import annotations

import inspect
import json
from typing import TYPE_CHECKING, Any

import click

from greenflow.cli.options import with_settings

if TYPE_CHECKING:
    from greenflow.config import Settings


@click.command("kinds", short_help="List the kinds of nodes, or show one.")
@click.argument("name", required=False)
@with_settings()
def command(settings: Settings, name: str | None) -> None:
    """Lists the kinds of nodes, or shows one: its fields, its ports, and what it does."""
    from greenflow.cli.output import print_data, print_table
    from greenflow.scheme import Scheme

    scheme = Scheme.installed()
    if name is None:
        kinds = [scheme.describe(kind) for kind in scheme.kinds()]
        if settings.output == "table":
            print_table(("KIND", "DOES"), ((kind["kind"], _summary(kind)) for kind in kinds))
        else:
            print_data([_plain(kind) for kind in kinds], settings.output)
        return
    try:
        kind = scheme.describe(name)
    except LookupError as error:
        raise click.UsageError(str(error.args[0])) from None
    if settings.output == "table":
        _show(kind)
    else:
        print_data(_plain(kind), settings.output)


def _show(kind: dict[str, Any]) -> None:
    from greenflow.cli.output import print_table

    click.echo(f"{kind['kind']}\n\n{inspect.cleandoc(kind['doc'])}\n")
    click.echo(f"in ports:  {', '.join(kind['inputs']) or '-'}")
    click.echo(f"out ports: {', '.join(kind['outputs']) or '-'}\n")
    print_table(
        ("FIELD", "TYPE", "DEFAULT", "MEANS"),
        (
            (
                field["name"],
                field["type"],
                "required" if field["required"] else _default(field["default"]),
                field["doc"] or None,
            )
            for field in kind["fields"]
        ),
    )


def _summary(kind: dict[str, Any]) -> str:
    """The first sentence of what a kind does, up to the end of its paragraph."""
    return " ".join(kind["doc"].partition("\n\n")[0].split())


def _default(value: Any) -> str | None:
    return None if value is None or value == "" else json.dumps(_plain(value))


def _plain(value: Any) -> Any:
    """A description as JSON can hold it: a default may be a struct of the kind's own."""
    import msgspec

    return msgspec.to_builtins(value)
