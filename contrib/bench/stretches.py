"""Work that takes long: how long each holds everybody else, and what memory it takes.

Lives here: bodies that are hard to read, and what snippets, functions and nodes make of large ones.
Each is sent by itself, as large as a listener allows, while another client asks for a ping every
few milliseconds. What is told is the longest stretch of the hub's processor time in which it let
nobody else in, and where that was; the longest collection of garbage; the ping's time, which is
more on a machine that is busy; the processor time of the body, and the peak of the resident memory
against the size of the body.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from contrib.bench.tools import cpu_seconds, peak_kib, ping, reset_peak
from contrib.bench.watched import LONG, Longest

LARGE = 8 * 1024 * 1024 - 1024  # below the default limit of a body
ONLY = os.environ.get("GREENFLOW_STRETCHES", "")  # a part of the names of those that are wanted
BETWEEN_PINGS = 0.005  # seconds
PINGED_BEFORE = 0.1  # seconds before the body is sent
LOG = "log"  # of the server, in the folder

WORKFLOW = """
- {{kind: listener, name: http, port: {port}, links: {{out: {{name: router}}}}}}
- kind: router
  name: router
  routes:
    - {{method: GET, path: /ping, port: "out[0]"}}
    - {{method: POST, path: /ping, port: "out[0]"}}
    - {{method: POST, path: /form, port: "out[1]"}}
    - {{method: POST, path: /js/in, port: "out[2]"}}
    - {{method: POST, path: /js/back, port: "out[3]"}}
    - {{method: POST, path: /js/text, port: "out[4]"}}
    - {{method: POST, path: /js/lines, port: "out[5]"}}
    - {{method: POST, path: /js/error, port: "out[6]"}}
    - {{method: POST, path: /python/back, port: "out[7]"}}
    - {{method: POST, path: /python/error, port: "out[8]"}}
    - {{method: POST, path: /worker/back, port: "out[9]"}}
    - {{method: POST, path: /worker/error, port: "out[10]"}}
    - {{method: POST, path: /worker/print, port: "out[11]"}}
    - {{method: POST, path: /sql, port: "out[12]"}}
    - {{method: POST, path: /event, port: "out[13]"}}
    - {{method: POST, path: /throw, port: "out[14]"}}
    - {{method: POST, path: /csv, port: "out[0]", parse: csv}}
    - {{method: POST, path: /xml, port: "out[0]", parse: xml}}
    - {{method: POST, path: /yaml, port: "out[0]", parse: yaml}}
  links:
    "out[0]": {{name: pong}}
    "out[1]": {{name: form}}
    "out[2]": {{name: js_in}}
    "out[3]": {{name: js_back}}
    "out[4]": {{name: js_text}}
    "out[5]": {{name: js_lines}}
    "out[6]": {{name: js_error}}
    "out[7]": {{name: python_back}}
    "out[8]": {{name: python_error}}
    "out[9]": {{name: worker_back}}
    "out[10]": {{name: worker_error}}
    "out[11]": {{name: worker_print}}
    "out[12]": {{name: statement}}
    "out[13]": {{name: event}}
    "out[14]": {{name: throw}}
- kind: snippet
  name: js_in
  language: javascript
  timeout: 20s
  code: 'export default () => "read"'
- kind: snippet
  name: js_back
  language: javascript
  timeout: 20s
  code: 'export default ({{body}}) => ({{body}})'
- kind: snippet
  name: js_text
  language: javascript
  timeout: 20s
  code: 'export default ({{body}}) => ({{body: "x".repeat(body)}})'
- kind: snippet
  name: js_lines
  language: javascript
  timeout: 20s
  code: 'export default () => {{ for (let i = 0; i < 65536; i++) console.log(i); return "said"; }}'
- kind: snippet
  name: js_error
  language: javascript
  timeout: 20s
  code: 'export default ({{body}}) => {{ throw new Error("x=".repeat(body / 2)); }}'
- {{kind: python, name: python_back, call: "stretched:back"}}
- {{kind: python, name: python_error, call: "stretched:error"}}
- {{kind: python, name: worker_back, call: "stretched:back", isolation: process}}
- {{kind: python, name: worker_error, call: "stretched:error", isolation: process}}
- {{kind: python, name: worker_print, call: "stretched:lines", isolation: process}}
- kind: snippet
  name: statement
  language: cel
  code: '"SELECT " + self.body'
  links: {{out: {{name: database}}}}
- {{kind: sql, name: database, driver: sqlite, source: ":memory:"}}
- {{kind: snippet, name: event, language: cel, code: self.body, links: {{out: {{name: publish}}}}}}
- {{kind: trigger, name: publish, topic: large, when: now}}
- {{kind: trigger, name: heard, topic: large, links: {{out: {{name: pong}}}}}}
- {{kind: snippet, name: throw, language: cel, code: self.body, links: {{out: {{name: thrown}}}}}}
- {{kind: throw, name: thrown}}
- {{kind: snippet, name: pong, language: text, code: pong}}
- kind: snippet
  name: form
  language: cel
  code: '{{"body": self.body, "header": {{"Content-Type": "application/x-www-form-urlencoded"}}}}'
