"""Every workflow of contrib/examples, run as a user runs it and asked over HTTP."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from greenflow.net.websocket.frames import BINARY, TEXT
from tests import programs
from tests.browser import browser
from tests.net.websockets import Peer

EXAMPLES = Path(__file__).parent.parent / "contrib" / "examples"
# system.yaml: cli/test_system.py
TESTED = {
    *("chat.yaml", "ping.yaml", "fork.yaml", "retry.yaml", "proxy.yaml", "python.yaml"),
    *("events.yaml", "old_service.yaml", "system.yaml", "hello.yaml", "websocket_proxy.yaml"),
}
pytestmark = pytest.mark.usefixtures("templates")

SECONDS = 60.0  # until something that was waited for has failed


@contextmanager
def example(
    name: str, folder: Path, behind: int = 9000, source: Path = EXAMPLES
) -> Iterator[HTTPConnection]:
    """`greenflow run` of an example on a free port, and a connection to it. A server that it asks
    is at the port `behind`."""
    file = folder / name
    text = (source / name).read_text().replace("port: 8000", "port: 0")
    file.write_text(text.replace("127.0.0.1:9000", f"127.0.0.1:{behind}"))
    process = programs.Process(
        ("run", str(file)),
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": f"{EXAMPLES}:{EXAMPLES.parent.parent}"},
    )
    assert process.stderr is not None
    try:
        line = next(line for line in process.stderr if "listening on" in line)
        port = int(line.partition("127.0.0.1:")[2].partition('"')[0])
        connection = HTTPConnection("127.0.0.1", port, timeout=SECONDS)
        yield connection
        connection.close()
        process.send_signal(signal.SIGTERM)
        log = process.stderr.read()
        assert process.wait(SECONDS) == 0
        assert "error" not in log
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def ask(
    connection: HTTPConnection, method: str, path: str, body: str | None = None
) -> tuple[Any, ...]:
    headers = {} if body is None else {"Content-Type": "application/json"}
    connection.request(method, path, body, headers)
    response = connection.getresponse()
    return response.status, response.read().decode(), response


def test_every_example_is_tested() -> None:
    assert {path.name for path in EXAMPLES.glob("*.yaml")} == TESTED


def test_every_example_has_a_readme_of_three_lines() -> None:
    readme = (EXAMPLES / "README.md").read_text()
    sections = dict(re.findall(r"^## (.+)\n((?:.+\n)+)", readme, re.MULTILINE))
    assert sections.keys() == TESTED
    for name, text in sections.items():
        lines = text.splitlines()
        assert len(lines) == 3
        assert lines[1].startswith("- Run it: `")
        assert f"contrib/examples/{name}" in lines[1]
        assert lines[2].startswith("- Try: ")
    for folder in (path for path in EXAMPLES.iterdir() if path.is_dir()):
        if any(folder.glob("*.yaml")):
            assert len((folder / "README.md").read_text().splitlines()) == 3


def test_hello(tmp_path: Path) -> None:
    with example("hello.yaml", tmp_path) as connection:
        assert ask(connection, "GET", "/")[:2] == (200, "Hello, World!\n")
        assert ask(connection, "GET", "/?name=Anna")[:2] == (200, "Hello, Anna!\n")


def test_ping(tmp_path: Path) -> None:
    with example("ping.yaml", tmp_path) as connection:
        assert ask(connection, "GET", "/ping")[:2] == (200, "pong")
        assert ask(connection, "GET", "/")[:2] == (404, "Not Found")
        status, _, response = ask(connection, "POST", "/ping")
        assert (status, response.headers["Allow"]) == (405, "GET, HEAD, OPTIONS")


def test_fork(tmp_path: Path) -> None:
    with example("fork.yaml", tmp_path) as connection:
        for _ in range(3):
            assert ask(connection, "POST", "/orders", '{"sku": "A1"}')[:2] == (202, "accepted")
        assert ask(connection, "POST", "/orders", "{")[0] == 400


def test_retry(tmp_path: Path) -> None:
    with example("retry.yaml", tmp_path) as connection:
        status, text, response = ask(connection, "GET", "/flaky")
        assert (status, text) == (503, "please try again later")
        assert response.headers["Retry-After"] == "1"


def test_python(tmp_path: Path) -> None:
    (tmp_path / "pricing.py").write_text((EXAMPLES / "pricing.py").read_text())
    with example("python.yaml", tmp_path) as connection:
        answers = {
            order: ask(connection, "POST", "/price", order)[:2]
            for order in (
                '{"sku": "A1", "amount": 3}',
                '{"sku": "C3"}',
                '{"sku": "A1", "amount": "three"}',
            )
        }
        assert list(answers.values()) == [
            (200, '{"sku":"A1","total":13.5}\n'),
            (404, "no price for that"),
            (400, "no price for that"),
        ]
        assert ask(connection, "GET", "/primes/12")[:2] == (200, "[2,3,5,7,11]\n")


def test_old_service(tmp_path: Path) -> None:
    """One path is answered by the workflow, the others by the old code."""
    with example("old_service.yaml", tmp_path) as connection:
        assert ask(connection, "GET", "/prices/A1")[:2] == (200, '{"sku":"A1","price":13}\n')
        assert ask(connection, "GET", "/prices/C3")[0] == 404
        assert ask(connection, "GET", "/stock/A1")[:2] == (200, '{"sku":"A1","stock":3}\n')
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        connection.request("POST", "/login", "user=anna", headers)
        response = connection.getresponse()
        assert (response.status, response.headers["Location"]) == (302, "/stock/A1")
        assert response.headers["Set-Cookie"] == "user=anna; Path=/"
        response.read()


def test_chat(tmp_path: Path) -> None:
    """Two people in a real browser: each sees what both write, and nothing of it is HTML."""
    said = "[...document.querySelectorAll('li')].map((item) => item.textContent).join()"
    with example("chat.yaml", tmp_path) as connection, browser() as chromium:
        url = f"http://127.0.0.1:{connection.port}/"
        anna, ben = chromium.page(url), chromium.page(url)
        for page in (anna, ben):
            page.until("document.title === 'Chat (connected)'")
        anna.press("#text", "hello")
        ben.until(f"{said} === 'hello'")
        ben.press("#text", "<b>hi</b>")
        for page in (anna, ben):
            page.until(f"{said} === 'hello,<b>hi</b>'")
        assert anna.evaluate("document.querySelectorAll('b').length") == 0
        ben.load("about:blank")
        anna.press("#text", "alone")
        anna.until(f"{said}.endsWith('alone')")


def test_events(tmp_path: Path) -> None:
    """A browser's EventSource: ticks as they come, and after the tenth it comes back for more."""
    said = "[...document.querySelectorAll('li')].map((item) => item.textContent)"
    with example("events.yaml", tmp_path) as connection:
        connection.request("GET", "/events", headers={"Last-Event-ID": "41"})
        response = connection.getresponse()
        assert response.headers["Content-Type"] == "text/event-stream"
        assert response.read(10).decode() == "id: 42\nret"  # before the others are made
        connection.close()
        with browser() as chromium:
            page = chromium.page(f"http://127.0.0.1:{connection.port}/")
            page.until(f"{said}.length >= 3")
            page.until(f"{said}.length >= 12")
            ticks = page.evaluate(said)
            assert ticks[:12] == [f"tick {number}" for number in range(1, 13)]
            page.load("about:blank")


