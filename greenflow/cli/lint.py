"""`greenflow lint`: what is wrong with spec files, and what is hardly meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from greenflow.cli.options import COMPAT, files_option, take_files, with_settings

if TYPE_CHECKING:
    from greenflow.config import Settings
    from greenflow.lint.linting import Linted

FORMS = ("text", "json", "sarif", "github")

#: What it ends with when an error was found.
FAULTY = 3


@click.command("lint", short_help="Look for what is wrong with spec files, or hardly meant.")
@click.argument("words", nargs=-1, metavar="[FILE]...")
@files_option
@click.option(
    "--output",
    "-o",
    "--format",
    "form",
    type=click.Choice(FORMS),
    help="Lines for people (default), JSON, SARIF 2.1.0 for code hosts, or commands of GitHub's"
    " workflows.",
)
@click.option("--fix", is_flag=True, help="Mend what can be mended for sure, in the files.")
@click.option(
    "--add-ignores", is_flag=True, help="Silence what is found, by comments in the files."
)
@click.option("--preview", is_flag=True, help="Also look for what new rules are about.")
@click.option("--rules", is_flag=True, help="Print the page of all rules.")
@click.option("--explain", metavar="GF012", help="Say what a rule is about.")
@with_settings(COMPAT, without=("output",))
def command(
    settings: Settings,
    words: tuple[str, ...],
    files: tuple[str, ...],
    form: str | None,
    fix: bool,
    add_ignores: bool,
    preview: bool,
    rules: bool,
    explain: str | None,
) -> int:
    """Checks spec FILEs and folders: all that `greenflow apply` checks, and over all specs together
    what leads nowhere, goes round for ever, stands twice or in clear.

    Each finding is of a rule, whose level settings change: lint.error, lint.warning, lint.info and
    lint.off are lists of ids. `# greenflow: ignore GF012 why` at a spec or field silences it there.
    The exit code is 3 if an error was found.
    """
    from greenflow.lint.rules import page

    if fix and add_ignores:
        raise click.UsageError("--fix first, then --add-ignores for what is left")
    if rules:
        click.echo(page(), nl=False)
        return 0
    if explain:
        click.echo(_explained(explain))
        return 0
    from greenflow.cli.progress import Progress
    from greenflow.lint.linting import lint
    from greenflow.scheme.registry import Scheme

    _, paths = take_files(words, files)
    scheme = Scheme.installed(compat=settings.compat)
    with Progress("looking at files"):
        linted = lint(paths, scheme, settings, preview)
    if fix or add_ignores:
        _write(linted, fix, add_ignores)
        with Progress("looking again"):
            linted = lint(paths, scheme, settings, preview)
    _print(linted, form or ("json" if settings.output == "json" else "text"))
    return FAULTY if linted.report.counts()["error"] else 0


def _explained(id: str) -> str:
    from greenflow.lint.rules import BY_ID

    rule = BY_ID.get(id.upper())
    if rule is None:
        raise click.UsageError(f"there is no rule {id!r}; `greenflow lint --rules` has all")
    examples = (("found in:", rule.bad), ("not in:", rule.good))
    shown = [f"{title}\n\n{text}" for title, text in examples if text]
    return "\n\n".join([f"{rule.id} {rule.name} ({rule.level}): {rule.summary}", rule.why, *shown])


def _write(linted: Linted, fix: bool, add_ignores: bool) -> None:
    from greenflow.lint.mending import mended, with_ignores

    for file in linted.files:
        ours = [finding for finding in linted.report.findings if finding.path == file.path]
        text = mended(file, ours) if fix else with_ignores(file, ours)
        if text != file.text and file.path != "-":
            with open(file.path, "w", encoding="utf-8", newline="") as output:
                output.write(text)
            click.echo(f"wrote {file.path}", err=True)


def _print(linted: Linted, form: str) -> None:
    from importlib.metadata import version

    from greenflow.lint.report import as_github, as_json, as_text
    from greenflow.lint.sarif import as_sarif

    if form == "json":
        click.echo(as_json(linted.report))
    elif form == "sarif":
        click.echo(as_sarif(linted.report, version("greenflow")))
    else:
        for line in as_github(linted.report) if form == "github" else as_text(linted.report):
            click.echo(line)
