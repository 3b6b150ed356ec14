"""A PostgreSQL server for tests, in OS processes of its own.

Lives here: finding, starting and ending it. It is Debian's package `postgresql`, or whatever
`initdb` is on the path; where there is none tests are skipped, but in CI (the variable CI is set)
that is a failure. It refuses to run as root, and so runs as the user `postgres` then.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from time import monotonic, sleep

import pytest

from tests.ports import free_port

SECONDS = 30.0  # until a server that does not start has failed


class PostgresServer:
    """A server on a port and a folder of its own, which may be stopped and started again."""

    def __init__(self) -> None:
        self._programs = programs()
        self._folder = tempfile.mkdtemp(prefix="greenflow-postgres-")
        self._user = "postgres" if os.geteuid() == 0 else None
        if self._user is not None:
            shutil.chown(self._folder, self._user)
        self.port = free_port()
        self._data = f"{self._folder}/data"
        options = ["--auth=trust", "--no-sync", "--username=test", "--encoding=UTF8", "--locale=C"]
        self._run("initdb", "-D", self._data, *options)
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), *arguments]
        subprocess.run(command, check=True, capture_output=True, user=self._user, cwd=self._folder)

    def start(self) -> None:
        """Start it, on the port that it had before."""
        command = [str(self._programs / "postgres"), "-D", self._data, "-p", str(self.port)]
        command += ["-k", self._folder, "-c", "fsync=off", "-c", "max_connections=20"]
        with open(f"{self._folder}/log", "ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, user=self._user, cwd=self._folder
            )
        end = monotonic() + SECONDS
        ready = [str(self._programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        while subprocess.run(ready, check=False).returncode:
            if monotonic() > end or self.process.poll() is not None:
                raise RuntimeError(f"PostgreSQL did not start: {Path(log.name).read_text()}")
            sleep(0.05)

    def stop(self) -> None:
        """End it, and break off what is under way."""
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(SECONDS)
            self.process = None

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def url(self) -> str:
        """The URL of its database."""
        return f"postgres://test:secret@127.0.0.1:{self.port}/postgres"


def programs() -> Path:
    """Where the server's programs are. Skips the test if they are not installed."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    found = shutil.which("initdb")
    if not debian and found is None:
        reason = "no PostgreSQL: Debian's package `postgresql` is not installed"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return debian[-1].parent if debian else Path(found or "").parent
