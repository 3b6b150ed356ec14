"""`greenflow doctor`: whether this machine and these settings can run greenflow, and what to do.

Lives here: the checks, one function each, and the words of what they found. A check looks and asks,
and changes nothing; it says what is wrong, or what will be, not what could be better. How the thing
works that it checks is that thing's own.

A finding is `ok`, `note` (it runs, and an operator should know) or `wrong` (it does not run, or not
as it is set). With one that is wrong the exit code is 1.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import platform
import resource
import stat
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Literal, NamedTuple

import click

from greenflow.cli.options import with_settings

if TYPE_CHECKING:
    from greenflow.config import Settings

#: Open files below which a service soon has too few: each connection is one.
FEW_FILES = 4096

#: Watches of inotify below which folders with many files cannot be followed.
FEW_WATCHES = 8192

#: Seconds that the server of the broker and the first JavaScript call have.
PATIENCE = 20.0

_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronized
_TIMEX_BYTES = 256  # struct timex has 208


class Finding(NamedTuple):
    """What a check found."""

    check: str
    state: Literal["ok", "note", "wrong"]
    says: str


@click.command("doctor", short_help="Check the machine and the settings.")
@with_settings(("broker.url", "--broker-url"))
def command(settings: Settings) -> int:
    """Checks whether this machine and these settings can run greenflow, and says what to do.

    A `note` is something to know; with anything `wrong` the exit code is 1. Nothing is changed: a
    store that is not there is not made.
    """
    from greenflow.cli.output import TABLES, print_data, print_table

    findings = [finding for check in CHECKS for finding in check(settings)]
    if settings.output in TABLES:
        print_table(("CHECK", "STATE", "WHAT"), findings)
    else:
        print_data([finding._asdict() for finding in findings], settings.output)
    return int(any(finding.state == "wrong" for finding in findings))


def versions(settings: Settings) -> Iterator[Finding]:
    from importlib.metadata import version

    system = f"{platform.system()} {platform.release()} {platform.machine()}"
    says = f"greenflow {version('greenflow')}, Python {platform.python_version()}, {system}"
    yield Finding("version", "ok", says)


def files(settings: Settings) -> Iterator[Finding]:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < FEW_FILES:
        advice = "each connection is one; raise `ulimit -Hn`, or LimitNOFILE= of the systemd unit"
        yield Finding("open files", "note", f"at most {hard}: {advice}")
    else:
        yield Finding("open files", "ok", f"at most {_number(hard)}")


def inotify(settings: Settings) -> Iterator[Finding]:
    """What tells of saved files: to `run FILE` and to `watch` nodes."""
    libc = ctypes.CDLL(None, use_errno=True)
    handle = libc.inotify_init1(os.O_CLOEXEC)
    if handle < 0:
        reason = os.strerror(ctypes.get_errno())
        advice = "raise `sysctl fs.inotify.max_user_instances`"
        yield Finding("inotify", "wrong", f"files cannot be followed ({reason}): {advice}")
        return
    os.close(handle)
    watches = _limit_of("watches")
    if watches is not None and watches < FEW_WATCHES:
        advice = "raise `sysctl fs.inotify.max_user_watches` to follow large folders"
        yield Finding("inotify", "note", f"{watches} watches: {advice}")
    else:
        yield Finding("inotify", "ok", "files can be followed")


def clock(settings: Settings) -> Iterator[Finding]:
    import zoneinfo

    try:
        zoneinfo.ZoneInfo("Europe/Berlin")
    except zoneinfo.ZoneInfoNotFoundError:
        says = "there are no time zones here, which schedules may name: `pip install tzdata`"
        yield Finding("time zones", "note", says)
    if ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES)) == _TIME_ERROR:
        advice = "schedules and certificates need the time: run chrony or systemd-timesyncd"
        yield Finding("clock", "note", f"the kernel says it is not synchronized; {advice}")
    else:
        yield Finding("clock", "ok", "it is synchronized")


def extras(settings: Settings) -> Iterator[Finding]:
    from greenflow.extras import EXTRAS, install

    missing = dict[str, list[str]]()
    for package, extra in EXTRAS.items():
        try:
            importlib.import_module(package)
        except ImportError:
            # Python 3.14 has what the package brings.
            if (package, sys.version_info >= (3, 14)) != ("backports", True):
                missing.setdefault(extra, []).append(package)
    for extra, packages in missing.items():
        says = f"{', '.join(packages)} not there; if it is needed: {install(extra)}"
        yield Finding(f"extra {extra}", "note", says)
    if not missing:
        yield Finding("extras", "ok", "all are there")


def secrets(settings: Settings) -> Iterator[Finding]:
    """Keys that can be used, and files with secrets that others can read."""
    from greenflow.config import secrets as secrets_of
    from greenflow.config.loading import DEFAULT_FILE, FILE_VARIABLE
    from greenflow.errors import GreenflowError
    from greenflow.values.seal import Keys

    try:
        Keys(settings.values.key)
    except (GreenflowError, ImportError) as error:
        yield Finding("values.key", "wrong", str(error))
    paths = list(settings.environment_files)
    if any(secrets_of(settings)):
        paths.append(os.environ.get(FILE_VARIABLE) or DEFAULT_FILE)
    if (database := _sqlite_path(settings)) is not None:
        paths.append(database)
    open_to_others = list(filter(_is_open_to_others, paths))
    if not open_to_others:
        yield Finding("permissions", "ok", "no file with secrets is for everybody to read")
    for path in open_to_others:
        says = "every user of the machine can read it, and there may be secrets in it: "
        yield Finding("permissions", "note", f"{path}: {says}`chmod o-rwx {path}`")


def javascript(settings: Settings) -> Iterator[Finding]:
    from greenflow.config import of_languages
    from greenflow.errors import GreenflowError
    from greenflow.lang import compile, hold, release
    from greenflow.lang.javascript import running

    told = of_languages(settings)
    hold(told)
    try:
        compile("javascript", "export default () => 1")(None, timeout=PATIENCE)
        sandbox = running().sandbox()
    except GreenflowError as error:
        yield Finding("JavaScript", "wrong", str(error))
        return
    finally:
        release(told)
    is_whole = "not possible" not in sandbox
    yield Finding("JavaScript", "ok" if is_whole else "note", f"it runs with {sandbox}")


def store(settings: Settings) -> Iterator[Finding]:
    from greenflow.errors import NoDatabase, StoreUnavailable
    from greenflow.log.redactor import redact_url
    from greenflow.store.base import open_store

    name = redact_url(settings.database)
    try:
        with open_store(settings.database, create=False) as opened:
            count = len(opened.specs.revisions(settings.namespace))
    except NoDatabase:
        folder = os.path.dirname(_sqlite_path(settings) or "")
        if folder and not os.access(folder, os.W_OK | os.X_OK):
            says = f"it is not there, and {folder} is no folder in which this user may make it"
            yield Finding("store", "wrong", f"{name}: {says}")
        else:
            says = "it is not there yet; `greenflow apply` or `greenflow run` makes it"
            yield Finding("store", "note", f"{name}: {says}")
    except StoreUnavailable as error:
        yield Finding("store", "wrong", str(error))
    else:
        yield Finding("store", "ok", f"{name}: {count} specs in {settings.namespace}")


def broker(settings: Settings) -> Iterator[Finding]:
    from greenflow.broker import open_broker
    from greenflow.broker.remote import RemoteBroker
    from greenflow.errors import BrokerUnavailable
    from greenflow.hub.clock import Clock
    from greenflow.log.redactor import redact, redact_url

    name = redact_url(settings.broker.url)
    try:
        opened = open_broker(settings.broker, settings.namespace, Clock())
    except BrokerUnavailable as error:
        yield Finding("broker", "wrong", str(error))
        return
    try:
        if not isinstance(opened, RemoteBroker):
            yield Finding("broker", "ok", f"{name}: events stay inside of each runtime")
            return
        opened.transport.producer().drop()
    except Exception as error:  # of whose library it is, nobody knows
        yield Finding("broker", "wrong", f"{name}: {redact(str(error))}")
    else:
        yield Finding("broker", "ok", f"{name}: it takes connections")
    finally:
        opened.close()


#: In the order in which they are shown.
CHECKS: tuple[Callable[[Settings], Iterator[Finding]], ...] = (
    versions,
    files,
    inotify,
    clock,
    extras,
    secrets,
    javascript,
    store,
    broker,
)


def _number(limit: int) -> str:
    return "any number" if limit == resource.RLIM_INFINITY else str(limit)


def _limit_of(what: str) -> int | None:
    try:
        with open(f"/proc/sys/fs/inotify/max_user_{what}") as file:
            return int(file.read())
    except (OSError, ValueError):
        return None  # a container may hide it


def _sqlite_path(settings: Settings) -> str | None:
    scheme, _, rest = settings.database.partition(":///")
    return os.path.abspath(rest.partition("?")[0]) if scheme == "sqlite" and rest else None


def _is_open_to_others(path: str) -> bool:
    try:
        return bool(os.stat(path).st_mode & (stat.S_IROTH | stat.S_IWOTH))
    except OSError:
        return False
