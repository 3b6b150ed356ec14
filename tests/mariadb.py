"""A MariaDB server for tests, in an OS process of its own.

Lives here: finding, starting and ending it. It is Debian's package `mariadb-server`, or whatever
`mariadbd` is on the path; where there is none tests are skipped, but in CI (the variable CI is set)
that is a failure.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from time import monotonic, sleep

import pytest

from tests.ports import free_port

SECONDS = 60.0  # until a server that does not start has failed


class MariadbServer:
    """A server on a port and a folder of its own."""

    def __init__(self) -> None:
        program = _program("mariadbd")
        self._folder = tempfile.mkdtemp(prefix="greenflow-mariadb-")
        self.port = free_port()
        user = pwd.getpwuid(os.geteuid()).pw_name
        data = [f"--datadir={self._folder}/data", f"--user={user}"]
        install = [_program("mariadb-install-db"), "--no-defaults", *data]
        install += ["--auth-root-authentication-method=normal", "--skip-test-db"]
        subprocess.run(install, check=True, capture_output=True)
        begin = Path(self._folder, "begin.sql")
        begin.write_text(
            "CREATE DATABASE shop;\nCREATE DATABASE other;\n"
            "CREATE USER test@'127.0.0.1' IDENTIFIED BY 'secret';\n"
            "GRANT ALL ON *.* TO test@'127.0.0.1';\n"
            "CREATE ROLE clerk;\nGRANT clerk TO test@'127.0.0.1';\n"
        )
        command = [program, "--no-defaults", *data, f"--port={self.port}"]
        command += ["--bind-address=127.0.0.1", f"--socket={self._folder}/socket"]
        command += [f"--pid-file={self._folder}/pid", f"--init-file={begin}"]
        command += ["--skip-name-resolve", "--innodb-flush-log-at-trx-commit=0"]
        command += ["--innodb-buffer-pool-size=16M", "--performance-schema=OFF"]
        with open(f"{self._folder}/log", "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        self._wait(log.name)

    def _wait(self, log: str) -> None:
        end = monotonic() + SECONDS
        while monotonic() < end and self.process.poll() is None:
            if "ready for connections" in Path(log).read_text():
                return
            sleep(0.05)
        raise RuntimeError(f"MariaDB did not start: {Path(log).read_text()}")

    def close(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(SECONDS)
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def url(self) -> str:
        """The URL of its database."""
        return f"mysql://test:secret@127.0.0.1:{self.port}/shop"


def _program(name: str) -> str:
    """Where a program of the server is. Skips the test if it is not installed."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if found is None:
        reason = "no MariaDB: Debian's package `mariadb-server` is not installed"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found