class Behind(BaseHTTPRequestHandler):
    """Answers with what it was asked."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/login")
            self.send_header("Set-Cookie", "back=moved")
            self.send_header("Content-Length", "0")
            self.send_header("Connection", "close")
            self.end_headers()
            return
        self.send_response(203)
        self.send_header("Transfer-Encoding", "chunked")
        self.send_header("Set-Cookie", "a=b")
        self.send_header("Connection", "close")
        self.end_headers()
        for text in (self.path, " ", self.headers["X-Mine"]):
            self.wfile.write(b"%x\r\n%b\r\n" % (len(text), text.encode()))
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is logged."""


def test_proxy(tmp_path: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Behind) as server:
        serving = Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        with example("proxy.yaml", tmp_path, behind=server.server_port) as connection:
            connection.request("GET", "/a%20b/?c=d", headers={"X-Mine": "e"})
            response = connection.getresponse()
            assert (response.status, response.read()) == (203, b"/a%20b/?c=d e")
            assert response.headers["Set-Cookie"] == "a=b"
            connection.request("GET", "/moved")
            response = connection.getresponse()
            assert (response.status, response.read()) == (302, b"")
            assert response.headers["Location"] == "/login"
            assert response.headers["Set-Cookie"] == "back=moved"
            server.shutdown()
            server.server_close()
            assert ask(connection, "GET", "/")[:2] == (502, "the server behind does not answer")
        serving.join()


ECHO = """
- {kind: listener, name: http, port: 8000, links: {out: {name: echo, port: io}}}
- {kind: gateway, name: echo, links: {out: {name: echo}}}
"""


def test_websocket_proxy(tmp_path: Path) -> None:
    """A client says something, and hears it from the server behind; so does another one."""
    (tmp_path / "echo.yaml").write_text(ECHO)
    with ExitStack() as stack:
        with example("echo.yaml", tmp_path, source=tmp_path) as behind:
            connection = stack.enter_context(
                example("websocket_proxy.yaml", tmp_path, behind=behind.port)
            )
            address = ("127.0.0.1", connection.port)
            peer, other = Peer(address), Peer(address)
            with closing(peer.socket), closing(other.socket):
                peer.upgrade(target="/ws")
                peer.text("hello")
                assert peer.frame() == (TEXT, b"hello", True, 0)
                other.upgrade(target="/ws")
                other.binary(b"\0\1")
                assert other.frame() == (BINARY, b"\0\1", True, 0)
                other.end_with(1000)
                assert other.frame().code == 1000
                peer.text("again")
                assert peer.frame().payload == b"again"
        # The server behind is not asked for a client that wants no WebSocket.
        assert ask(connection, "GET", "/ws")[0] == 426


@pytest.mark.parametrize("name", sorted(TESTED))
def test_examples_can_be_applied(name: str, tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path}/a.db"
    done = programs.run(("apply", "-f", str(EXAMPLES / name), "--database", database))
    assert done.returncode == 0, done.stderr
