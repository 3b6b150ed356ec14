"""`greenflow kinds`: what kinds of nodes there are, and what each one takes.

Lives here: a list, one kind, and the page of all of them in Markdown (contrib/docs/kinds.md). All
of it is what the kinds declare, and the example beside them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from greenflow.cli.options import with_settings

if TYPE_CHECKING:
    from greenflow.config import Settings
    from greenflow.scheme.registry import Scheme

#: The first lines of the page.
_HEAD = """\
# Kinds of nodes

What each kind takes, sends and does, from its declaration. `greenflow kinds --markdown` writes this
page; `greenflow kinds NAME` tells the same of one kind, also of those from other packages. A
duration is a number of seconds, or a text with units (`250ms`, `1m30s`); a single value may stand
where a list is wanted.

An example is a file of cases ([testing.md](testing.md)): its specs are run, and its cases say what
comes of them.
"""

_PORTS = """\
Every kind has the out port `error`. `init` and `active` are written to before and after a node
begins to work, `deactive` and `deinit` before and after it stops; what is written is the spec.
`out[i]` stands for `out[0]`, `out[1]` and so on; `out[0]` is `out`. What reaches outside a test
replaces or allows ([testing.md](testing.md#what-reaches-outside)).
"""


@click.command("kinds", short_help="List the kinds of nodes, or show one.")
@click.argument("name", required=False, metavar="[KIND]")
@click.option("--markdown", is_flag=True, help="Write a page about every kind.")
@with_settings()
def command(settings: Settings, name: str | None, markdown: bool) -> None:
    """Lists the kinds of nodes, or shows one: its fields, its ports, what it does, an example."""
    from greenflow.cli.output import TABLES, print_data, print_table
    from greenflow.scheme.registry import Scheme

    scheme = Scheme.installed()
    if markdown:
        if name is not None:
            raise click.UsageError("the page is about every kind: leave KIND out")
        click.echo(page(scheme), nl=False)
        return
    if name is None:
        kinds = [scheme.describe(kind) for kind in scheme.kinds()]
        if settings.output in TABLES:
            print_table(("KIND", "DOES"), ((kind["kind"], _summary(kind)) for kind in kinds))
        else:
            print_data(kinds, settings.output)
        return
    try:
        kind = scheme.describe(name)
    except LookupError as error:
        raise click.UsageError(str(error.args[0])) from None
    if settings.output in TABLES:
        _show(kind)
    else:
        print_data(kind, settings.output)


def page(scheme: Scheme) -> str:
    """All kinds in Markdown."""
    described = [scheme.describe(kind) for kind in scheme.kinds()]
    others: dict[str, list[str]] = {}
    for kind in described:
        if kind["kind"] != kind["is"]:
            others.setdefault(kind["is"], []).append(kind["kind"])
    kinds = [kind for kind in described if kind["kind"] == kind["is"]]
    common = _common()
    lines = [_HEAD]
    lines += ["| kind | |", "|---|---|"]
    for kind in kinds:
        names = ", ".join(f"`{name}`" for name in (kind["kind"], *others.get(kind["kind"], ())))
        lines.append(f"| [{names}](#{kind['kind']}) | {_cell(_summary(kind))} |")
    lines += ["", "## What every spec has", "", *_table(common), "", _PORTS.rstrip()]
    names_of_common = {field["name"] for field in common}
    for kind in kinds:
        lines += ["", f"## {kind['kind']}", "", kind["doc"], ""]
        if kind["kind"] in others:
            also = ", ".join(f"`{name}`" for name in others[kind["kind"]])
            lines += [f"Another name of this kind is {also}.", ""]
        ports = f"In ports: {_ports(kind['inputs'])}. Out ports: {_ports(kind['outputs'])}."
        lines += [ports + " It reaches outside." if kind["reaches_outside"] else ports]
        own = [field for field in kind["fields"] if field["name"] not in names_of_common]
        if own:
            lines += ["", *_table(own)]
        if kind["example"]:
            lines += ["", "```yaml", kind["example"].rstrip("\n"), "```"]
    return "\n".join(lines) + "\n"


def _common() -> list[dict[str, Any]]:
    """The fields of every spec."""
    from greenflow.engine.node import Node
    from greenflow.scheme.registry import Scheme

    described: list[dict[str, Any]] = Scheme({"any": Node}).describe("any")["fields"]
    return described


def _table(fields: list[dict[str, Any]]) -> Iterator[str]:
    yield "| field | type | default | |"
    yield "|---|---|---|---|"
    for name, kind, default, doc in _rows(fields):
        shown = f"`{default}`" if default not in ("", "required") else default
        yield f"| `{name}` | {_cell(kind)} | {shown} | {_cell(doc)} |"


def _rows(fields: list[dict[str, Any]], above: str = "") -> Iterator[tuple[str, str, str, str]]:
    """Name, type, default and meaning of each field, and of those in it."""
    for field in fields:
        name, kind, inside = above + field["name"], field["type"], field.get("fields", [])
        path = name
        if inside:
            around = kind.partition("{")[0]
            path += (
                around.rpartition("| ")[2].replace("list of ", "[]").replace("map of ", ".*") + "."
            )
            kind = around + "map"
        if field["limits"]:
            kind += f", {field['limits']}"
        also = f" (also `{field['alias']}`)" if field["alias"] else ""
        yield name, kind, "" if inside else _default(field), field["doc"] + also
        yield from _rows(inside, path)


def _ports(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _show(kind: dict[str, Any]) -> None:
    from greenflow.cli.output import print_table

    also = f" (another name of {kind['is']})" if kind["is"] != kind["kind"] else ""
    click.echo(f"{kind['kind']}{also}\n\n{kind['doc']}\n")
    click.echo(f"in ports:  {', '.join(kind['inputs']) or '-'}")
    click.echo(f"out ports: {', '.join(kind['outputs']) or '-'}")
    click.echo("reaches outside: a test replaces or allows it\n" if kind["reaches_outside"] else "")
    print_table(
        ("FIELD", "TYPE", "DEFAULT", "MEANS"),
        (
            (name, type_name, default or None, doc or None)
            for name, type_name, default, doc in _rows(kind["fields"])
        ),
    )
    if kind["example"]:
        click.echo(f"\n{kind['example'].rstrip()}")


def _summary(kind: dict[str, Any]) -> str:
    """The first sentence of what a kind does, up to the end of its paragraph."""
    return " ".join(kind["doc"].partition("\n\n")[0].split())


def _default(field: dict[str, Any]) -> str:
    from greenflow.spec.duration import format_duration

    value = field["default"]
    if field["required"]:
        return "required"
    if value is None or value == "":
        return ""
    return format_duration(value) if field["type"] == "duration" else json.dumps(value)
