"""`greenflow settings`: what the settings are here, and where each came from.

Lives here: a table, and the page of all settings in Markdown (contrib/docs/settings.md), made of
what `Settings` declares.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import click

from greenflow.cli.options import ORIGINS, with_settings

if TYPE_CHECKING:
    from greenflow.config import Setting, Settings

#: The first lines of the page.
_HEAD = """\
# Settings

What an operator may say, and where. `greenflow settings` shows what the settings are where you are,
and where each came from; `greenflow settings --markdown` writes this page.

A flag beats a variable of the environment, that beats the file, that beats the default. The file is
`greenflow.toml` in the folder where a command begins, or what `--config` or the variable
`GREENFLOW_CONFIG` names:

<!-- file: greenflow.toml -->
```toml
database = "mongodb://flow:secret@db.example/shop"
grace = "1m30s"

[log]
level = "warning"
```

```console
$ GREENFLOW_LOG_FORMAT=json greenflow settings log --log-level debug
NAME               VALUE  FROM
log.level          debug  flag
log.format         json   GREENFLOW_LOG_FORMAT
log.access         -      default
log.access_format  json   default
$ greenflow settings database
NAME      VALUE                          FROM
database  mongodb://***@db.example/shop  greenflow.toml
```

Secrets are masked. In the file `log.level` is `level` under `[log]`. A duration is a number of
seconds, or a text with units (`250ms`, `1m30s`). A list is one text with commas in a variable. An
empty variable is one that is not set. What is unknown in the file is an error, and in the
environment a warning. Which flags a command takes is in [cli.md](cli.md).
"""


@click.command("settings", short_help="Show the settings, and where they come from.")
@click.argument("name", required=False)
@click.option("--markdown", is_flag=True, help="Write a page about every setting.")
@with_settings()
def command(settings: Settings, name: str | None, markdown: bool) -> None:
    """Shows each setting, its value, and where that came from: default, the file, a variable or a
    flag. NAME is a setting or a group of them. Secrets are masked; `--output wide` also has the
    variables, the defaults and what each setting is for."""
    from greenflow.cli.output import TABLES, print_data, print_table
    from greenflow.config import of, shown
    from greenflow.config.describing import in_words, variable_in_words

    if markdown:
        if name is not None:
            raise click.UsageError("the page is about every setting: leave NAME out")
        click.echo(page(), nl=False)
        return
    origins = click.get_current_context().meta[ORIGINS]
    chosen = [
        (field, shown(field, of(settings, field.name)), origins.get(field.name, "default"))
        for field in _named(name)
    ]
    if settings.output not in TABLES:
        rows = [
            {
                "name": field.name,
                "value": value,
                "from": origin,
                "variable": variable_in_words(field) or None,
                "default": field.default,
                "description": field.description,
            }
            for field, value, origin in chosen
        ]
        print_data(rows, settings.output)
        return
    wide = settings.output == "wide"
    print_table(
        ("NAME", "VALUE", "FROM", *(("VARIABLE", "DEFAULT", "MEANS") if wide else ())),
        (
            (
                field.name,
                _cell(field, value),
                origin,
                *(
                    (
                        variable_in_words(field) or None,
                        in_words(field, field.default) or None,
                        field.description,
                    )
                    if wide
                    else ()
                ),
            )
            for field, value, origin in chosen
        ),
    )


def _cell(field: Setting, value: object) -> str | None:
    from greenflow.config.describing import in_words

    return (value if isinstance(value, str) else in_words(field, value)) or None


def _named(name: str | None) -> list[Setting]:
    """The settings that a word means: one, those of a group, or all."""
    from greenflow.config import fields

    chosen = [
        field for field in fields() if name in (None, field.name, field.name.partition(".")[0])
    ]
    if not chosen:
        names = {field.name for field in fields()}
        close = difflib.get_close_matches(str(name), names | {each.split(".")[0] for each in names})
        hint = f"did you mean {close[0]!r}?" if close else "`greenflow settings` lists them"
        raise click.UsageError(f"no setting or group of them is called {name!r}: {hint}")
    return chosen


def page() -> str:
    """All settings in Markdown."""
    from greenflow.config.describing import groups

    lines = [_HEAD]
    for group in groups():
        lines += [f"## {group.name or 'general'}", ""]
        if group.about:
            lines += [" ".join(group.about.split()), ""]
        lines += [*_table(group.settings), ""]
    return "\n".join(lines).rstrip("\n") + "\n"


def _table(settings: Iterable[Setting]) -> Iterator[str]:
    from greenflow.config.describing import in_words, type_in_words, variable_in_words

    yield "| name | variable | type | default | |"
    yield "|---|---|---|---|---|"
    for field in settings:
        variable, default = variable_in_words(field), in_words(field, field.default)
        cells = (
            f"`{field.name}`",
            f"`{variable}`" if variable else "",
            type_in_words(field),
            f"`{default}`" if default else "",
            field.description.replace("|", "\\|"),
        )
        yield f"| {' | '.join(cells)} |"
