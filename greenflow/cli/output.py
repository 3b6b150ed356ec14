"""What commands print: tables for people, JSON and YAML for programs.

Lives here: the three forms, on standard output, and how much is told of what was done with many.
A table on a terminal is fitted to its width; in a pipe every line is whole, and has no colour.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import click

from greenflow.cli.options import MANNER
from greenflow.log import printable

#: The width of a table in a pipe, in characters: so wide that no cell is cut.
_UNBOUNDED = 1_000_000


#: Lines about what was done that a person still reads; more are summed up, unless asked for.
_MOST_LINES = 50

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
    style = "" if os.environ.get("NO_COLOR") else "bold"
    table = Table(box=None, pad_edge=False, header_style=style, padding=(0, 2, 0, 0))
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


def print_done(done: Sequence[dict[str, Any]], columns: Sequence[str], form: str) -> None:
    """Prints what was done: to each its `result` and more. Of many a table is one line that sums
    them up, unless --verbose was given; with --quiet nothing is printed."""
    if is_quiet():
        return
    if form not in TABLES:
        print_data(done, form)
    elif len(done) > _MOST_LINES and _manner() != "verbose":
        counts = Counter(one["result"] for one in done)
        parts = ", ".join(f"{count} {result}" for result, count in counts.most_common())
        click.echo(f"{parts} (--verbose lists them)")
    else:
        rows = ([one[column] for column in columns] for one in done)
        print_table([column.upper() for column in columns], rows)


def is_quiet() -> bool:
    """Whether nothing but errors is to be told."""
    return _manner() == "quiet"


def _manner() -> str | None:
    manner: str | None = click.get_current_context().meta.get(MANNER)
    return manner
