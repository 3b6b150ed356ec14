"""`greenflow bundle`: what somebody needs who is asked for help."""

from __future__ import annotations

import json
import os
import time
import zipfile
from typing import TYPE_CHECKING

import click

from greenflow.cli.engines import client_of, engine_options
from greenflow.cli.options import with_settings

if TYPE_CHECKING:
    from greenflow.config import Settings


@click.command("bundle", short_help="Write a file of all that an engine tells, for support.")
@click.argument("file", required=False)
@engine_options
@with_settings()
def command(settings: Settings, file: str | None, engine: str | None, admin: str | None) -> None:
    """Writes what a running engine tells of itself into FILE (greenflow-NAME-TIME.zip), a ZIP file:
    settings without secrets, status, nodes, processes, stacks, loggers, metrics, what failed last.

    The file is for its owner alone to read. Names of nodes, paths of requests and payloads of what
    failed are in it, redacted as in the log.
    """
    bundle = client_of(settings, engine, admin).get("/api/v1/bundle")
    status = bundle["parts"].get("status", {})
    if file is None:
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(bundle["made"]))
        file = f"greenflow-{os.path.basename(status.get('name', 'engine'))}-{stamp}.zip"
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with (
        os.fdopen(descriptor, "wb") as opened,
        zipfile.ZipFile(opened, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        parts = bundle.pop("parts")
        for name, part in {"engine": bundle, **parts}.items():
            if isinstance(part, str):
                archive.writestr(f"{name}.txt", part)
            elif part is not None:
                archive.writestr(f"{name}.json", json.dumps(part, indent=2))
    click.echo(file)
