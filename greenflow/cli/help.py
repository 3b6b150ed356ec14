"""`greenflow help`: what commands there are, and what each one takes.

Lives here: the help of one command by its name, and the page of all of them in Markdown
(contrib/docs/cli.md), made of what the commands declare. No width of a terminal is asked for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import click

from greenflow.cli.options import with_settings

if TYPE_CHECKING:
    from greenflow.config import Settings

#: The first lines of the page.
_HEAD = """\
# Commands

What each command does, takes and ends with. `greenflow help --markdown` writes this page;
`greenflow help NAME` and `greenflow NAME --help` tell the same of one. In a usage line what stands
in brackets may be left out, and what has dots behind it may be repeated.

Data goes to standard output, logs and errors to standard error. Every setting is also a line of
`greenflow.toml` and a variable of the environment: [settings.md](settings.md).
"""

_EXIT_CODES = """\
## Exit codes

What they mean for every command, unless it says more itself. An interrupt ends a command with 130.

| code | |
|---|---|"""

_COMMON = """\
## Common options

Of the commands that say so. `-h` and `--help` show the help of any command, `greenflow --version`
the version.
"""


@click.command("help", short_help="Show the help of a command.")
@click.argument("name", required=False)
@click.option("--markdown", is_flag=True, help="Write a page about every command.")
@click.pass_context
def command(context: click.Context, name: str | None, markdown: bool) -> None:
    """Shows what the command NAME does, takes and ends with; without NAME, which commands there
    are."""
    root = context.find_root()
    group = root.command
    assert isinstance(group, click.Group)
    if markdown:
        if name is not None:
            raise click.UsageError("the page is about every command: leave NAME out")
        click.echo(page(group, root), nl=False)
    elif name is None:
        click.echo(root.get_help())
    else:
        about = group.get_command(root, name)
        assert about is not None  # an unknown one is an error of usage
        with _context(about, name, root) as inside:
            click.echo(inside.get_help())


def page(group: click.Group, root: click.Context) -> str:
    """All commands in Markdown."""
    from greenflow.cli import COMMANDS
    from greenflow.cli.exit_codes import COMMON

    names = group.list_commands(root)
    commands = {name: group.get_command(root, name) or click.Command(name) for name in names}
    lines = [_HEAD, "| command | |", "|---|---|"]
    lines += [
        f"| [`{name}`](#{name}) | {_cell(each.short_help or '')} |"
        for name, each in commands.items()
    ]
    lines += ["", _EXIT_CODES, *(f"| {code} | {words} |" for code, words in COMMON.items())]
    common = _common(root)
    lines += ["", _COMMON, *_table(common)]
    for name, each in commands.items():
        others = [
            alias for alias in COMMANDS if COMMANDS[alias] == COMMANDS[name] and alias != name
        ]
        with _context(each, name, root) as context:
            usage = " ".join(each.collect_usage_pieces(context))
            options = _options(each, context)
        lines += ["", f"## {name}", "", f"`greenflow {name} {usage}`", ""]
        if others:
            lines += [f"Another name of it is {', '.join(f'`{other}`' for other in others)}.", ""]
        lines += [*_prose(each.help or "")]
        own = [option for option in options if option not in common]
        if own:
            lines += [*_table(own), ""]
        if len(own) < len(options):
            lines += ["It takes the [common options](#common-options).", ""]
        lines += [each.epilog or ""]
    return "\n".join(lines).rstrip("\n") + "\n"


def _context(command: click.Command, name: str, parent: click.Context) -> click.Context:
    return click.Context(command, info_name=name, parent=parent)


def _common(root: click.Context) -> list[tuple[str, str]]:
    """The options that most commands have."""

    @click.command("any")
    @with_settings()
    def nothing(settings: Settings) -> None:
        """Has no options but those."""

    with _context(nothing, "any", root) as context:
        return _options(nothing, context)


def _options(command: click.Command, context: click.Context) -> list[tuple[str, str]]:
    """How each option is written, and what it is for."""
    records = (
        option.get_help_record(context)
        for option in command.get_params(context)
        if isinstance(option, click.Option) and "--help" not in option.opts
    )
    return [record for record in records if record is not None]


def _table(options: Iterable[tuple[str, str]]) -> Iterator[str]:
    yield "| option | |"
    yield "|---|---|"
    for written, meaning in options:
        yield f"| `{_cell(written)}` | {_cell(meaning)} |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _prose(help: str) -> Iterator[str]:
    """The paragraphs of a help text, each on a line. One whose lines are to be kept (it begins with
    click's mark, a backspace) is a block."""
    for paragraph in help.partition("\f")[0].strip("\n").split("\n\n"):
        if paragraph.startswith("\b"):
            yield from (f"    {line}" for line in paragraph.splitlines()[1:])
        else:
            yield " ".join(paragraph.split())
        yield ""
