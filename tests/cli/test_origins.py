"""Where a failure arose, read from the log of a real service: more than forty ways to fail.

Each way is a path of one listener. The line of the log names the node that failed, not the
listener, with its way through blocks, where its spec stands in the file, and the request. What
begins without a request (a schedule, an event, a file) names its source.
"""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path
from typing import Any, NamedTuple

from tests.cli.conftest import Running, Start, get
from tests.ports import free_port

SHOP = """
import os
import time


def fails(payload):
    raise KeyError("no stock")


def dies(payload):
    os._exit(3)


def sleeps(payload):
    time.sleep(60)


def counts(number: int):
    return number


class Ledger:
    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if kind is None:
            raise OSError("the ledger is full")


def commits(ctx, payload):
    ctx.enter(Ledger())
    return "booked"


def app(environ, start_response):
    raise LookupError("no page")
"""


class Way(NamedTuple):
    """Specs, the first of which is asked; which node fails then, of which kind, in which words; and
    where its spec begins, if that is not where a spec with its name does."""

    specs: tuple[str, ...]
    node: str
    kind: str
    words: str
    begins: str = ""
    code: str = ""
    port: str = "in"
    status: int = 500


def one(spec: str, words: str, **rest: Any) -> Way:
    """A way of one node."""
    return Way((spec,), named(spec), spec.partition("kind: ")[2].partition(",")[0], words, **rest)


def named(spec: str) -> str:
    """The name in a spec."""
    return re.split("[,}]", spec.partition("name: ")[2])[0]


def before(kind: str, extra: str = "", port: str = "out", words: str = "no such key") -> Way:
    """A node of a kind that leads to one that fails."""
    head = f"{{kind: {kind}, name: {kind}, {extra} links: {{'{port}': {{name: {kind}_end}}}}}}"
    tail = f"{{kind: snippet, name: {kind}_end, language: cel, code: self.nosuch}}"
    return Way((head, tail), f"{kind}_end", "snippet", words)


