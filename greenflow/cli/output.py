"""What commands print: tables for people, JSON and YAML for programs.

Lives here: the three forms, on standard output. A table on a terminal is fitted to its width; in a
pipe every line is whole, and has no colour.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import click

from greenflow.log import printable

#: The width of a table in a pipe, in characters: so wide that no cell is cut.
_UNBOUNDED = 1_000_000


#: The forms that are tables; `wide` has more columns where there are more.
TABLES = ("table", "wide")


def print_data(data: Any, form: str) -> None:
    """Prints values as `json` or `yaml`, so that they can be read again."""
    if form == "json":
        click.echo(json.dumps(data, indent=2, ensure_ascii=False))
        return
    from greenflow.spec.syntax.yaml import to_yaml

    click.echo(to_yaml(data), nl=False)


def print_table(titles: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Prints a table; a cell of None is shown as `-`."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if sys.stdout is None:
        return
    terminal = sys.stdout.isatty()
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for title in titles:
        table.add_column(title, overflow="fold")
    for row in rows:
        cells = ("-" if cell is None else printable(str(cell)) for cell in row)
        table.add_row(*map(Text, cells))
    console = Console(width=None if terminal else _UNBOUNDED, highlight=False)
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        click.echo(line.rstrip())
