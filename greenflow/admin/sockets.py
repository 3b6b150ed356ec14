"""The Unix sockets of running engines: where they are, who may use them, which of them are alive.

Lives here: the folder of a user's sockets, their names, and finding those of running engines. No
file with the number of an OS process is asked: a socket is alive if it can be connected to.

The folder is the user's alone (mode 0700), as is each socket (0600). A folder that is another's, or
that others may enter, is refused: whoever owns it could put a socket of his own there.
"""

from __future__ import annotations

import os
import re
import stat
import tempfile
from _socket import AF_UNIX, SOCK_STREAM
from _socket import socket as Socket
from contextlib import closing, suppress
from typing import NamedTuple

from greenflow.errors import GreenflowError

ENDING = ".sock"

#: Bytes of the path of a Unix socket (unix(7): 108 with the zero at its end).
LONGEST = 107

_UNFIT = re.compile(r"[^A-Za-z0-9_.-]+")
_FILE = re.compile(r"(.+)-(\d+)\.sock")


class AdminRefused(GreenflowError):
    """The admin interface cannot be opened as it is asked for: the operator must act."""

    exit_code = 2


class RunningEngine(NamedTuple):
    """A running engine, as its socket tells: its name, its OS process, and its path."""

    name: str
    pid: int
    path: str


def folder() -> str:
    """Where the sockets of this user are."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and os.path.isdir(runtime):
        return os.path.join(runtime, "greenflow")
    return os.path.join(tempfile.gettempdir(), f"greenflow-{os.getuid()}")


def path_of(name: str, pid: int) -> str:
    """The path of the socket of an engine, its name cut to what fits."""
    prefix, ending = os.path.join(folder(), ""), f"-{pid}{ENDING}"
    room = LONGEST - len(os.fsencode(prefix)) - len(ending)
    if room < 1:
        raise AdminRefused(
            f"the path {prefix} is too long for a Unix socket: set XDG_RUNTIME_DIR, or use --admin"
        )
    return f"{prefix}{_UNFIT.sub('-', name)[:room] or 'greenflow'[:room]}{ending}"


def make_folder() -> None:
    """Make the folder of the sockets. Raises AdminRefused for one that is not the user's alone."""
    path = folder()
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        pass
    except OSError as error:
        raise AdminRefused(f"cannot make {path}: {error.strerror}") from error
    check_folder(path)


def check_folder(path: str) -> None:
    """Raises AdminRefused for a folder of sockets that is not the user's alone."""
    try:
        found = os.lstat(path)
    except OSError as error:
        raise AdminRefused(f"{path}: {error.strerror}") from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise AdminRefused(f"{path} is not a folder of this user: remove it, or use --admin")
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise AdminRefused(f"other users may enter {path}: `chmod 700 {path}`")


def running_engines() -> list[RunningEngine]:
    """The engines of this user that run, by name; sockets of those that have ended are removed.

    Raises AdminRefused for a folder that is not the user's alone.
    """
    path = folder()
    if not os.path.lexists(path):
        return []
    check_folder(path)
    found = []
    for entry in sorted(os.listdir(path)):
        match = _FILE.fullmatch(entry)
        if match is not None and is_alive(os.path.join(path, entry)):
            found.append(RunningEngine(match[1], int(match[2]), os.path.join(path, entry)))
    return found


def is_alive(path: str) -> bool:
    """Whether somebody listens at a socket. One that an ended engine left is removed."""
    with closing(Socket(AF_UNIX, SOCK_STREAM)) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            with suppress(OSError):
                if stat.S_ISSOCK(os.lstat(path).st_mode):
                    os.unlink(path)
            return False
        except OSError:
            return True  # it is busy, or not for us: it is there
    return True
