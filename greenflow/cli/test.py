"""`greenflow test`: runs the tests of files or of a store."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any

import click

from greenflow.cli.options import COMPAT, split_files, with_settings
from greenflow.cli.reading import (
    of_namespace,
    read_specs_and_values,
    read_timeout,
    stored_specs_and_values,
)
from greenflow.cli.results import Result, Test
from greenflow.config import Settings, of_languages

if TYPE_CHECKING:
    from greenflow.testing.cases import Case
    from greenflow.testing.nodes import NodeTest

#: Seconds that a `test` node may take unless it or --timeout says something else.
SECONDS = 10.0

#: What a shell expects of a program that was interrupted: 128 and the number of SIGINT.
INTERRUPTED = 130

#: The exit code of failed tests (BEHAVIOUR 17.6), and of a run in which there was none: a mistyped
#: REGEX must not pass for a good result.
FAILED, NO_TEST = 3, 1

logger = logging.getLogger("greenflow.cli.test")


@click.command("test", short_help="Run the tests of files or of a store.")
@click.argument("words", nargs=-1, metavar="[REGEX] [FILE]...")
@click.option(
    "--file",
    "-f",
    "files",
    multiple=True,
    metavar="FILE",
    help="File of specs or cases (*.flow.yaml), folder, or - for standard input; may be repeated.",
)
@click.option(
    "--values",
    multiple=True,
    metavar="FILE",
    help="File or folder of values for the test nodes of files; may be repeated.",
)
@click.option(
    "--allow",
    multiple=True,
    metavar="NAME",
    help="Node that may reach outside in all tests; may be repeated.",
)
@click.option("--junit", metavar="FILE", help="Write the results to this file as JUnit XML, too.")
@click.option(
    "--timeout",
    metavar="DURATION",
    help=f"How long a test node may take unless it says itself (default: {SECONDS:g}s).",
)
@with_settings(COMPAT, ("environment", "--environment"), ("http.allow", "--http-allow"))
def command(
    settings: Settings,
    words: tuple[str, ...],
    files: tuple[str, ...],
    values: tuple[str, ...],
    allow: tuple[str, ...],
    junit: str | None,
    timeout: str | None,
) -> int:
    """Runs the `test` nodes of files, and the cases of `*.flow.yaml` files; without --file the
    `test` nodes of the store's namespace. Only those in whose name REGEX is found, if it is given.

    Each test has a runtime of its own, in memory: nothing is stored, no listener opens its port and
    no schedule comes due, so a service may run beside it. What reaches outside, such as http, sql
    and python nodes, has to be replaced or allowed. With a failed test the exit code is 3, without
    any test 1.
    """
    from greenflow.cli.junit import write_junit
    from greenflow.cli.output import TABLES, print_data

    patterns, more = split_files(words)
    files = (*more, *files)
    if len(patterns) > 1:
        raise click.UsageError(f"one REGEX, not {' and '.join(patterns)}; files have a / or suffix")
    regex = patterns[0] if patterns else None
    wanted, limit = _pattern(regex), read_timeout(timeout)
    seconds = SECONDS if limit is None else limit
    if values and not files:
        raise click.UsageError("--values goes with --file: a store has its own")
    read = _of_files(settings, files, values, seconds) if files else _of_store(settings, seconds)
    tests: list[Test] = [test._replace(allowed=frozenset(allow)) for test in read]
    chosen = [test for test in tests if wanted is None or wanted.search(test.name)]
    if not chosen:
        _tell_none(tests, regex, ", ".join(files) or f"namespace {settings.namespace!r}")
        return NO_TEST
    as_text = settings.output in TABLES
    tell = Report() if as_text else (lambda result: None)
    began = monotonic()
    results = _run(chosen, settings, tell)
    if as_text:
        click.echo(_summary(results, monotonic() - began))
    else:
        print_data([_data(result) for result in results], settings.output)
    if junit is not None:
        write_junit(junit, results)
    if len(results) < len(chosen):
        click.echo(f"interrupted: {len(results)} of {len(chosen)} tests were run", err=True)
        return INTERRUPTED
    return FAILED if any(result.reason for result in results) else 0


def _pattern(regex: str | None) -> re.Pattern[str] | None:
    try:
        return None if regex is None else re.compile(regex)
    except re.error as error:
        raise click.UsageError(f"REGEX: {regex!r}: {error}") from None


# -- which tests there are -------------------------------------------------------------------------


def _of_files(
    settings: Settings, files: tuple[str, ...], values: tuple[str, ...], seconds: float
) -> Iterator[NodeTest | Case]:
    """Everything is read before the first test runs. Raises Faulty with the faults of all files."""
    from greenflow.cli.run import find_modules
    from greenflow.scheme.registry import Scheme
    from greenflow.spec.batch import Faulty, MissingFile
    from greenflow.spec.document import cases_of
    from greenflow.testing.cases import read_cases

    find_modules(files)
    lines: list[str] = []
    cases: list[Case] = []
    specs: list[str] = []
    for path in files:
        found = cases_of(path)
        if not found or (path not in found and _has_specs(path)):
            specs.append(path)
        for file in found:
            try:
                cases += read_cases(file, compat=settings.compat)
            except Faulty as error:
                lines += error.lines
            except FileNotFoundError:
                raise MissingFile(file) from None
    entries, known = read_specs_and_values(
        specs, values, settings.namespace, Scheme.installed(compat=settings.compat), lines
    )
    ours = of_namespace(entries, settings.namespace)
    if len(ours) < len(entries):
        strange = sorted({entry.data["namespace"] for entry in entries} - {settings.namespace})
        logger.warning("specs of other namespaces are not tested: %s", ", ".join(strange))
    places = {
        entry.data["id"]: (entry.document.source, entry.document.position()[0]) for entry in ours
    }
    yield from _of_nodes(
        [entry.data for entry in ours], [entry.data for entry in known], settings, seconds, places
    )
    yield from cases


def _has_specs(path: str) -> bool:
    """Whether a folder holds anything but cases."""
    from greenflow.spec.document import DocumentError, files_of

    try:
        return bool(files_of(path))
    except DocumentError:
        return False


def _of_store(settings: Settings, seconds: float) -> Iterator[NodeTest]:
    from greenflow.store.base import open_store

    with open_store(settings.database, create=False) as store:
        specs, values = stored_specs_and_values(store, settings.namespace)
    specs.sort(key=lambda document: document.get("name") or "")
    yield from _of_nodes(specs, values, settings, seconds, {})


def _of_nodes(
    specs: list[dict[str, Any]],
    values: list[dict[str, Any]],
    settings: Settings,
    seconds: float,
    places: dict[str, tuple[str, int]],
) -> Iterator[NodeTest]:
    from greenflow.scheme.registry import Scheme
    from greenflow.testing.nodes import NodeTest, Workflow

    workflow = Workflow(specs, values, settings, Scheme.installed(compat=settings.compat))
    for id in workflow.tests:
        source, line = places.get(id, (f"namespace {settings.namespace}", 0))
        name = workflow.specs[id].get("name") or id
        yield NodeTest(workflow, id, name, source, line, seconds)


def _tell_none(tests: list[Test], regex: str | None, where: str) -> None:
    if tests:
        names = ", ".join(repr(test.name) for test in tests)
        click.echo(f"no test of {where} has {regex!r} in its name; there are {names}", err=True)
    else:
        click.echo(f"no test in {where}: write a node of kind test, or a *.flow.yaml", err=True)


# -- running them ----------------------------------------------------------------------------------


def _run(tests: list[Test], settings: Settings, tell: Callable[[Result], None]) -> list[Result]:
    """Run the tests in order, until one of the signals that end a program comes."""
    import gevent
    from gevent.event import Event

    from greenflow import lang
    from greenflow.cli.run import stop_at_signals

    results: list[Result] = []
    stopping = Event()
    stop_at_signals(stopping)
    told = of_languages(settings)
    lang.hold(told)  # their workers stay from one test to the next
    try:
        with _quiet():
            for test in tests:
                running = gevent.spawn(_run_one, test)
                either: list[Any] = [running, stopping]
                gevent.wait(either, count=1)
                if not running.ready():
                    running.kill()  # ends what the test began, within the grace
                    break
                results.append(running.get())
                tell(results[-1])
    finally:
        lang.release(told)
    return results


@contextmanager
def _quiet() -> Iterator[None]:
    """While tests run, the log does not say on which ports their listeners are, nor with each test
    what is wrong with the specs."""
    once, table = _Once(), logging.getLogger("greenflow.table")
    listener = logging.getLogger("greenflow.nodes.listener")
    level = listener.level
    table.addFilter(once)
    if not listener.isEnabledFor(logging.DEBUG):
        listener.setLevel(logging.WARNING)
    try:
        yield
    finally:
        table.removeFilter(once)
        listener.setLevel(level)


class _Once(logging.Filter):
    """What is wrong with the specs is logged with the first test, and not with each."""

    def __init__(self) -> None:
        super().__init__()
        self._said: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        known = text in self._said
        self._said.add(text)
        return not known


def _run_one(test: Test) -> Result:
    from greenflow.errors import GreenflowError

    began, reason = monotonic(), ""
    try:
        test.run()
    except (AssertionError, GreenflowError, OSError) as error:
        reason = str(error) or type(error).__name__
    except Exception as error:
        logger.debug("a test failed", exc_info=error)
        reason = f"{type(error).__name__}: {error}; --log-level debug shows the traceback"
    return Result(test, monotonic() - began, reason)


# -- telling what came of them ---------------------------------------------------------------------


class Report:
    """The results as text, one after another: the source, then a line for each of its tests."""

    def __init__(self) -> None:
        self._source = ""

    def __call__(self, result: Result) -> None:
        if result.test.source != self._source:
            self._source = result.test.source
            click.echo(_clean(self._source))
        word = click.style("FAILED", "red") if result.reason else click.style("passed", "green")
        click.echo(f"  {word}  {_clean(result.test.name)}  ({result.seconds:.3f} s)")
        for line in result.reason.splitlines():
            click.echo(f"          {_clean(line)}")


def _summary(results: list[Result], seconds: float) -> str:
    failed = sum(bool(result.reason) for result in results)
    return f"{len(results) - failed} passed, {failed} failed in {seconds:.2f}s"


def _data(result: Result) -> dict[str, object]:
    from greenflow.log.redactor import redact

    return {
        "source": result.test.source,
        "line": result.test.line or None,
        "name": result.test.name,
        "passed": not result.reason,
        "seconds": round(result.seconds, 6),
        "reason": redact(result.reason) or None,
    }


def _clean(text: str) -> str:
    from greenflow.log import printable
    from greenflow.log.redactor import redact

    return printable(redact(text))
