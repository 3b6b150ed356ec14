"""`greenflow migrate`: spec files in the words of the Go engine, rewritten in ours."""

from __future__ import annotations

import os
import sys
from difflib import unified_diff
from typing import TYPE_CHECKING, get_args

import click

from greenflow.cli.options import with_settings
from greenflow.config import Compat

if TYPE_CHECKING:
    from greenflow.config import Settings
    from greenflow.scheme.migration import Migrated
    from greenflow.scheme.registry import Scheme


@click.command("migrate", short_help="Rewrite spec files of the Go engine.")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--from",
    "release",
    type=click.Choice(tuple(name for name in get_args(Compat) if name != "none")),
    help="The release that the files were written for: what it means is written in our words.",
)
@click.option("--write", is_flag=True, help="Rewrite the files; otherwise a diff is shown.")
@with_settings()
def command(settings: Settings, files: tuple[str, ...], release: str | None, write: bool) -> int:
    """Rewrites spec files (or folders, or - for standard input) so that they use the names that
    greenflow uses: fields, kinds, and durations with units. Comments, order and layout stay.
    With --from, what its release means otherwise is written in greenflow's way, too; the new text
    is what `greenflow run --compat` makes of the old one.

    Without --write a diff is shown, and of standard input the new text. What greenflow does not
    know stays as it is and is told; then the exit code is 3.
    """
    from greenflow.scheme.compat.releases import RELEASES
    from greenflow.scheme.migration import NotMigrated, migrate
    from greenflow.scheme.registry import Scheme
    from greenflow.spec.batch import MissingFile
    from greenflow.spec.document import STANDARD_INPUT, DocumentError, files_of

    scheme = Scheme.installed()
    code = 0
    for path in files:
        try:
            found = files_of(path)
        except DocumentError as error:
            click.echo(str(error), err=True)
            code = error.exit_code
            continue
        for file in found:
            try:
                text = _text_of(file)
                migrated = migrate(text, file, scheme, RELEASES.get(release or ""))
            except FileNotFoundError as error:
                raise MissingFile(file) from error
            except (DocumentError, NotMigrated) as error:
                click.echo(str(error), err=True)
                code = error.exit_code
                continue
            for note in migrated.notes:
                click.echo(note, err=True)
            if file == STANDARD_INPUT:
                click.echo(migrated.text, nl=False)
            elif write and migrated.changes:
                _replace(file, migrated.text)
            if write or file == STANDARD_INPUT:
                _tell(file, migrated, to_errors=file == STANDARD_INPUT)
            else:
                _show(file, text, migrated.text)
            code = _check(file, migrated, scheme, settings.namespace) or code
    return code


def _text_of(file: str) -> str:
    """The text of a file as it is, line ends and all. What is no UTF-8 is for the reader to say."""
    from greenflow.spec.document import STANDARD_INPUT, DocumentError, read

    if file == STANDARD_INPUT:
        content = sys.stdin.buffer.read() if sys.stdin is not None else b""
    else:
        with open(file, "rb") as opened:
            content = opened.read()
    try:
        return content.decode()
    except UnicodeDecodeError:
        read(content, file)
        raise DocumentError(file, 0, 0, "not UTF-8") from None


def _replace(file: str, text: str) -> None:
    """Put the text in the place of what is in the file, all of it or nothing."""
    from tempfile import NamedTemporaryFile

    path = os.path.realpath(file)
    with NamedTemporaryFile(
        "w", encoding="utf-8", newline="", dir=os.path.dirname(path), prefix=".", delete=False
    ) as temporary:
        try:
            temporary.write(text)
            os.fchmod(temporary.fileno(), os.stat(path).st_mode & 0o7777)
            os.replace(temporary.name, path)
        except BaseException:
            os.unlink(temporary.name)
            raise


def _tell(file: str, migrated: Migrated, to_errors: bool) -> None:
    for change in migrated.changes:
        click.echo(f"{file}:{change.line}:{change.column}: {change}", err=to_errors)


def _show(file: str, before: str, after: str) -> None:
    lines = unified_diff(
        before.splitlines(keepends=True), after.splitlines(keepends=True), file, file
    )
    for line in lines:
        click.echo(
            line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n", nl=False
        )


def _check(file: str, migrated: Migrated, scheme: Scheme, namespace: str) -> int:
    """Tells what `apply` would refuse in the new text, and returns the exit code for it. Values are
    no specs, and look the same in both words."""
    from greenflow.spec.batch import Faulty, check

    specs = [one for one in migrated.documents if "kind" in one.data or "data" not in one.data]
    try:
        check(specs, scheme, namespace, named=False)
    except Faulty as error:
        for line in error.lines:
            click.echo(line, err=True)
        return error.exit_code
    return 0
