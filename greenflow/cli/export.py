"""`greenflow export`: writes what is stored into files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from greenflow.cli.options import with_settings

if TYPE_CHECKING:
    from greenflow.config import Settings


@click.command("export", short_help="Write what is stored into files.")
@click.argument("folder", type=click.Path(file_okay=False), metavar="DIR")
@click.option(
    "--as-applied", is_flag=True, help="The files as they were applied, with their comments."
)
@with_settings()
def command(settings: Settings, folder: str, as_applied: bool) -> None:
    """Writes the specs of a namespace into a folder that is new or empty: one file a spec, or with
    --as-applied the files that they came from, as far as they say what is stored.

    Values are not exported: their data may be a secret.
    """
    from greenflow.cli.progress import Progress
    from greenflow.cli.sources import as_applied_files, one_file_a_spec
    from greenflow.store.base import open_store

    if os.path.isdir(folder) and os.listdir(folder):
        raise click.UsageError(f"{folder} is not empty; name a folder that is new")
    with Progress("reading specs") as progress:
        with open_store(settings.database, create=False) as store:
            files = (as_applied_files if as_applied else one_file_a_spec)(store, settings.namespace)
        progress.now(f"writing {len(files)} files")
        for path, text in files.items():
            whole = os.path.join(folder, path)
            os.makedirs(os.path.dirname(whole) or ".", exist_ok=True)
            with open(whole, "x", encoding="utf-8") as file:
                file.write(text)
    click.echo(f"{len(files)} {'file' if len(files) == 1 else 'files'} in {folder}")
