"""`greenflow run`: runs the specs of files, or of a store, until it is told to stop."""

from __future__ import annotations

import gc
import logging
import os
import resource
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import TYPE_CHECKING, NamedTuple

import click

from greenflow.cli.options import COMPAT, with_settings

if TYPE_CHECKING:
    from gevent.event import Event

    from greenflow.config import Settings
    from greenflow.runtime import Runtime
    from greenflow.scheme.registry import Scheme
    from greenflow.table.symbol import Symbol

# Seconds between tries with --wait, at most: it costs little, and nothing is served meanwhile.
MOST_BETWEEN_STARTS = 1.0

# Containers made, and not gone yet, until the garbage collector looks at them. With Python's 700 it
# looks at those of a large body twenty times while they are being made; 1 MiB of JSON has 10,000.
# What is garbage in the meantime takes a few MiB.
YOUNG_CONTAINERS = 10_000

logger = logging.getLogger("greenflow.cli.run")


@click.command("run", short_help="Run specs of files or of a store.")
@click.argument("files", nargs=-1, metavar="[FILE]...")
@click.option(
    "--values",
    multiple=True,
    metavar="FILE",
    help="File or folder of values for the specs of files; may be repeated.",
)
@click.option("--wait", is_flag=True, help="Wait for a store that is away at the start.")
@click.option("--wait-for-sources", is_flag=True, help="Run on when no source could start.")
@click.option("--strict", is_flag=True, help="End when any spec is inactive at the start.")
@click.option("--no-hub-guard", is_flag=True, help="Do not say which nodes block all others.")
@with_settings(
    COMPAT,
    ("grace", "--grace"),
    ("hub_guard", "--hub-guard"),
    ("environment", "--environment"),
    ("environment_files", "--environment-files"),
    ("environment_inherit", "--environment-inherit"),
    ("listener.host", "--listener-host"),
    ("http.allow", "--http-allow"),
    ("broker.url", "--broker-url"),
    ("log.access", "--access-log"),
    ("admin.address", "--admin"),
)
def command(
    settings: Settings,
    files: tuple[str, ...],
    values: tuple[str, ...],
    wait: bool,
    wait_for_sources: bool,
    strict: bool,
    no_hub_guard: bool,
) -> int:
    """Runs the specs of files (or folders, or - for standard input), or without FILE those of the
    store.

    Files are followed, those of --values too: saving one applies what changed. A faulty save
    changes nothing. Modules that `python` nodes name are also looked for in the folders of the
    files. SIGTERM and SIGINT drain what is under way within the grace; a second one ends at once.

    It ends with 1 when there are sources, such as listeners and schedules, and none of them could
    start: see --wait-for-sources and --strict.
    """
    import msgspec
    from gevent.event import Event

    if no_hub_guard:
        settings = msgspec.structs.replace(settings, hub_guard=0.0)
    stopping = Event()
    hurried: list[Runtime] = []
    stop_at_signals(stopping, hurried)
    _allow_many_files()
    if values and not files:
        raise click.UsageError("--values goes with FILEs: values of a store are applied to it")
    start = Start(not wait_for_sources, strict)
    if files:
        return _run_files(settings, files, values, stopping, hurried, start)
    return _run_store(settings, stopping, hurried, wait, start)


class Start(NamedTuple):
    """What a start must come to, for the command to go on."""

    needs_source: bool
    """If there are sources, one of them runs, or may yet."""
    needs_all: bool
    """Every spec is active, or may yet be."""

    def failure(self, symbols: Iterable[Symbol], scheme: Scheme) -> str:
        """Why the command ends, or nothing."""
        symbols = sorted(symbols, key=lambda symbol: symbol.name or symbol.id)
        inactive = [each for each in symbols if not each.active and not each.version.waiting]
        sources = [each for each in symbols if scheme.begins(each.version.document)]
        if self.needs_all and inactive:
            return _listed("with --strict all has to be active", inactive)
        if self.needs_source and sources and all(each in inactive for each in sources):
            return _listed("no source could start", sources) + " (--wait-for-sources runs on)"
        return ""


def _listed(what: str, symbols: list[Symbol]) -> str:
    return f"{what}: " + "; ".join(f"{each.name or each.id}: {each.reason}" for each in symbols)


def _run_store(
    settings: Settings, stopping: Event, hurried: list[Runtime], wait: bool, start: Start
) -> int:
    from greenflow.log.redactor import redact_url
    from greenflow.runtime import Runtime

    runtime = Runtime(settings.database, settings=settings)
    hurried.append(runtime)
    _spare_collector()
    with _reachable(runtime):
        if wait:
            _start_waiting(runtime, stopping)
            if stopping.is_set():
                runtime.stop()
                return 0
        with _running(runtime):
            if not _started(runtime, redact_url(settings.database), start):
                return 1
            stopping.wait()
            _begin_to_stop(runtime)
    return 0


