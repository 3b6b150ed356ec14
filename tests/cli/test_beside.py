"""`greenflow test` beside a service on the same files: nothing is written, nobody is asked; and
what it allows is done."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.cli.conftest import Command, Start, get

# A schedule that is due each hour of the year that the clock jumps, a watch, and a node of each
# sort that changes something outside.
SHOP = """\
- {kind: listener, name: web, port: 0, links: {out: {name: pong}}}
- {kind: snippet, name: pong, code: pong}
- {kind: schedule, name: hourly, interval: 1h, links: {out: {name: all}}}
- {kind: watch, name: inbox, path: in, links: {out: {name: all}}}
- {kind: sleep, name: year, interval: 8784h}
- kind: try
  name: all
  links:
    out: [{name: log}, {name: rates}, {name: sql}, {name: old}]
    error: {name: fine}
- {kind: nop, name: fine}
- {kind: write, name: log, filename: log.txt, append: true}
- {kind: http, name: rates, url: "http://127.0.0.1:PORT/"}
- {kind: snippet, name: sql, code: "CREATE TABLE IF NOT EXISTS t (i)", links: {out: {name: db}}}
- {kind: sql, name: db, driver: sqlite, source: shop.db}
- {kind: python, name: old, call: "old:touch"}

- {kind: test, name: all by a node, links: {out: {name: hi}}}
- {kind: snippet, name: hi, code: hi, links: {out: {name: all}}}
"""

CASES = """\
specs: shop.yaml
clock: jump
cases:
  - name: a year passes
    steps:
      - {call: year, payload: x, answer: x}
      - {request: {path: /}, response: {body: pong}}
    passed: {hourly: {out: []}, inbox: {out: []}, all: {in: []}}
  - {name: all by a case, call: all, payload: hi}
  - {name: all by an event, call: hourly, payload: hi}
"""

MODULE = """\
import pathlib


def touch(payload):
    pathlib.Path("touched.txt").write_text(payload)
"""

REACHES = {"log": "write", "rates": "http", "db": "sql", "old": "python"}


class Upstream(HTTPServer):
    """A server that says how often it was asked."""

    asked = 0


class Answer(BaseHTTPRequestHandler):
    """Any request is answered 204."""

    server: Upstream

    def do_POST(self) -> None:
        self.server.asked += 1
        self.send_response(204)
        self.end_headers()

    do_GET = do_POST

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: it is counted."""


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[Upstream]:
    """The server, and the files of the shop, which name it."""
    with Upstream(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        (tmp_path / "shop.yaml").write_text(SHOP.replace("PORT", str(server.server_port)))
        (tmp_path / "shop.flow.yaml").write_text(CASES)
        (tmp_path / "old.py").write_text(MODULE)
        (tmp_path / "in").mkdir()
        yield server
        server.shutdown()
        thread.join()


def files(folder: Path) -> dict[str, bytes]:
    """What lies there, less what Python keeps of modules."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


ALL = ("test", "-f", "shop.yaml", "-f", "shop.flow.yaml", "-o", "json")


def test_a_year_beside_a_service(
    greenflow: Command, start: Start, tmp_path: Path, upstream: Upstream
) -> None:
    service = start("run", "shop.yaml")
    listening = service.port()
    service.line("running")
    before = files(tmp_path)

    done = greenflow(*ALL)
    assert done.code == 3
    reasons = {one["name"]: one["reason"] for one in done.data}
    assert reasons.pop("a year passes") is None
    assert len(reasons) == 3
    for reason in reasons.values():
        for node, kind in REACHES.items():
            assert f"{kind} node '{node}' reaches outside" in reason
            assert f"`allow: {node}` (`greenflow test --allow {node}`)" in reason

    assert files(tmp_path) == before
    assert upstream.asked == 0
    assert get(listening) == (200, "pong")
    assert service.stop() == 0


def test_what_is_allowed_is_done(greenflow: Command, tmp_path: Path, upstream: Upstream) -> None:
    before = files(tmp_path).keys()
    done = greenflow(*ALL, *(f"--allow={node}" for node in REACHES))
    assert (done.code, [one["reason"] for one in done.data]) == (0, [None] * 4)
    assert files(tmp_path).keys() - before == {"log.txt", "shop.db", "touched.txt"}
    assert (tmp_path / "log.txt").read_text() == "hi" * 3
    assert upstream.asked == 3


def test_a_test_node_allows_for_itself_alone(
    greenflow: Command, tmp_path: Path, upstream: Upstream
) -> None:
    """Also in a store."""
    names = ", ".join(REACHES)
    (tmp_path / "shop.yaml").write_text(
        (tmp_path / "shop.yaml")
        .read_text()
        .replace("name: all by a node,", f"name: all by a node, allow: [{names}],")
        + "- {kind: test, name: other, allow: log, links: {out: {name: hi}}}\n"
    )
    assert greenflow("apply", "-f", "shop.yaml").code == 0
    done = greenflow("test", "-o", "json", PYTHONPATH=str(tmp_path))
    reasons = {one["name"]: one["reason"] for one in done.data}
    assert reasons["all by a node"] is None
    assert "http node 'rates' reaches outside" in reasons["other"]
    assert "'log'" not in reasons["other"]
    assert upstream.asked == 1
