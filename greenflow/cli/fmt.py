"""`greenflow fmt`: writes spec files in one form."""

from __future__ import annotations

import difflib
import sys
from typing import TYPE_CHECKING

import click

from greenflow.cli.options import files_option, take_files, with_settings

if TYPE_CHECKING:
    from greenflow.config import Settings

#: What --check ends with when a file would be written.
UNFORMATTED = 1


@click.command("fmt", short_help="Write spec files in one form.")
@click.argument("words", nargs=-1, metavar="[FILE]...")
@files_option
@click.option("--check", is_flag=True, help="Write nothing; end with 1 if a file would be written.")
@click.option("--diff", is_flag=True, help="Write nothing; show what would be written.")
@with_settings()
def command(
    settings: Settings, words: tuple[str, ...], files: tuple[str, ...], check: bool, diff: bool
) -> int:
    """Writes spec FILEs and those of folders in one form: indented by two, with the same spacing.
    Comments, quotes and the order of fields stay, and what a file means; one of which that is not
    so is left as it is, with an error. Standard input is written to standard output."""
    from greenflow.spec.document import files_of
    from greenflow.spec.formatting import NotFormatted, formatted

    _, paths = take_files(words, files)
    names = [file for path in paths for file in files_of(path)]
    changed = failed = 0
    for path in names:
        text = _read(path)
        try:
            result = formatted(text, path)
        except NotFormatted as error:
            failed += 1
            click.echo(str(error), err=True)
            continue
        if path == "-" and not (check or diff):
            click.echo(result, nl=False)
        elif result != text:
            changed += 1
            _write(path, text, result, check, diff)
    would = " would be" if check or diff else ""
    if paths != ("-",):
        many = "file" if len(names) == 1 else "files"
        click.echo(f"{len(names)} {many}, {changed}{would} written", err=True)
    return UNFORMATTED if failed or (check and changed) else 0


def _read(path: str) -> str:
    if path == "-":
        return sys.stdin.buffer.read().decode()
    with open(path, encoding="utf-8", newline="") as file:
        return file.read()


def _write(path: str, text: str, result: str, check: bool, diff: bool) -> None:
    if diff:
        lines = text.splitlines(keepends=True), result.splitlines(keepends=True)
        click.echo("".join(difflib.unified_diff(*lines, path, path)), nl=False)
    elif check:
        click.echo(path)
    else:
        with open(path, "w", encoding="utf-8", newline="") as file:
            file.write(result)
        click.echo(f"wrote {path}")