FAILS = "{kind: snippet, name: inner, language: cel, code: self.nosuch}"
WAYS = {
    "cel": one(
        "{kind: snippet, name: cel, language: cel, code: self.nosuch}", "no such key", code="1:5"
    ),
    "cel_type": one(
        "{kind: snippet, name: cel_type, language: cel, code: 1 + self.path}", "overload"
    ),
    "cel_budget": one(
        "{kind: snippet, name: cel_budget, language: cel, code: "
        "'[0,1,2,3,4,5,6,7,8,9].map(a, [0,1,2,3,4,5,6,7,8,9].map(b, [0,1,2,3,4,5,6,7,8,9].map(c, "
        "[0,1,2,3,4,5,6,7,8,9].map(d, [0,1,2,3,4,5,6,7,8,9].map(e, [0,1,2,3,4,5,6,7,8,9].map(f, "
        "[0,1,2,3,4,5,6,7,8,9].map(g, self.path)))))))'}",
        "SnippetFailed",
    ),
    "js": one(
        "{kind: snippet, name: js, language: javascript, code: 'export default () => {"
        ' throw new Error("lost") }\'}',
        "lost",
        code="1:30",
    ),
    "js_promise": one(
        "{kind: snippet, name: js_promise, language: javascript, "
        "code: 'export default async () => { await null; null.x }'}",
        "Cannot read properties of null",
    ),
    "js_slow": one(
        "{kind: snippet, name: js_slow, language: javascript, timeout: 50ms, "
        "code: 'export default () => { for (;;); }'}",
        "SnippetFailed",
    ),
    "js_result": one(
        "{kind: snippet, name: js_result, language: javascript, code: 'export default () => 1n'}",
        "BigInt",
    ),
    "ts": one(
        "{kind: snippet, name: ts, language: typescript, "
        "code: 'export default (r: any): number => r.nosuch.x'}",
        "Cannot read properties of undefined",
    ),
    "if": one("{kind: if, name: if, when: self.nosuch == 1}", "no such key"),
    "switch": one(
        "{kind: switch, name: switch, match: [{when: self.nosuch, port: out}]}", "no such key"
    ),
    "switch_js": one(
        "{kind: switch, name: switch_js, language: javascript, "
        "match: [{when: 'export default () => nosuch', port: out}]}",
        "nosuch is not defined",
    ),
    "throw": one("{kind: throw, name: throw}", "WorkflowError"),
    "python": one("{kind: python, name: python, call: 'shop:fails'}", "no stock", code="shop.py:7"),
    "python_thread": one(
        "{kind: python, name: python_thread, call: 'shop:fails', isolation: thread}", "no stock"
    ),
    "python_process": one(
        "{kind: python, name: python_process, call: 'shop:fails', isolation: process}", "no stock"
    ),
    "python_died": one(
        "{kind: python, name: python_died, call: 'shop:dies', isolation: process}", "WorkerDied"
    ),
    "python_late": one(
        "{kind: python, name: python_late, call: 'shop:sleeps', isolation: process, timeout: 50ms}",
        "FunctionTimedOut",
    ),
    "python_type": one(
        "{kind: python, name: python_type, call: 'shop:counts'}", "invalid argument"
    ),
    "commit": one("{kind: python, name: commit, call: 'shop:commits'}", "the ledger is full"),
    "sql": Way(
        (
            "{kind: snippet, name: sql_text, language: text, code: SELECT * FROM nosuch, "
            "links: {out: {name: sql}}}",
            "{kind: sql, name: sql, driver: sqlite, source: ':memory:'}",
        ),
        "sql",
        "sql",
        "nosuch",
    ),
    "http": one("{kind: http, name: http_out, url: 'http://127.0.0.1:1/'}", "RequestFailed"),
    "read": one("{kind: read, name: read, filename: nosuch.txt}", "nosuch.txt"),
    "write": one("{kind: write, name: write, filename: nosuch/x.txt}", "nosuch/x.txt"),
    "print": one("{kind: print, name: print, filename: nosuch/x.txt}", "nosuch/x.txt"),
    "assert": one("{kind: assert, name: assert, expect: 'true'}", "invalid argument"),
    "wsgi": one("{kind: wsgi, name: wsgi, app: 'shop:app'}", "no page", code="shop.py:37"),
    "websocket": one(
        "{kind: websocket, name: websocket, url: 'ws://127.0.0.1:1/'}", "RequestFailed", port="io"
    ),
    "not_connected": one(
        "{kind: websocket, name: unopened, url: 'ws://127.0.0.1:1/'}", "NotConnected"
    ),
    "block": Way(
        (f"{{kind: block, name: block, specs: [{{kind: try}}, {FAILS}]}}",),
        "block > inner",
        "snippet",
        "no such key",
        FAILS,
    ),
    "block_2": Way(
        (f"{{kind: step, name: block_2, specs: [{{kind: step, name: deep, specs: [{FAILS}]}}]}}",),
        "block_2 > deep > inner",
        "snippet",
        "no such key",
        FAILS,
    ),
    "block_3": Way(
        (
            "{kind: step, name: block_3, specs: [{kind: step, specs: [{kind: block, specs: "
            "[{kind: throw}]}]}]}",
        ),
        "block_3 > $0 > $0 > $0",
        "throw",
        "WorkflowError",
        "{kind: throw}]}]}]}",
    ),
    "beyond_block": Way(
        (
            "{kind: block, name: passing, specs: [{kind: try}], links: {out: {name: next}}}",
            "{kind: snippet, name: next, language: cel, code: self.nosuch}",
        ),
        "next",
        "snippet",
        "no such key",
    ),
    "call": before("call"),
    "loop": before("loop"),
    "retry": before("retry", "threshold: 1,"),
    "try": before("try"),
    "cache": before("cache"),
    "sleep": before("sleep", "interval: 0,"),
    "merge": Way(
        (
            "{kind: snippet, name: into_merge, language: cel, code: self.nosuch, "
            "links: {error: {name: merge}}}",
            "{kind: merge, name: merge}",
        ),
        "into_merge",
        "snippet",
        "no such key",
    ),
    "handler": Way(
        (
            "{kind: snippet, name: handled, language: cel, code: self.nosuch, "
            "links: {error: {name: handler}}}",
            "{kind: snippet, name: handler, language: cel, code: self.message + 1}",
        ),
        "handler",
        "snippet",
        "overload",
    ),
    "runaway": one(
        "{kind: snippet, name: runaway, language: cel, code: self, links: {out: {name: runaway}}}",
        "Runaway",
    ),
    "group": Way(
        (
            "{kind: try, name: group, links: {out: [{name: left}, {name: right}]}}",
            "{kind: snippet, name: left, language: cel, code: self.nosuch}",
            "{kind: snippet, name: right, language: cel, code: self.neither}",
        ),
        "left",
        "snippet",
        "right at specs.yaml:",
    ),
    "fork": before("fork")._replace(status=200),
    "answer": Way(
        ("{kind: snippet, name: answer, language: cel, code: '{\"status\": 150}'}",),
        "web",
        "listener",
        "150",
    ),
    "encode": Way(
        ("{kind: snippet, name: encode, language: cel, code: 0.0 / 0.0}",), "web", "listener", "nan"
    ),
}
ALONE = """\
- {kind: trigger, name: orders, topic: orders, links: {out: {name: on_order}}}
- {kind: snippet, name: on_order, language: cel, code: self.nosuch}
- {kind: schedule, name: often, interval: 1h, links: {init: {name: now}}}
- {kind: snippet, name: now, code: x, language: text, links: {out: {name: orders}}}
- {kind: watch, name: inbox, path: inbox, links: {out: {name: on_file}}}
- {kind: throw, name: on_file}
"""


