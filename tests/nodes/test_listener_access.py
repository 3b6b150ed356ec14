"""What a listener tells the access log: every answer, those of the server itself, too."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gevent import socket

from greenflow import Runtime, Settings
from greenflow.config import LogSettings
from greenflow.nodes.listener import Listener
from tests.waiting import DEADLINE, until

ROUTES = [{"method": "GET", "path": "/users/:id", "port": "out[0]"}]


@contextmanager
def serving(path: Path, code: str = "self.path", **fields: Any) -> Iterator[int]:
    """The port of a listener that has its lines in that file."""
    specs = [
        {"kind": "listener", "name": "web", "port": 0, "links": {"out": [{"name": "r"}]}, **fields},
        {"kind": "router", "name": "r", "routes": ROUTES, "links": {"out[0]": [{"name": "s"}]}},
        {"kind": "snippet", "name": "s", "language": "cel", "code": code},
    ]
    settings = Settings(log=LogSettings(access=str(path)))
    with Runtime(specs=specs, settings=settings, own_thread=False) as runtime:
        listener = runtime.table.find("web").version.node
        assert isinstance(listener, Listener)
        yield int(listener.address.rpartition(":")[2])


def ask(port: int, head: str) -> bytes:
    with socket.create_connection(("127.0.0.1", port), DEADLINE) as client:
        client.sendall(head.replace("\n", "\r\n").encode() + b"\r\n")
        answer = b""
        while piece := client.recv(65536):
            answer += piece
        return answer


def entries(path: Path, count: int) -> list[dict[str, Any]]:
    until(lambda: len(path.read_text().splitlines()) >= count)
    return [json.loads(line) for line in path.read_text().splitlines()]


CLOSE = "HTTP/1.1\nHost: a\nConnection: close\n"


def test_each_answer_has_a_line(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    with serving(path, request_id=True) as port:
        ask(port, f"GET /users/7?token=canary {CLOSE}")
        ask(port, f"HEAD /users/7 {CLOSE}")
        ask(port, f"DELETE /users/7 {CLOSE}")
        ask(port, "NONSENSE\n")
        ask(port, f"GET /{'x' * 100_000} {CLOSE}")
        found = entries(path, 5)
    assert "canary" not in path.read_text()
    first = found[0]
    assert {key: first[key] for key in ("client", "method", "path", "status", "bytes")} == {
        "client": "127.0.0.1",
        "method": "GET",
        "path": "/users/7?token=***",
        "status": 200,
        "bytes": len('"/users/7"') - 2,
    }
    assert first["route"] == "/users/:id"
    assert first["listener"] == "web"
    assert len(first["request_id"]) == 32
    assert 0 < first["seconds"] < DEADLINE
    assert [(each.get("method"), each["status"]) for each in found[1:]] == [
        ("HEAD", 200),
        ("DELETE", 405),
        (None, 400),
        (None, 414),
    ]
    assert found[1]["bytes"] == 0
    assert len({each["request_id"] for each in found}) == 5  # those of the server itself, too
    assert "route" not in found[2]


def test_the_client_is_who_believed_proxies_say(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    said = "X-Forwarded-For: 198.51.100.1, 203.0.113.7, 127.0.0.9\n"
    with serving(path, proxies=["127.0.0.0/8"]) as port:
        ask(port, f"GET /users/7 {CLOSE}{said}")
        assert entries(path, 1)[0]["client"] == "203.0.113.7"
    with serving(path) as port:
        ask(port, f"GET /users/7 {CLOSE}{said}")
        assert entries(path, 2)[1]["client"] == "127.0.0.1"


def test_the_bytes_of_a_stream_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    specs = [
        {
            "kind": "listener",
            "name": "web",
            "port": 0,
            "stream": True,
            "links": {"out": [{"name": "echo"}]},
        },
        {"kind": "snippet", "name": "echo", "language": "cel", "code": "{'body': self.body}"},
    ]
    settings = Settings(log=LogSettings(access=str(path), access_format="combined"))
    with Runtime(specs=specs, settings=settings, own_thread=False) as runtime:
        listener = runtime.table.find("web").version.node
        assert isinstance(listener, Listener)
        port = int(listener.address.rpartition(":")[2])
        fields = "Content-Type: text/plain\nContent-Length: 5\n"
        with socket.create_connection(("127.0.0.1", port), DEADLINE) as client:
            head = f"POST / {CLOSE}{fields}".replace("\n", "\r\n").encode()
            client.sendall(head + b"\r\nhello")
            while client.recv(65536):
                pass
        until(lambda: path.read_text().count("\n") == 1)
    assert '"POST / HTTP/1.1" 200 5 "-" "-"' in path.read_text()
