"""What every test of greenflow obeys: it leaves no greenlet, thread, file or socket behind."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
from collections import defaultdict
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from greenflow import log
from greenflow.testing.leaks import Held
from tests import brokers, corpora, mongo, programs

# Every program that a test starts would compile all anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
# ... and every pytest import what plugins of others import, which is most of its time.
os.environ["PYTEST_ADDOPTS"] = "-p no:anyio -p no:hypothesispytest"

# A property says nothing of how fast it is shown, and the machine may be busy.
settings.register_profile(
    "untimed", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("untimed")


HERE = Path(__file__).parent
#: The rooms that take longest, in that order; then the files beside this one, then all others.
FIRST = ("cli", "store", "broker", "faults")

#: In CI (the variable CI is set) nothing else may be skipped: a test that never runs shows nothing.
MAY_BE_SKIPPED = ["root may read everything"]
if not corpora.FOLDER.exists():  # a clone alone has none
    MAY_BE_SKIPPED.append(corpora.ABSENT)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak", action="store_true", help="run the tests that take long, too")
    parser.addoption(
        "--soak-minutes", default=5.0, type=float, help="how long test_traffic.py runs"
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave tests/soak out unless it was asked for."""
    return True if collection_path.name == "soak" and not config.getoption("--soak") else None


def pytest_sessionstart() -> None:
    """A shell that starts the tests in the background has them ignore Ctrl-C, and so every program
    that they start: the tests send it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport]:
    report: pytest.TestReport = yield
    if report.skipped and os.environ.get("CI") and not hasattr(report, "wasxfail"):
        assert isinstance(report.longrepr, tuple)
        reason = report.longrepr[2].removeprefix("Skipped: ")
        if reason not in MAY_BE_SKIPPED:
            report.outcome = "failed"
            report.longrepr = f"{item.nodeid} was skipped, which nothing is in CI: {reason}"
    return report


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads them
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Folders are run by a worker on each core, file by file; files and single tests right here, as
    is what is to be looked at, or takes all that the machine has. `-n` says otherwise."""
    option = config.option
    if hasattr(config, "workerinput") or not config.pluginmanager.hasplugin("xdist"):
        return  # a worker is told by who started it
    if option.numprocesses is None:
        is_folder = any(os.path.isdir(argument) for argument in config.args)
        is_alone = option.capture == "no" or option.collectonly or option.soak
        option.numprocesses = "auto" if is_folder and not is_alone else 0
    if option.numprocesses and option.dist == "no":
        option.dist, option.loadscopereorder = "loadfile", False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The tests that wait for servers and processes begin: what is left for the end is short, and
    no worker is long without work."""
    items.sort(key=lambda item: _rank(item.path))


def _rank(path: Path) -> int:
    parts = path.relative_to(HERE).parts if path.is_relative_to(HERE) else ("",)
    return FIRST.index(parts[0]) if parts[0] in FIRST else len(FIRST) + (len(parts) > 1)


_tests: defaultdict[Path, list[str]] = defaultdict(list)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Whatever is there before the first test is none of a test's: looking at it each time would
    take longer than the tests."""
    for item in session.items:
        _tests[item.path].append(item.nodeid)
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    brokers.close()
    mongo.close()


@pytest.fixture(scope="module", autouse=True)
def what_a_module_imported(request: pytest.FixtureRequest) -> Iterator[None]:
    """As above: what is there after the tests of a module is none of the next one's. The servers
    that its tests share with others are there before the first one."""
    mongo.prepare(_tests[request.path])
    brokers.prepare(_tests[request.path])
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Fails the test that leaves a greenlet, a thread or a descriptor behind."""
    gc.collect(1)  # what the test before left in circles; to let all of it go would take longer
    gc.freeze()  # what is there already need not be looked through
    before, handlers = Held.now(), list(logging.getLogger().handlers)
    yield
    for handler in [each for each in logging.getLogger().handlers if each not in handlers]:
        if type(handler).__module__ == log.__name__:  # a command was run right here
            logging.getLogger().removeHandler(handler)
            handler.close()
    if (more := before.left()) is not None:
        pytest.fail(f"left behind: {more}")


@pytest.fixture(scope="session")
def templates() -> Iterator[None]:
    """What commands are forks of (tests/programs)."""
    programs.start()
    yield
    programs.close()


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """MongoDB stores that close soon: they wait for the calls of their feeds, and the driver's
    threads look every half second whether they should end."""
    monkeypatch.setattr("greenflow.store.mongo.feed.AWAIT_MS", 20)
    monkeypatch.setattr("greenflow.store.mongo.poll.INTERVAL", 0.02)
    monkeypatch.setattr("pymongo.common.MIN_HEARTBEAT_INTERVAL", 0.02)
    monkeypatch.setattr("pymongo.network_layer._POLL_TIMEOUT", 0.02)