def write_specs(folder: Path) -> str:
    """The service as one file; the text of it."""
    routes = ", ".join(
        f"{{method: GET, path: /{path}, port: 'out[{number}]'}}" for number, path in enumerate(WAYS)
    )
    first = {path: named(way.specs[0]) for path, way in WAYS.items()}
    links = ", ".join(
        f"'out[{number}]': {{name: {first[path]}, port: {way.port}}}"
        for number, (path, way) in enumerate(WAYS.items())
    )
    lines = [
        "- {kind: listener, name: web, port: 0, request_id: true, links: {out: {name: routes}}}",
        f"- {{kind: router, name: routes, routes: [{routes}], links: {{{links}}}}}",
        *(f"- {spec}" for way in WAYS.values() for spec in way.specs),
    ]
    text = "\n".join(lines) + "\n" + ALONE
    (folder / "specs.yaml").write_text(text)
    (folder / "shop.py").write_text(SHOP)
    (folder / "inbox").mkdir()
    return text


def place(text: str, name: str, begins: str = "") -> str:
    """Where in the file a spec stands."""
    for number, line in enumerate(text.splitlines(), 1):
        if begins and begins in line and f"name: {name.partition(' > ')[0]}," in line:
            return f"specs.yaml:{number}:{line.index(begins) + 1}"
        if (
            not begins
            and line.startswith("- {")
            and (f", name: {name}," in line or f", name: {name}}}" in line)
        ):
            return f"specs.yaml:{number}:3"
    raise AssertionError(name)


def unhandled(running: Running, part: str) -> dict[str, Any]:
    """The next line of the log about an unhandled error in which that is."""
    while True:
        record: dict[str, Any] = json.loads(running.line(part))
        if record["message"].startswith("unhandled error"):
            return record


