"""`greenflow schema`: the JSON Schema of spec files, for editors."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from greenflow.cli.options import with_settings

if TYPE_CHECKING:
    from greenflow.config import Settings


@click.command("schema", short_help="Write the JSON Schema of spec files.")
@with_settings()
def command(settings: Settings) -> None:
    """Writes the JSON Schema (2020-12) of spec files, with every kind that is installed.

    Editors complete and check spec files by it. Those that ask the YAML language server take it
    from a comment at the top of a file: # yaml-language-server: $schema=greenflow.schema.json
    """
    from greenflow.cli.output import print_data
    from greenflow.scheme.registry import Scheme
    from greenflow.scheme.schema import schema_of

    schema = schema_of(Scheme.installed())
    if settings.output == "yaml":
        print_data(schema, "yaml")
    else:
        click.echo(json.dumps(schema, indent=2, ensure_ascii=False))