@contextmanager
def _reachable(runtime: Runtime) -> Iterator[None]:
    """Its admin interface is open, from before its start to after its end."""
    from greenflow.admin.door import AUTO, opened
    from greenflow.admin.sockets import AdminRefused

    admin, name = runtime.settings.admin, runtime.interface.engine.name
    extra = {"namespace": runtime.namespace}
    with ExitStack() as stack:
        try:
            door = stack.enter_context(opened(runtime.interface, admin, name))
        except (AdminRefused, OSError) as error:
            if admin.address != AUTO:
                raise
            logger.error("the engine runs without its admin interface: %s", error, extra=extra)
        else:
            if door is not None:
                # That of a user's own socket nobody need know: commands find it.
                level = logging.DEBUG if admin.address == AUTO else logging.INFO
                logger.log(level, "admin interface at %s", door.address, extra=extra)
        yield


@contextmanager
def _running(runtime: Runtime) -> Iterator[None]:
    """What its `init` workflows do, they do while the files are followed and signals heard."""
    runtime.start(wait=False)
    try:
        yield
    finally:
        runtime.stop()


def _start_waiting(runtime: Runtime, stopping: Event) -> None:
    """Start, once the store is there; give up when told to stop."""
    from greenflow.errors import StoreMisconfigured, StoreUnavailable
    from greenflow.hub.backoff import Backoff

    backoff, told = Backoff(MOST_BETWEEN_STARTS), ""
    while not stopping.is_set():
        try:
            runtime.start(wait=False)
        except StoreMisconfigured:
            raise
        except StoreUnavailable as error:
            if str(error) != told:
                told = str(error)
                logger.warning("waiting for the store: %s", error)
            stopping.wait(backoff.next())
        else:
            return


def _run_files(
    settings: Settings,
    files: tuple[str, ...],
    values: tuple[str, ...],
    stopping: Event,
    hurried: list[Runtime],
    start: Start,
) -> int:
    from greenflow.cli.following import Followed
    from greenflow.runtime import Runtime
    from greenflow.scheme.registry import Scheme
    from greenflow.store.base import open_store
    from greenflow.values.values import ValueValidator

    if settings.database != type(settings)().database:
        logger.info("specs of files run from memory; the setting database is not used")
    scheme = Scheme.installed(compat=settings.compat)
    find_modules(files)
    _spare_collector()
    # Following begins before reading, so that no save is missed in between.
    with (
        open_store("memory://") as store,
        Followed(values, store.values, ValueValidator(), settings, what="values") as known,
        Followed(files, store.specs, scheme, settings, what="specs") as sources,
    ):
        known.load()
        sources.load()
        runtime = Runtime(store, settings=settings, scheme=scheme)
        hurried.append(runtime)
        runtime.locate = sources.locate
        runtime.interface.engine.store = ", ".join(files)
        with _reachable(runtime), _running(runtime):
            if not _started(runtime, ", ".join(files), start):
                return 1
            known.start()
            sources.start()
            stopping.wait()
            _begin_to_stop(runtime)
            sources.close()
            known.close()
    return 0


def find_modules(files: tuple[str, ...]) -> None:
    """Let `python` nodes name the modules that lie beside the specs. Their folders come last, so
    that nothing in them takes the place of an installed module."""
    for file in files:
        if file != "-":  # standard input
            path = os.path.abspath(file)
            folder = path if os.path.isdir(path) else os.path.dirname(path)
            if folder not in sys.path:
                sys.path.append(folder)


def _spare_collector() -> None:
    """Have the garbage collector look at less, and less often: what was imported stays to the end.
    With bodies of 1 MiB of JSON it took a third of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_CONTAINERS)


def _allow_many_files() -> None:
    """Each connection is an open file, and the usual soft limit of 1,024 is there for programs that
    call select(), which this one does not: as many as the hard limit allows."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    except (OSError, ValueError) as error:
        logger.warning("the limit of open files stays as it is: %s", error)


def stop_at_signals(stopping: Event, hurried: Iterable[Runtime] = ()) -> None:
    """The first signal asks to stop, and has these runtimes make haste. The second one ends the OS
    process without asking Python, so that it works whatever the program is doing."""

    def stop(number: int, frame: FrameType | None) -> None:
        for each in (signal.SIGTERM, signal.SIGINT):
            # The kernel spares the first process of a container from signals left to their default.
            signal.signal(each, _end_at_once if os.getpid() == 1 else signal.SIG_DFL)
        for runtime in hurried:
            runtime.hurry()
        stopping.set()

    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, stop)


def _end_at_once(number: int, frame: FrameType | None) -> None:
    # What a shell expects of a program that a signal ended.
    os._exit(128 + number)


def _started(runtime: Runtime, source: str, start: Start) -> bool:
    """Tell what runs; whether that is enough to go on."""
    status = runtime.status()
    inactive = sum(not symbol["active"] for symbol in status)
    logger.info(
        "running %d specs of %s%s",
        len(status),
        source,
        f"; {inactive} of them are not active" if inactive else "",
        extra={"namespace": runtime.namespace},
    )
    failure = start.failure(runtime.table.symbols.values(), runtime.scheme)
    if failure:
        logger.error("%s", failure, extra={"namespace": runtime.namespace})
    return not failure


def _begin_to_stop(runtime: Runtime) -> None:
    """Say so, and be not ready for as long as those who send work need to notice."""
    import gevent

    runtime.interface.engine.is_leaving = True
    logger.info(
        "stopping: what is under way has %g s to end",
        runtime.settings.grace,
        extra={"namespace": runtime.namespace},
    )
    gevent.sleep(runtime.settings.admin.delay)