def test_each_line_names_the_failing_node_its_place_and_the_request(
    start: Start, tmp_path: Path
) -> None:
    text = write_specs(tmp_path)
    running = start("run", "specs.yaml")
    port = running.port()
    assert len(WAYS) >= 40
    seen = set()
    for path, way in WAYS.items():
        status, _ = get(port, f"/{path}?secret=1")
        record = unhandled(running, f'"path": "/{path}"')
        assert status == way.status, path
        expected = {
            "node": way.node,
            "kind": way.kind,
            "at": place(text, way.node, way.begins),
            "method": "GET",
            "path": f"/{path}",
        }
        assert {key: record.get(key) for key in expected} == expected, record
        assert way.words in record["message"], record
        assert record.get("code", "").endswith(way.code), record
        if path != "fork":  # it goes on by itself, and nobody waits for what it comes to
            assert (record["source"], record["status"]) == ("web", str(status))
        assert len(record["request_id"]) == 32
        assert record["process"].isdecimal()
        assert "traceback" not in record
        seen.add(record["request_id"])
    assert len(seen) == len(WAYS)
    assert running.stop() == 0
    # Once each, and nothing else went wrong.
    assert sum('"/cel"' in line for line in running.log) == 1


def test_what_begins_by_itself_names_its_source(start: Start, tmp_path: Path) -> None:
    text = write_specs(tmp_path)
    running = start("run", "specs.yaml")
    running.port()
    record = unhandled(running, "on_order")
    assert (record["source"], record["at"]) == ("orders", place(text, "on_order"))
    assert "method" not in record
    (tmp_path / "inbox" / "order.json").write_text("{}")
    record = unhandled(running, "on_file")
    assert (record["source"], record["kind"]) == ("inbox", "throw")
    assert record["at"] == place(text, "on_file")
    assert running.stop() == 0


def test_a_message_names_the_node_and_the_request_that_opened_the_connection(
    start: Start, tmp_path: Path
) -> None:
    (tmp_path / "specs.yaml").write_text(
        "- {kind: listener, name: web, port: 0, links: {out: {name: chat, port: io}}}\n"
        "- {kind: gateway, name: chat, links: {out: {name: on_message}}}\n"
        "- {kind: snippet, name: on_message, language: cel, code: self.nosuch}\n"
    )
    running = start("run", "specs.yaml")
    with socket.create_connection(("127.0.0.1", running.port()), 60) as client:
        client.sendall(
            b"GET /chat HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        assert client.recv(1000).startswith(b"HTTP/1.1 101 ")
        client.sendall(b"\x81\x82\0\0\0\0hi")
        record = unhandled(running, "on_message")
    assert (record["source"], record["path"]) == ("chat", "/chat")
    assert record["at"] == "specs.yaml:3:3"


def test_at_debug_the_payload_and_the_traceback_are_told_without_secrets(
    start: Start, tmp_path: Path
) -> None:
    write_specs(tmp_path)
    running = start("run", "specs.yaml", "--log-level", "debug")
    get(running.port(), "/python?token=s3cret-of-mine")
    unhandled(running, '"/python"')
    record = json.loads(running.line("the node was given"))
    assert record["node"] == "python"
    assert "'method': <3 characters>" in record["message"]
    assert "s3cret-of-mine" not in record["message"]
    assert "shop.py" in record["traceback"]


def test_stored_specs_are_named_by_id_and_revision(
    start: Start, tmp_path: Path, greenflow: Any
) -> None:
    port = free_port()
    (tmp_path / "specs.yaml").write_text(
        f"- {{kind: listener, name: web, port: {port}, links: {{out: {{name: wrong}}}}}}\n"
        "- {kind: block, name: wrong, id: b1, specs: [{kind: snippet, name: inner, language: cel,"
        " code: self.nosuch}]}\n"
    )
    store = f"sqlite:///{tmp_path}/store.db"
    assert greenflow("apply", "-f", "specs.yaml", "--database", store).code == 0
    running = start("run", "--database", store)
    running.line("listening on")
    assert get(port, "/")[0] == 500
    record = unhandled(running, "inner")
    assert record["node"] == "wrong > inner"
    assert record["at"].startswith("b1 revision ")
    assert record["at"].endswith(" $.specs[0]")
