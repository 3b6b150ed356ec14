"""MongoDB servers for tests: a stand-in for one, in an OS process of its own.

Lives here: starting and finding servers. SecantusDB speaks MongoDB's wire protocol and is as near
to one as a package of Python gets, so what passes is tested against SecantusDB; with
GREENFLOW_TEST_MONGO_URI the same tests run against a real server: those for replica sets if it is
one, those for single servers if it is one of those. Where neither is there they are skipped, but in
CI (the variable CI is set) that is a failure. Servers that lack something are mongo_front.py's.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from tests.bound import bound
from tests.mongo_front import SERVERS, Front

URI = "GREENFLOW_TEST_MONGO_URI"
SECONDS = 60.0  # until a server that does not start has failed


class MongoServer:
    """A server on a port and a folder of its own, which may be killed and started again."""

    def __init__(self, *options: str, is_killed: bool = True) -> None:
        # What is reported as written survives a kill: where there is none, half of the work is for
        # nothing.
        self.options = (*options, *["--sync-on-commit"] * is_killed)
        self.folder = tempfile.mkdtemp(prefix="greenflow-mongo-")
        self.port = 0
        self.process: subprocess.Popen[str] | None = None
        self.start()

    def start(self) -> None:
        """Start it, on the port that it had before."""
        command = Path(sys.executable).parent / "secantusd-py"
        arguments = ["--host", "127.0.0.1", "--port", str(self.port), "--cache-size", "64M"]
        arguments += ["--enable-test-commands"]  # which make others fail
        self.process = subprocess.Popen(
            bound(str(command), *arguments, "--storage-path", self.folder, *self.options),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if "listening on" in line:
                self.port = int(line.rpartition(":")[2])
                return
        raise RuntimeError(f"{command.name} did not start")

    @property
    def is_there(self) -> bool:
        return self.process is not None

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        self._end(signal.SIGKILL)

    def _end(self, number: int) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            assert self.process.stdout is not None
            self.process.stdout.close()
            self.process.wait(SECONDS)
            self.process = None

    def close(self) -> None:
        self._end(signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database: str | None = None, options: str = "") -> str:
        """The URL of a database, by default of a new one."""
        database = database or f"test_{secrets.token_hex(8)}"
        return f"mongodb://127.0.0.1:{self.port}/{database}{options}"


_servers: dict[bool, MongoServer] = {}
_fronts: dict[str, Front] = {}


def prepare(tests: Iterable[str]) -> None:
    """Start the servers that these tests use, before the first one: they outlive it."""
    tests = [test for test in tests if "mongo" in test]
    wanted = {"standalone" in test or "ferretdb" in test for test in tests}
    if is_installed():
        for standalone in wanted:
            if _real(standalone) is None:
                _server(standalone)
        for like in SERVERS:
            if any(like in test for test in tests):
                lacking(like)


def _server(standalone: bool) -> MongoServer:
    if standalone not in _servers:
        _servers[standalone] = MongoServer(*["--standalone"] * standalone, is_killed=False)
    return _servers[standalone]


def url(*, standalone: bool = False) -> str:
    """A new, empty database of a server that the whole test run shares."""
    real = _real(standalone)
    if real is not None:
        scheme, _, rest = real.partition("://")
        location, _, options = rest.partition("?")
        hosts = location.partition("/")[0]
        return f"{scheme}://{hosts}/test_{secrets.token_hex(8)}?{options}"
    require()
    return _server(standalone).url()


@cache
def _is_standalone(uri: str) -> bool:
    with closing(MongoClient[dict[str, Any]](uri)) as client:
        hello = client.admin.command("hello")
    return "setName" not in hello and hello.get("msg") != "isdbgrid"


def _real(standalone: bool) -> str | None:
    """The URL of a real server of that sort."""
    uri = os.environ.get(URI)
    return uri if uri and _is_standalone(uri) == standalone else None


def lacking(like: str) -> str:
    """A new, empty database of a server that lacks something: one of mongo_front.SERVERS. FerretDB
    says that it is a single server, the others that they are sets."""
    require()
    if like not in _fronts:
        _fronts[like] = Front(like, _server(like == "ferretdb").port)
    database = f"test_{secrets.token_hex(8)}"
    return f"mongodb://127.0.0.1:{_fronts[like].port}/{database}?directConnection=true"


def is_installed() -> bool:
    return shutil.which("secantusd-py", path=str(Path(sys.executable).parent)) is not None


def require() -> None:
    """Skip the test if there is no server to start."""
    if not is_installed():
        reason = "no MongoDB: SecantusDB is not installed (the extra `test` has it)"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


def close() -> None:
    """End the servers of the test run."""
    while _fronts:
        _fronts.popitem()[1].close()
    while _servers:
        _servers.popitem()[1].close()
