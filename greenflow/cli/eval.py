"""`greenflow eval`: try a snippet out on a payload."""

from __future__ import annotations

import sys

import click

from greenflow.cli.options import COMPAT, with_settings
from greenflow.cli.reading import read_timeout
from greenflow.config import Settings, of_languages


@click.command("eval", short_help="Run a piece of code on a payload.")
@click.argument("code")
@click.option(
    "--language", "-l", default="cel", help="What the code is written in.", metavar="TEXT"
)
@click.option("--input", "file", metavar="FILE", help="JSON payload; - is standard input.")
@click.option("--timeout", metavar="DURATION", help="How long it may take, such as 500ms.")
@with_settings(COMPAT)
def command(
    settings: Settings, code: str, language: str, file: str | None, timeout: str | None
) -> None:
    """Runs CODE as a snippet does, and prints the result as JSON.

    The payload is null unless --input names a JSON file. What the code logs goes to standard
    error.
    """
    from greenflow import lang
    from greenflow.net import mime
    from greenflow.scheme.compat.translation import as_meant

    seconds = read_timeout(timeout)
    payload = None
    if file is not None:
        with click.open_file(file, "rb") as source:
            payload = mime.loads(source.read())
    code = as_meant(code, language, settings.compat)
    told = of_languages(settings)
    lang.hold(told)
    try:
        result = lang.compile(language, code)(payload, timeout=seconds, log=_log)
    finally:
        lang.release(told)
    sys.stdout.buffer.write(mime.dumps(result))


def _log(text: str) -> None:
    click.echo(text, err=True)
