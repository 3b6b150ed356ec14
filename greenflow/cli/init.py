"""`greenflow init`: a project folder that runs, is tested and linted.

Lives here: making the folder. What is in it lies in templates/, a folder for each: specs, cases
that test them, settings, a README; and what is the same for all of them, the .gitignore.
"""

from __future__ import annotations

import os
import secrets
import shlex
from pathlib import Path

import click

#: The templates, and what each of them is.
TEMPLATES = {
    "hello": "answers every request",
    "api": "notes over HTTP, kept in SQLite",
    "webhook": "takes messages that are signed with HMAC-SHA256",
    "events": "orders that others hear of",
}

#: What stands in a template for a key of the new project's own.
_KEY = "@SECRET@"

#: Bytes of such a key: as long as what SHA-256 makes, which RFC 2104, section 3, asks for.
_KEY_SIZE = 32

_FOLDER = Path(__file__).parent / "templates"


@click.command(
    "init",
    short_help="Make a project folder.",
    epilog="Templates: " + "; ".join(f"{name}: {text}" for name, text in TEMPLATES.items()) + ".",
)
@click.argument("template", default="hello", type=click.Choice(list(TEMPLATES)))
@click.argument("folder", default=None, required=False, metavar="[DIR]")
def command(template: str, folder: str | None) -> None:
    """Makes a project of a template (hello unless you say another) in the folder DIR, which is
    called as the template unless you say: specs that run, their tests, settings and a README.

    A folder that is there must be empty.
    """
    target = Path(folder or template)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        what = "is not empty" if target.is_dir() else "is a file"
        raise click.UsageError(f"{target} {what}; name a folder that is new or empty")
    target.mkdir(parents=True, exist_ok=True)
    sources = {path.name: path for path in sorted((_FOLDER / template).iterdir()) if path.is_file()}
    for name, source in {".gitignore": _FOLDER / "gitignore", **sources}.items():
        _write(target / name, source.read_text(encoding="utf-8"))
        click.echo(f"wrote {target / name}")
    place = "" if target == Path() else f"cd {shlex.quote(str(target))} && "
    click.echo(f"now: {place}greenflow run {template}.yaml")


def _write(path: Path, text: str) -> None:
    """Writes a file of the project; one with a key is for its owner alone."""
    mode = 0o600 if _KEY in text else 0o666
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text.replace(_KEY, secrets.token_hex(_KEY_SIZE)))