"""

FUNCTIONS = """
def back(request):
    return {"body": request["body"]}

def error(request):
    raise ValueError("x=" * (request["body"] // 2))

def lines(request):
    for number in range(65536):
        print(number)
    return "said"
"""

JSON = "application/json"
TEXT = "text/plain"
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=b"


def filled(unit: bytes, begin: bytes = b"", end: bytes = b"") -> bytes:
    """So many of a unit as there is room for."""
    return begin + unit * ((LARGE - len(begin) - len(end)) // len(unit)) + end


def parts(disposition: bytes, *, header: bytes = b"", count: int = 990) -> bytes:
    part = b"--b\r\nContent-Disposition: form-data; " + disposition + header + b"\r\n\r\n\r\n"
    return part * min(count, LARGE // len(part)) + b"--b--\r\n"


def bodies() -> dict[str, tuple[str, str, bytes]]:
    """Path, Content-Type and body of each."""
    keys = b",".join(b'"%08d":1' % number for number in range(LARGE // 14))
    record = b'{"id":12345,"name":"some name","tags":["a","b"],"price":12.5,"ok":true},'
    found = {
        "json: slow numbers": (JSON, filled(b"2.2250738585072011e-308,", b"[", b"1]")),
        "json: empty lists": (JSON, filled(b"[],", b"[", b"1]")),
        "json: points": (JSON, filled(b"[12.345678,45.678901],", b"[", b"1]")),
        "json: distinct keys": (JSON, b"{" + keys + b"}"),
        "json: records": (JSON, filled(record, b"[", b"1]")),
        "json: small ints": (JSON, filled(b"1,", b"[", b"1]")),
        "json: long ints": (JSON, filled(b"12345678901234567890123,", b"[", b"1]")),
        "json: one text": (JSON, filled(b"a", b'"', b'"')),
        "json: escapes": (JSON, filled(b"\\u00e4", b'"', b'"')),
        "json: deep": (JSON, filled(b"[")),
        "json: texts": (JSON, filled(b'"ab",', b"[", b"1]")),
        "form: %41": (FORM, filled(b"%41", b"a=")),
        "form: a%41": (FORM, filled(b"a%41", b"a=")),
        "form: %": (FORM, filled(b"%", b"a=")),
        "form: no UTF-8": (FORM, filled(b"\xff", b"a=")),
        "form: many fields": (FORM, filled(b"a=b&")),
        "multipart: escaped quotes": (MULTIPART, parts(b'name="' + b'\\"' * 3900 + b'"')),
        "multipart: parameters": (MULTIPART, parts(b'name="a"' + b";a=b" * 1900)),
        "multipart: semicolons": (
            MULTIPART,
            parts(b'name="a"', header=b"\r\nContent-Type: text/plain" + b";" * 7900),
        ),
        "multipart: padded": (MULTIPART, filled(b"\r\n--b \t")),
        "multipart: line ends": (
            MULTIPART,
            filled(b"\r\n--", b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n'),
        ),
        "text: gb18030": ("text/plain; charset=gb18030", filled(b"a\x81\x30\x81\x30")),
        "text: utf-16": ("text/plain; charset=utf-16", filled(b"\x41\x20")),
        "text: utf-8": ("text/plain", filled("€".encode())),
    }
    told = {name: ("/ping", kind, body) for name, (kind, body) in found.items()}
    told |= tables_and_documents()
    told["form back: NUL"] = "/form", FORM, filled(b"\0", b"a=")
    told["form back: a NUL"] = "/form", FORM, filled(b"a\0", b"a=")
    for name in ("small ints", "records", "one text"):
        body = found[f"json: {name}"][1]
        for path in ("/js/in", "/js/back", "/python/back", "/worker/back", "/event"):
            told[f"{path[1:]}: {name}"] = path, JSON, body
    for path in ("/js/error", "/python/error", "/worker/error"):
        told[f"{path[1:]}: 8 MB"] = path, JSON, b"8000000"
    told["js/text: 16 MB"] = "/js/text", JSON, b"16000000"
    told["js/text: 40 MB"] = "/js/text", JSON, b"40000000"
    told["js/lines"] = "/js/lines", JSON, b"1"
    told["worker/print"] = "/worker/print", JSON, b"1"
    for path in ("/sql", "/throw"):
        told[f"{path[1:]}: one text"] = path, TEXT, filled(b"a=b ")
    return told


def tables_and_documents() -> dict[str, tuple[str, str, bytes]]:
    """What a route reads: some is refused, after as much work as it can make."""
    plain = "application/octet-stream"
    return {
        "ndjson: records": ("/ping", "application/x-ndjson", filled(b'{"id":123,"name":"a"}\n')),
        "ndjson: numbers": ("/ping", "application/x-ndjson", filled(b"1.5\n")),
        "multipart: base64": (
            *("/ping", MULTIPART),
            filled(b"QUJD", b'--b\r\nContent-Disposition: form-data; name="a"\r\n' + BASE64, END),
        ),
        "csv: orders": ("/csv", plain, filled(b'12345;some name;12,50;"a; b"\r\n', HEADER)),
        "csv: short rows": ("/csv", plain, filled(b"a\n")),
        "csv: empty cells": ("/csv", plain, filled(b"," * 16_000 + b"\n")),
        "csv: long lines": ("/csv", plain, filled(b"a," * 8_000 + b"\n")),
        "csv: one line": ("/csv", plain, filled(b"a")),
        "csv: quoted line breaks": ("/csv", plain, filled(b'"\n\n\n\n\n\n\n\n"\n')),
        "xml: orders": (
            *("/xml", "text/xml"),
            filled(b'<order id="1"><name>some name</name><price>12.50</price></order>', b"<a>"),
        ),
        "xml: empty elements": ("/xml", plain, filled(b"<a/>", b"<a>")),
        "xml: one text": ("/xml", plain, filled(b"a", b"<a>", b"</a>")),
        "xml: entities": ("/xml", plain, filled(b"&lt;", b"<a>", b"</a>")),
        "xml: long attributes": (
            "/xml",
            plain,
            filled(b'<a b="' + b"x" * 1_000_000 + b'"/>', b"<a>"),
        ),
        "xml: attributes": ("/xml", plain, filled(b'<a b="1"/>', b"<a>")),
        "xml: blanks in a tag": ("/xml", plain, filled(b" ", b"<a ")),
        "yaml: a list": ("/yaml", plain, b"- some text\n" * 20_000),
    }


HEADER = b"id;name;price;note\r\n"
END = b"\r\n--b--\r\n"
BASE64 = b"Content-Transfer-Encoding: base64\r\n\r\n"


def measure(folder: Path) -> dict[str, Any]:
    (folder / "stretched.py").write_text(FUNCTIONS)
    with watched(folder, text=WORKFLOW) as (process, port, _, longest):
        for path in sorted({path for path, _, _ in bodies().values()}):
            post(port, path, JSON, b"1")  # what is imported or started at the first time
        return {
            name: one(longest, process.pid, port, *body)
            for name, body in bodies().items()
            if ONLY in name
        }


@contextmanager
def watched(folder: Path, *options: str, **text: str) -> Iterator[tuple[Any, int, Path, Longest]]:
    """What `ping` gives, and the longest stretch of its hub. Its log is in the folder: a pipe that
    nobody reads would be full."""
    shared = folder / "longest"
    longest = Longest(shared, create=True)
    program = ("contrib.bench.watched", str(shared))
    with (
        (folder / LOG).open("wb") as log,
        ping(folder, *options, program=program, log=log.fileno(), **text) as (process, port, file),
    ):
        yield process, port, file, longest


def one(longest: Longest, pid: int, port: int, path: str, kind: str, body: bytes) -> dict[str, Any]:
    """Send it, while the pings go on."""
    before, spent = reset_peak(pid), cpu_seconds(pid)
    with Pings(port) as pings:
        sleep(PINGED_BEFORE)
        longest.forget()
        status = post(port, path, kind, body)
    times = sorted(pings.seconds)
    return {
        "status": status,
        "stretch_ms": round(1000 * longest.seconds, 1),
        "where": longest.where if longest.seconds > LONG else "",
        "collection_ms": round(1000 * longest.collection, 1),
        "ping_p99_ms": round(1000 * times[len(times) * 99 // 100], 1),
        "ping_most_ms": round(1000 * times[-1], 1),
        "cpu_s": round(cpu_seconds(pid) - spent, 2),
        "peak_of_body": round((peak_kib(pid) - before) * 1024 / max(len(body), LARGE), 1),
    }


def post(port: int, path: str, kind: str, body: bytes) -> str:
    """The status line."""
    with socket.create_connection(("127.0.0.1", port), timeout=120) as client:
        head = f"POST {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n"
        head += f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        client.sendall(head.encode() + body)
        answer = client.recv(1 << 16)
        while client.recv(1 << 20):
            pass
    return answer.partition(b"\r\n")[0].decode()


class Pings:
    """A client that asks again and again, in a thread, until it is left."""

    def __init__(self, port: int) -> None:
        self.seconds: list[float] = []
        self.answer = b""  # the last one
        self._port, self._ended = port, threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Pings:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        with socket.create_connection(("127.0.0.1", self._port), timeout=60) as client:
            while not self._ended.wait(BETWEEN_PINGS):
                begin = monotonic()
                client.sendall(b"GET /ping HTTP/1.1\r\nHost: bench\r\n\r\n")
                self.answer = client.recv(4096)
                self.seconds.append(monotonic() - begin)
