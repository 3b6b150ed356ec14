"""Servers for tests, each an OS process on loopback, in a folder of its own.

Lives here: starting and finding servers. One RabbitMQ serves the whole test run, which takes some
seconds to start; every test has a namespace of its own. Where a server is not installed its tests
are skipped, but in CI (the variable CI is set) that is a failure.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests import mongo
from tests.bound import bound
from tests.ports import free_port

SECONDS = 60.0  # until a server that does not start has failed
PAUSE = 0.01  # seconds between two looks whether it has

# Debian's command in the path is for the service: it changes the user.
RABBITMQ = "/usr/lib/rabbitmq/bin/rabbitmq-server"


def answers(port: int, question: bytes, begin: bytes) -> bool:
    """Whether a server there answers so."""
    try:
        with socket.create_connection(("127.0.0.1", port), 1.0) as probe:
            probe.settimeout(1.0)
            probe.sendall(question)
            return probe.recv(64).startswith(begin)
    except OSError:
        return False


class Server:
    """A server that may be killed and started again, on the same port and with the same data."""

    scheme = ""
    question, answer = b"", b""

    def __init__(self) -> None:
        self.folder = tempfile.mkdtemp(prefix="greenflow-broker-")
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def command(self) -> tuple[list[str], dict[str, str]]:
        raise NotImplementedError

    def start(self) -> None:
        command, environment = self.command()
        with open(Path(self.folder, "output"), "ab") as output:
            self.process = subprocess.Popen(
                bound(*command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **environment},
                start_new_session=True,
            )
        end = time.monotonic() + SECONDS
        while not answers(self.port, self.question, self.answer):
            if self.process.poll() is not None or time.monotonic() > end:
                said = Path(self.folder, "output").read_text(errors="replace")
                self.close()
                raise RuntimeError(f"{command[0]} did not start: {said[-2000:]}")
            time.sleep(PAUSE)

    def kill(self) -> None:
        """End it at once, and what it started."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(SECONDS)
            self.process = None

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def url(self) -> str:
        raise NotImplementedError


class RedisServer(Server):
    question, answer = b"PING\r\n", b"+PONG"

    def command(self) -> tuple[list[str], dict[str, str]]:
        options = {
            "--port": str(self.port),
            "--bind": "127.0.0.1",
            "--dir": self.folder,
            "--save": "",
            "--appendonly": "yes",
            "--appendfsync": "always",
        }
        return ["redis-server", *(word for pair in options.items() for word in pair)], {}

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"


class RabbitServer(Server):
    question, answer = b"AMQP\x00\x00\x09\x01", b"\x01\x00\x00"

    def __init__(self) -> None:
        # Erlang's name server would be started as a daemon, and stay.
        self.names = free_port()
        self.name_server = subprocess.Popen(
            bound("epmd", "-port", str(self.names), "-address", "127.0.0.1"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        super().__init__()

    def close(self) -> None:
        super().close()
        self.name_server.kill()
        self.name_server.wait(SECONDS)

    def command(self) -> tuple[list[str], dict[str, str]]:
        folder = self.folder
        # The default from RabbitMQ 4.0 on.
        Path(folder, "rabbitmq.conf").write_text("max_message_size = 16777216\n")
        return [RABBITMQ], {
            "HOME": folder,
            "ERL_EPMD_PORT": str(self.names),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"greenflow{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": f"{folder}/data",
            "RABBITMQ_LOG_BASE": f"{folder}/log",
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_PID_FILE": f"{folder}/pid",
            "RABBITMQ_CONFIG_FILE": f"{folder}/rabbitmq.conf",
            "RABBITMQ_CONF_ENV_FILE": f"{folder}/none",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/plugins",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        }

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"


# moto may hand a message to two threads that ask at one instant: no thread is interrupted but where
# it waits.
MOTO = """
import sys
from moto.server import main
sys.setswitchinterval(60)
main(sys.argv[1:])
"""


class SqsServer(Server):
    """moto's, which keeps everything in memory."""

    question, answer = b"GET /moto-api/ HTTP/1.0\r\n\r\n", b"HTTP/1.1 200"

    def command(self) -> tuple[list[str], dict[str, str]]:
        options = ["-H", "127.0.0.1", "-p", str(self.port)]
        return [sys.executable, "-c", MOTO, *options], {}

    @property
    def url(self) -> str:
        return f"sqs://key:word@eu-central-1?endpoint=http://127.0.0.1:{self.port}"


class MongoPlace:
    """A database of the server that tests/mongo.py starts."""

    def __init__(self) -> None:
        self.url = mongo.url()


Place = Server | MongoPlace

_kinds: dict[str, type[Server]] = {
    "redis": RedisServer,
    "rabbitmq": RabbitServer,
    "sqs": SqsServer,
}
_servers: dict[str, Server] = {}


def is_installed(kind: str) -> bool:
    commands = {"redis": "redis-server", "rabbitmq": RABBITMQ, "sqs": sys.executable}
    return shutil.which(commands[kind]) is not None


def require(kind: str) -> None:
    """Skip the test if there is no server to start."""
    if not is_installed(kind):
        reason = f"no {kind}: its server is not installed (Debian's package {kind}-server)"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


def prepare(tests: Iterable[str]) -> None:
    """Start the servers that these tests use, before the first one: they outlive it."""
    wanted = {kind for test in tests for kind in _kinds if f"broker-{kind}" in test}
    for kind in sorted(wanted):
        if is_installed(kind):
            server(kind)


def server(kind: str) -> Place:
    """The server of that kind that the whole test run shares."""
    if kind == "mongo":
        return MongoPlace()
    require(kind)
    if kind not in _servers:
        _servers[kind] = _kinds[kind]()
    return _servers[kind]


def another(kind: str) -> Server:
    """A server for a test that kills it. Who asks closes it."""
    require(kind)
    return _kinds[kind]()


def namespace() -> str:
    """A namespace that no other test has."""
    return f"test-{secrets.token_hex(6)}"


def close() -> None:
    """End the servers of the test run."""
    while _servers:
        _servers.popitem()[1].close()
