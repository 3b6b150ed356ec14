"""A Python that has imported what commands of greenflow need: each command is a fork of it.

Runs as `python template.py NAME DESCRIPTOR`: NAME says whether gevent's patches are made, at
DESCRIPTOR it listens. A connection brings one command: the literal of its arguments, folder and
environment, ended by a NUL, and with the first byte its three standard streams. Back go the number
of the process, when it has begun, and what `os.waitpid` says, when it has ended. A connection that
is closed before has its command killed. At the end of its standard input the template ends.

A command that ends by an exit code ends as a Python does, but for the modules: to take what the
template imported apart again takes longer than most commands. Any other end is Python's.

The template never has a hub, a greenlet or a thread: a fork would not have them.
"""

from __future__ import annotations

import ast
import atexit
import gc
import importlib
import os
import pkgutil
import runpy
import select
import signal
import sys
import threading
import time
from _socket import CMSG_SPACE, socket
from contextlib import suppress
from io import TextIOWrapper
from typing import Any, NamedTuple

del sys.path[0]  # this folder

#: Packages whose modules commands import; those of the languages' workers run elsewhere.
PACKAGES = ("cli", "config", "engine", "hub", "log", "net", "nodes", "payload", "scheme")
PACKAGES += ("spec", "sql", "store", "table", "testing", "values", "lang.cel")
QUICK = (
    "cli",
    "config",
    "engine",
    "log",
    "nodes",
    "payload",
    "scheme",
    "spec",
    "testing",
    "values",
)

#: What those import when they need it.
LIBRARIES = ("cryptography.fernet", "email.message", "importlib.metadata", "prometheus_client")
LIBRARIES += ("rich.console", "rich.table", "watchfiles", "yaml")


# Before they are patched; not by name, for greenflow warns of modules that hold such functions.
NATIVE = (select.poll, os.fork, os.waitpid)


def load(packages: tuple[str, ...]) -> None:
    for package in packages:
        root = importlib.import_module(f"greenflow.{package}")
        for module in pkgutil.walk_packages(root.__path__, f"{root.__name__}."):
            if not module.name.endswith(".plugin"):  # pytest's
                importlib.import_module(module.name)
    for library in LIBRARIES:
        importlib.import_module(library)


class Command(NamedTuple):
    """A fork."""

    number: int
    handle: int  # its pidfd
    line: int  # the connection that brought it


def serve(listening: int) -> dict[str, Any]:
    """Fork for each command. Returns in the forks only: what such a command is told."""
    poll, fork, waitpid = NATIVE
    ready = poll()
    ready.register(0, select.POLLIN)
    ready.register(listening, select.POLLIN)
    commands: dict[int, Command] = {}  # by both of their descriptors
    while True:
        descriptor, _ = ready.poll()[0]
        if descriptor == 0:
            for command in commands.values():
                os.kill(command.number, signal.SIGKILL)
            os._exit(0)
        elif descriptor == listening:
            line = accept(listening)
            request, streams = receive(line)
            number = fork()
            if number == 0:
                become(streams, request)
                return request
            for stream in streams:
                os.close(stream)
            os.write(line, b"%d\n" % number)
            command = Command(number, os.pidfd_open(number), line)
            for part in command[1:]:
                commands[part] = command
                ready.register(part, select.POLLIN)
        elif descriptor == commands[descriptor].line:
            os.kill(commands[descriptor].number, signal.SIGKILL)
            ready.unregister(descriptor)
        else:
            command = commands.pop(descriptor)
            del commands[command.line]
            _, status = waitpid(command.number, 0)
            with suppress(BrokenPipeError):  # nobody wants to know
                os.write(command.line, b"%d\n" % status)
            for part in command[1:]:
                with suppress(KeyError):
                    ready.unregister(part)
                os.close(part)


def accept(listening: int) -> int:
    """The next connection."""
    here = socket(fileno=os.dup(listening))
    line: int = here._accept()[0]
    here.close()
    return line


def receive(line: int) -> tuple[dict[str, Any], list[int]]:
    """A command, and its streams."""
    connection = socket(fileno=line)
    data, ((_, _, rights),), _, _ = connection.recvmsg(65536, CMSG_SPACE(3 * 4))
    while not data.endswith(b"\0"):
        data += connection.recv(65536)
    connection.detach()
    streams = [
        int.from_bytes(rights[start : start + 4], sys.byteorder) for start in range(0, 12, 4)
    ]
    return ast.literal_eval(data[:-1].decode()), streams


def become(streams: list[int], request: dict[str, Any]) -> None:
    """Be a process that was just started."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.closerange(3, 1 << 16)
    os.chdir(request["folder"])
    before = os.environ.get("PYTHONPATH", "")
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    folders = os.environ.get("PYTHONPATH", "")
    if folders != before:
        sys.path[:0] = folders.split(os.pathsep)
    sys.path.insert(0, os.getcwd())
    sys.argv = ["", *request["arguments"]]
    unbuffered = bool(os.environ.get("PYTHONUNBUFFERED"))
    sys.stdin = sys.__stdin__ = open(0, closefd=False)  # noqa: SIM115 - as Python does
    for number, name, errors in ((1, "stdout", "strict"), (2, "stderr", "backslashreplace")):
        raw = open(number, "wb", 0 if unbuffered else -1, closefd=False)  # noqa: SIM115
        lines = number == 2 or raw.isatty()
        stream = TextIOWrapper(raw, None, errors, None, lines, unbuffered)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def end(code: object) -> None:
    """End with that exit code. Returns when it is none, or a stream is closed that was written to:
    Python says so then."""
    if not isinstance(code, int | None):
        return
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    gc.collect()  # what is told of objects that go
    with suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit((code or 0) & 0xFF)


if sys.argv[1] == "patched":
    from greenflow.__main__ import _patch

    _patch()
    load(PACKAGES)
else:
    load(QUICK)
sys.modules.pop("greenflow.__main__", None)
if "gevent" in sys.modules:
    from gevent._hub_local import get_hub_if_exists

    hub = get_hub_if_exists()
    if hub is not None:  # urllib3 opens a socket when it is imported
        hub.destroy(destroy_loop=True)
        del hub
gc.freeze()
serve(int(sys.argv[2]))
try:
    runpy.run_module("greenflow", run_name="__main__", alter_sys=True)
except SystemExit as exit_:
    end(exit_.code)
    raise
