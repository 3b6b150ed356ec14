"""`greenflow graph`: draws what is connected with what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from greenflow.cli.options import COMPAT, files_option, with_settings

if TYPE_CHECKING:
    from greenflow.config import Settings

FORMATS = ("mermaid", "dot", "svg")


@click.command("graph", short_help="Draw what is connected with what.")
@click.argument("words", nargs=-1, metavar="[FILE]...")
@files_option
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    default="mermaid",
    show_default=True,
    help="Mermaid for Markdown, DOT for Graphviz, SVG for a browser.",
)
@with_settings(COMPAT)
def command(settings: Settings, words: tuple[str, ...], files: tuple[str, ...], form: str) -> None:
    """Draws the specs of a namespace: those of FILEs, or else those that are stored. Blocks are
    frames; what would not be active in a runtime is marked, with the reason."""
    from importlib import import_module

    from greenflow.scheme.registry import Scheme
    from greenflow.table.picture import pictured
    from greenflow.table.stored import inactive

    scheme = Scheme.installed(compat=settings.compat)
    documents, values = _read(settings, (*words, *files), scheme)
    in_order = sorted(documents, key=lambda each: str(each["id"]))
    reasons = inactive(in_order, scheme, settings.namespace, values, settings)
    drawing = pictured(documents, reasons)
    text: str = import_module(f"greenflow.graph.{form}").written(drawing)
    click.echo(text, nl=False)


def _read(
    settings: Settings, paths: tuple[str, ...], scheme: Any
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The specs to draw, in the order of their files, or by id; and the values that they may be
    bound to."""
    from greenflow.cli.options import take_files
    from greenflow.spec.batch import check, read_files
    from greenflow.store.base import open_store

    if not paths:
        with open_store(settings.database, create=False) as store:
            within = {"namespace": settings.namespace}
            specs, values = store.specs.find(within), store.values.find(within)
        return [record.document for record in specs], [record.document for record in values]
    _, paths = take_files(paths, ())
    entries = check(read_files(paths), scheme, settings.namespace, named=False, derived=True)
    ours = [each.data for each in entries if each.data["namespace"] == settings.namespace]
    return ours, []
