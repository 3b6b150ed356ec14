"""A recorded run, for a person: its head, its error, and each packet below the one before.

Lives here: `print_run`, for `show`. What is known of a run is records/record.py's.
"""

from __future__ import annotations

from typing import Any

import click

from greenflow.cli.runs import took, when
from greenflow.log import printable

#: Characters of a line's bar, and of a payload in a line.
_BAR, _PAYLOAD = 20, 100

# Of an outcome.
_COLOURS = {"ok": "green", "failed": "red", "cancelled": "red"}


def print_run(run: dict[str, Any]) -> None:
    """Prints a run."""
    click.secho(f"run {run['id']}", fg="yellow")
    _field("began", f"{when(run['started'])}, took {took(run['duration'])}")
    _field("outcome", run["outcome"], _COLOURS.get(run["outcome"]))
    request = run.get("request")
    if run.get("source"):
        _field("source", f"{run['source']} ({run['source_kind']})")
    if request is not None:
        _field("request", f"{request[0]} {request[1]}{f', id {request[2]}' if request[2] else ''}")
    for name in ("status", "change", "parent"):
        if run.get(name) is not None:
            _field(name, str(run[name]))
    if run.get("error"):
        _print_error(run["error"])
    if run.get("event"):
        _field("began with", _payload(run["event"], 2000))
    click.echo()
    if run.get("forgotten"):
        click.echo(f"  {run['forgotten']} packets before these are not known any more")
    began = (run.get("event") or {}).get("text")
    _print_hops(run.get("hops", ()), run["duration"], 0, began)
    _print_parts(run.get("parts", ()), run["duration"], 1, began)


def _print_error(error: dict[str, Any]) -> None:
    _field("error", error["message"], "red")
    if error.get("node"):
        _field("in", f"{error['node']} ({error['kind']})")
        _field("at", error["at"])
    if error.get("code"):
        _field("line", error["code"])
    if error.get("input"):
        _field("given", _payload(error["input"], 2000))


def _print_parts(parts: Any, whole: float, depth: int, began: str | None) -> None:
    for part in parts:
        failed = f": {part['error']['message']}" if part.get("error") else ""
        click.echo(f"{'  ' * depth}process {part['number']}{printable(failed)}")
        _print_hops(part.get("hops", ()), whole, depth, began)
        _print_parts(part.get("parts", ()), whole, depth + 1, began)


def _print_hops(hops: Any, whole: float, depth: int, began: str | None) -> None:
    for hop in hops:
        name = f"{hop['node']}.{hop['port']}"
        line = (
            f"{'  ' * depth}{took(hop['start']):>9} {_bar(hop, whole)} "
            f"{took(hop['duration']):>9}  {printable(name)}"
        )
        payload = hop.get("payload")
        if payload and payload["text"] == began:
            line += "  what it began with"
        elif payload or hop.get("same"):
            line += f"  {_payload(payload, _PAYLOAD) if payload else 'the same'}"
        click.echo(line)


def _bar(hop: dict[str, Any], whole: float) -> str:
    """When it was, in the time of the whole."""
    whole = max(whole, 1e-9)
    start = min(int(max(hop["start"], 0.0) / whole * _BAR), _BAR - 1)
    duration = whole - hop["start"] if hop["duration"] is None else hop["duration"]
    length = min(max(round(duration / whole * _BAR), 1), _BAR - start)
    return f"|{' ' * start}{'=' * length}{' ' * (_BAR - start - length)}|"


def _payload(shown: dict[str, Any], most: int) -> str:
    text = printable(shown["text"])
    return text if len(text) <= most else f"{text[:most]}..."


def _field(name: str, text: str, colour: str | None = None) -> None:
    click.echo(f"{f'{name}:':<12}{click.style(printable(text), fg=colour)}")
