"""`greenflow call`: runs the workflow of one node by hand.

Lives here: which specs take part, and what is told of the answer. The node's workflow is run for
real: what its nodes do outside is done. But no source begins anything (testing/sources.py), and
what is loaded is what the node leads to, so that the load hooks of no other node run.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from greenflow.cli.engines import client_of, engine_options
from greenflow.cli.options import COMPAT, split_files, with_settings
from greenflow.cli.reading import (
    of_namespace,
    read_specs_and_values,
    read_timeout,
    stored_specs_and_values,
)
from greenflow.config import Settings
from greenflow.errors import Inactive

if TYPE_CHECKING:
    from greenflow.admin.client import EngineClient
    from greenflow.engine.node import Node
    from greenflow.testing.nodes import Workflow

#: What a shell expects of a program that was interrupted: 128 and the number of SIGINT.
INTERRUPTED = 130

Opcodes = dict[str, Callable[..., Any]]


@click.command("call", short_help="Run the workflow of one node by hand.")
@click.argument("node")
@click.argument("words", nargs=-1, metavar="[PAYLOAD] [FILE]...")
@click.option(
    "--file",
    "-f",
    "files",
    multiple=True,
    metavar="FILE",
    help="File of specs, or folder; may be repeated. Default: the specs of the store.",
)
@click.option(
    "--values",
    multiple=True,
    metavar="FILE",
    help="File or folder of values for the specs of files; may be repeated.",
)
@click.option("--input", "source", metavar="FILE", help="JSON payload; - is standard input.")
@click.option("--port", default="in", metavar="PORT", help="The node's in port (default: in).")
@click.option("--timeout", metavar="DURATION", help="How long it may take (default: any time).")
@engine_options
@with_settings(
    COMPAT,
    ("grace", "--grace"),
    ("environment", "--environment"),
    ("environment_files", "--environment-files"),
    ("environment_inherit", "--environment-inherit"),
    ("http.allow", "--http-allow"),
    ("broker.url", "--broker-url"),
)
def command(
    settings: Settings,
    node: str,
    words: tuple[str, ...],
    files: tuple[str, ...],
    values: tuple[str, ...],
    source: str | None,
    port: str,
    timeout: str | None,
    engine: str | None,
    admin: str | None,
) -> int:
    """Sends PAYLOAD, which is JSON (- is standard input; default: null), to NODE, by name or id,
    and prints what its workflow answers as JSON. To a schedule, a listener or another source
    without in ports it is sent as an event of it.

    It runs in a runtime of its own, beside a service or without one: no listener opens its port, no
    schedule comes due. With --engine or --admin the running engine does it, within 30 s unless
    --timeout says otherwise. What the workflow does outside is done. An error is told on standard
    error, and the exit code is 1.
    """
    texts, more = split_files(words)
    files = (*more, *files)
    if len(texts) > 1:
        raise click.UsageError(f"one PAYLOAD, not {len(texts)}; and no file is called {texts[1]!r}")
    payload = texts[0] if texts else None
    if values and not files:
        raise click.UsageError("--values goes with --file: a store has its own")
    seconds, given = read_timeout(timeout), _payload(payload, source)
    if engine is not None or admin is not None:
        if files:
            raise click.UsageError("a running engine has its own specs: no FILE")
        return _ask_engine(client_of(settings, engine, admin), node, port, given, seconds)
    with _workflow(settings, files, values) as (workflow, opcodes):
        id = _find(workflow, node)
        return _run(partial(_ask, workflow, opcodes, id, port, given, seconds))


def _payload(text: str | None, source: str | None) -> Any:
    """Raises UsageError for what is no JSON."""
    from greenflow.errors import InvalidArgument
    from greenflow.net import mime

    if text is not None and source is not None:
        raise click.UsageError("either PAYLOAD or --input")
    if text == "-":
        source = text
    if text is None and source is None:
        return None
    if source is None:
        assert text is not None
        content = text.encode()
    else:
        with click.open_file(source, "rb") as file:
            content = file.read()
    try:
        return mime.loads(content)
    except InvalidArgument as error:
        reason = error.__cause__ or error
        raise click.UsageError(f"the payload: {reason} (a text is in quotes: '\"a\"')") from None


# -- what is run -----------------------------------------------------------------------------------


@contextmanager
def _workflow(
    settings: Settings, files: tuple[str, ...], values: tuple[str, ...]
) -> Iterator[tuple[Workflow, Opcodes]]:
    """The specs, and what `syscall` nodes may call instead of what their runtime offers."""
    from greenflow.scheme.registry import Scheme
    from greenflow.testing.nodes import Workflow

    scheme = Scheme.installed(compat=settings.compat)
    if files:
        yield _of_files(settings, files, values, scheme), {}
        return
    from greenflow.store.base import open_store
    from greenflow.store.operations import Operations

    with open_store(settings.database, create=False) as store:
        specs, known = stored_specs_and_values(store, settings.namespace)
        # What a workflow stores, it stores where it is from.
        opcodes = Operations(store.specs, scheme, settings.namespace).opcodes()
        yield Workflow(specs, known, settings, scheme), opcodes


def _of_files(
    settings: Settings, files: tuple[str, ...], values: tuple[str, ...], scheme: Any
) -> Workflow:
    """Raises Faulty with the faults of all files."""
    from greenflow.cli.run import find_modules
    from greenflow.testing.nodes import Workflow

    find_modules(files)
    specs, known = read_specs_and_values(files, values, settings.namespace, scheme)
    ours = [entry.data for entry in of_namespace(specs, settings.namespace)]
    return Workflow(ours, [entry.data for entry in known], settings, scheme)


def _find(workflow: Workflow, node: str) -> str:
    """The id of a node. Raises Inactive, with those of a similar name."""
    names: dict[str, str] = {
        document.get("name") or id: id for id, document in workflow.specs.items()
    }
    id = names.get(node, node)
    if id in workflow.specs:
        if id in workflow.tests:
            raise Inactive(f"node {node!r} is a test: run it with `greenflow test`")
        return id
    close = difflib.get_close_matches(node, names, 3)
    hint = f"did you mean {' or '.join(map(repr, close))}?" if close else _known(names)
    namespace = workflow.settings.namespace
    raise Inactive(f"no node has the name or id {node!r} in namespace {namespace!r}; {hint}")


def _known(names: Iterable[str]) -> str:
    shown = sorted(names)
    if not shown:
        return "there is none"
    more = f" and {len(shown) - 20} more" if len(shown) > 20 else ""
    return f"there are {', '.join(shown[:20])}{more}"


def _run(ask: Callable[[], int]) -> int:
    """What it returns, unless a signal asks to stop."""
    import gevent
    from gevent.event import Event

    from greenflow.cli.run import stop_at_signals

    stopping = Event()
    stop_at_signals(stopping)
    running = gevent.spawn(_outcome, ask)
    either: list[Any] = [running, stopping]
    gevent.wait(either, count=1)
    if not running.ready():
        running.kill()  # ends what it began, within the grace
        return INTERRUPTED
    outcome: int | Exception = running.get()
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def _outcome(ask: Callable[[], int]) -> int | Exception:
    """What it returns or raises: of what a greenlet raises gevent would tell, too."""
    try:
        return ask()
    except Exception as error:
        return error


def _ask(
    workflow: Workflow, opcodes: Opcodes, id: str, port: str, payload: Any, seconds: float | None
) -> int:
    """Ask the node, and tell what it answers, before what goes on behind it is waited for."""
    from greenflow.net import mime
    from greenflow.payload.stream import plain_bytes
    from greenflow.runtime import Runtime
    from greenflow.store.base import open_store
    from greenflow.testing.running import why_inactive
    from greenflow.testing.sources import Sources, WaitingScheme

    shares = workflow.settings.broker.url != Settings().broker.url
    sources = Sources(excluded=_hears if shares else lambda node: False)
    scheme = WaitingScheme(workflow.scheme, sources)
    with open_store("memory://") as store:
        store.specs.apply(workflow.behind(id, events=not shares))
        store.values.apply(workflow.values)
        runtime = Runtime(store, settings=workflow.settings, scheme=scheme, own_thread=False)
        for opcode, function in opcodes.items():
            runtime.register(opcode, function)
        with runtime:
            sources.open()
            reasons = why_inactive(runtime, id)
            if reasons:
                raise Inactive(f"it cannot run: {reasons}")
            try:
                answer = runtime.call(id, payload, port=port, timeout=seconds)
            except Exception as error:
                return _failed(error)
            sys.stdout.buffer.write(mime.dumps(plain_bytes(answer)))
            sys.stdout.buffer.flush()
            return 0


def _ask_engine(
    client: EngineClient, node: str, port: str, payload: Any, seconds: float | None
) -> int:
    """Have a running engine ask the node, and tell what it answers."""
    from greenflow.admin.client import PATIENCE, segment
    from greenflow.net import mime

    body: dict[str, Any] = {"payload": payload, "port": port}
    if seconds is not None:
        body["timeout"] = seconds
    answer = client.post(f"/api/v1/nodes/{segment(node)}/call", body, PATIENCE * 2 + (seconds or 0))
    if answer["outcome"] == "answered":
        sys.stdout.buffer.write(mime.dumps(answer["answer"]))
        sys.stdout.buffer.flush()
        return 0
    place = f" (node {answer['node']} at {answer['at']})" if answer.get("at") else ""
    click.echo(f"{answer['error']}{place}", err=True)
    return 1


def _hears(node: Node[Any]) -> bool:
    """Whether a node takes events from the broker: those of one that others share are a running
    service's to handle."""
    from greenflow.nodes.trigger import Trigger

    return isinstance(node, Trigger)


def _failed(error: Exception) -> int:
    """What the workflow answered is no answer."""
    from greenflow.errors import messages
    from greenflow.log.redactor import redact

    told = ", because of ".join(dict.fromkeys(messages(error))) or type(error).__name__
    click.echo(redact(told), err=True)
    return 1
