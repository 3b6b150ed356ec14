"""Secrets that sing when they get out: what a workflow shows while one is in it.

Lives here: Cage: it runs workflows at the log level debug with a secret in them, and collects what
anybody could read: logs of both forms, error texts, tracebacks and reprs, HTTP answers, the status
of symbols, what commands print. Which secrets there are is test_canaries.py's.
"""

from __future__ import annotations

import io
import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import gevent

from greenflow import log
from greenflow.config import Settings
from greenflow.nodes.listener import Listener
from greenflow.runtime import Runtime
from greenflow.spec.document import read
from greenflow.store.base import Store
from tests import programs

DEADLINE_SECONDS = 30.0


class Cage:
    """Where a canary is kept: `canary` is the secret, and `seen` all that was shown meanwhile."""

    def __init__(self, canary: str, folder: Path) -> None:
        self.canary, self.folder = canary, folder
        self.seen: list[str] = []

    def look(self, *shown: Any) -> None:
        """Somebody sees this: a text, an error with all that is behind it, or an object."""
        for each in shown:
            self.seen += [str(each), repr(each)]
            if isinstance(each, BaseException):
                self.seen += traceback.format_exception(each)

    def file(self, name: str, text: str | bytes) -> str:
        path = self.folder / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    def fails(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> None:
        """What is called must fail; its error is seen."""
        try:
            function(*arguments, **options)
        except Exception as error:
            self.look(error)
        else:
            raise AssertionError(f"{function} did not fail")

    @contextmanager
    def flow(self, text: str, data: Any = None, **options: Any) -> Iterator[Runtime]:
        """Runs specs; `data` is that of the value `v`. What people may ask of it is seen."""
        specs = [document.data for document in read(text, "test")]
        values = [] if data is None else [{"name": "v", "data": data}]
        with self.running("memory://", specs, values=values, **options) as runtime:
            yield runtime

    @contextmanager
    def running(
        self, store: str | Store, specs: list[Any], settings: Settings | None = None, **options: Any
    ) -> Iterator[Runtime]:
        """Runs specs in a store. What people may ask of it is seen."""
        settings = settings or Settings(grace=1.0)
        with Runtime(store, specs=specs, settings=settings, **options) as runtime:
            self._look_around(runtime)
            yield runtime
            self._look_around(runtime)

    def _look_around(self, runtime: Runtime) -> None:
        self.look(*runtime.status(), runtime, runtime.settings, runtime.services)
        self.look(runtime.services.values, runtime.operations.read())
        assert runtime._opened is not None
        self.look(runtime._opened, runtime._opened.values, runtime._opened.values.find(None))
        for symbol in runtime.table.symbols.values():
            version = symbol.version
            node = version.node
            self.look(symbol, version, version.spec, node, *(vars(node).values() if node else ()))

    def calls(self, runtime: Runtime, node: str, payload: Any = None) -> None:
        """A call, whose error is seen; what it answers is the workflow's to say."""
        try:
            runtime.call(node, payload, timeout=DEADLINE_SECONDS)
        except Exception as error:
            self.look(error)

    def asks(self, runtime: Runtime, *lines: str, body: bytes = b"", name: str = "web") -> bytes:
        """A request, line by line; the answer is seen."""
        node = runtime.table.find(name).version.node
        assert isinstance(node, Listener)
        host, _, port = node.address.rpartition("://")[2].partition("/")[0].rpartition(":")
        head = "\r\n".join((*lines, "Connection: close", "", "")).encode("latin-1")
        answer = b""
        with gevent.Timeout(DEADLINE_SECONDS):
            client: Any = gevent.socket.create_connection((host, int(port)))
            try:
                client.sendall(head + body)
                with suppress(ConnectionError):
                    while part := client.recv(65536):
                        answer += part
            finally:
                client.close()
        self.look(answer.decode("latin-1"))
        return answer

    def command(self, *arguments: str, stdin: str = "", **environment: str) -> int:
        """Runs `greenflow` at the level debug; what it prints is seen."""
        env = {"PATH": "/usr/bin:/bin", "GREENFLOW_LOG_LEVEL": "debug", **environment}
        done = programs.run(arguments, stdin.encode(), DEADLINE_SECONDS, cwd=self.folder, env=env)
        self.look(done.stdout.decode(), done.stderr.decode())
        return done.returncode


@contextmanager
def listening(cage: Cage) -> Iterator[None]:
    """Logs at the level debug in both forms, and what we log also as a program does that sets its
    logs up by itself; adds all of it to what is seen."""
    root, hub = logging.getLogger(), gevent.get_hub()
    before = root.handlers[:], root.level
    as_json, as_text, as_theirs = io.StringIO(), io.StringIO(), io.StringIO()
    theirs = logging.StreamHandler(as_theirs)
    logging.getLogger("greenflow").addHandler(theirs)
    try:
        log.configure("debug", "json", as_json)
        handler = logging.StreamHandler(as_text)
        handler.setFormatter(log.TextFormatter(False))
        root.addHandler(handler)
        yield
    finally:
        root.handlers[:] = before[0]
        root.setLevel(before[1])
        logging.captureWarnings(False)
        vars(hub).pop("print_exception", None)
        logging.getLogger("greenflow").removeHandler(theirs)
        cage.seen += [as_json.getvalue(), as_text.getvalue(), as_theirs.getvalue()]
