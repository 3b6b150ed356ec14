"""Nodes that go through a large payload: how long each holds everybody else.

As in stretches.py: one at a time, as large as a listener allows, while another client asks for a
ping every few milliseconds. Here are kinds that copy, compare, write, read, sort or hand on what
they are given, each behind a path of its own, and ends with a short answer where the answer is not
what is measured.
"""

from __future__ import annotations

import gzip
import json
import random
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from contrib.bench.stretches import FORM, JSON, LARGE, ONLY, filled, one, post, watched
from contrib.bench.stretches_flows import KEYS, MANY_NUMBERS, MANY_TEXTS, RECORDS, TEXT, numbers

Spec = dict[str, Any]

POINTS = filled(b"[12.3456,45.6789],", b"[", b"1]")
NULLS = b"[" + b"null," * 999_000 + b"1]"
INTEGERS = json.dumps([2**60 + number for number in range(350_000)]).encode()
GZIP_BACK = "\r\nAccept-Encoding: gzip"
ROWS = json.dumps([[number, "some text", 1.5] for number in range(250_000)]).encode()
BODY: Spec = {"kind": "snippet", "language": "cel", "code": "self.body"}
JAVASCRIPT: Spec = {
    "kind": "snippet",
    "language": "javascript",
    "timeout": "20s",
    "code": "export default ({body}) => ({body})",
}
END: Spec = {"kind": "snippet", "language": "text", "code": "pong"}


def shuffled() -> bytes:
    names = [f"{number:08}" for number in range(LARGE // 14)]
    random.Random(1).shuffle(names)
    return json.dumps(dict.fromkeys(names, 1), separators=(",", ":")).encode()


def cel(code: str) -> Spec:
    return {"kind": "snippet", "language": "cel", "code": code}


def to(name: str) -> Spec:
    return {"out": {"name": name}}


#: Name, chain of specs, Content-Type, body. A spec with links keeps them.
INPUTS: list[tuple[str, list[Spec], str, bytes]] = [
    ("throw a map", [cel("{'a': self.body}"), {"kind": "throw"}], JSON, RECORDS),
    ("throw nulls", [BODY, {"kind": "throw"}], JSON, NULLS),
    ("throw many", [BODY, {"kind": "throw"}], JSON, MANY_NUMBERS),
    ("cache keys", [BODY, {"kind": "cache"}, END], JSON, shuffled()),
    ("cache key", [{"kind": "cache", "key": "self.body"}, END], JSON, RECORDS),
    ("write records", [BODY, {"kind": "write", "filename": "/dev/null"}, END], JSON, RECORDS),
    ("write keys", [BODY, {"kind": "write", "filename": "/dev/null"}, END], JSON, KEYS),
    ("print", [cel("['%v', self.body]"), {"kind": "print"}, END], JSON, KEYS),
    *(
        (f"format {form}", [BODY, {"kind": "format", "format": form}, END], JSON, body)
        for form, body in (
            ("csv", RECORDS),
            ("ndjson", RECORDS),
            ("json", RECORDS),
            ("yaml", json.dumps([{"a": 1, "b": "c"}] * 20_000).encode()),
        )
    ),
    ("format csv of keys", [BODY, {"kind": "format", "format": "csv"}, END], JSON, b"[%b]" % KEYS),
    (
        "format xml",
        [cel("{'a': {'b': self.body}}"), {"kind": "format", "format": "xml"}, END],
        JSON,
        RECORDS,
    ),
    *(
        (f"parse {form}", [BODY, {"kind": "parse", "format": form}, END], TEXT, body)
        for form, body in (
            ("json", RECORDS),
            ("csv", filled(b"12345;some name;12,50\n", b"id;name;price\n")),
            ("ndjson", filled(b'{"id":123,"name":"a"}\n')),
            ("xml", filled(b'<order id="1"><name>some</name></order>', b"<a>", b"</a>")),
        )
    ),
    ("split", [BODY, {"kind": "split"}], JSON, RECORDS),
    ("loop over keys", [BODY, {"kind": "loop", "links": to("nop")}], JSON, KEYS),
    ("loop to records", [BODY, {"kind": "loop", "links": to("same")}], JSON, RECORDS),
    ("fork", [BODY, {"kind": "fork", "links": to("nop")}, END], JSON, RECORDS),
    ("commit", [BODY, {"kind": "trigger", "topic": "large"}, END], JSON, RECORDS),
    ("commit keys", [BODY, {"kind": "trigger", "topic": "large"}, END], JSON, KEYS),
    *(
        (
            f"python {isolation} {call}",
            [BODY, {"kind": "python", "call": f"handed:{call}", "isolation": isolation, **more}],
            JSON,
            body,
        )
        for isolation, call, more, body in (
            ("greenlet", "whole", {}, RECORDS),
            ("greenlet", "hinted", {}, numbers(1_000_000)),
            ("greenlet", "rows", {}, ROWS),
            ("greenlet", "each", {}, numbers(1_000)),
            ("greenlet", "said", {}, numbers(1)),
            ("thread", "whole", {}, RECORDS),
            ("process", "whole", {"serialize": "json"}, RECORDS),
            ("process", "keys", {}, KEYS),
            ("process", "points", {}, POINTS),
            ("process", "failing", {}, RECORDS),
        )
    ),
    *(
        (f"cel {code}", [cel(code)], JSON, body)
        for code, body in (
            ("self.body == self.body", RECORDS),
            ("self.body.map(x, x) == self.body", MANY_NUMBERS),
            ("[self.body, self.body] == [self.body, self.body]", RECORDS),
            ("self.body + self.body", numbers(490_000)),
            ("self.body.flatten()", POINTS),
            ("self.body.slice(0, 400000)", MANY_TEXTS),
            ("self.body.exists(x, x == 'a')", MANY_TEXTS),
            ("size(string(self.body))", KEYS),
            ("'%s'.format([self.body])", KEYS),
            ("self.body in [self.body]", RECORDS),
            ("self.body.distinct()", POINTS),
            ("self.body.reverse()", MANY_TEXTS),
        )
    ),
    (
        "sql records",
        [
            cel("['select ?', [self.body]]"),
            {"kind": "sql", "source": "sqlite://:memory:"},
            END,
        ],
        JSON,
        RECORDS,
    ),
    (
        "sql many runs",
        [
            cel("['insert into runs values (:a)', self.body]"),
            {"kind": "sql", "source": "sqlite:///FOLDER/runs.db"},
            END,
        ],
        JSON,
        json.dumps([{"a": "x" * 60}] * 100_000).encode(),
    ),
    ("loop over errors", [BODY, {"kind": "loop", "links": to("thrown")}], JSON, numbers(100_000)),
    ("split of errors", [BODY, {"kind": "fork", "links": to("thrown")}, END], JSON, RECORDS),
    (
        "http",
        [cel("{'body': self.body}"), {"kind": "http", "url": "http://127.0.0.1:PORT/back"}],
        JSON,
        RECORDS,
    ),
    ("back", [cel("{'body': self.body}")], JSON, RECORDS),
    ("back keys", [cel("{'body': self.body}")], JSON, KEYS),
    ("back points", [cel("{'body': self.body}")], JSON, POINTS),
    ("back text", [cel("{'body': self.body}")], TEXT, filled(b"a")),
    (
        "back multipart",
        [cel("{'body': self.body, 'header': {'Content-Type': 'multipart/form-data'}}")],
        JSON,
        json.dumps({"values": {f"{n}": ["a"] for n in range(50_000)}}).encode(),
    ),
    (
        "back form",
        [cel("{'body': self.body, 'header': {'Content-Type': '" + FORM + "'}}")],
        JSON,
        KEYS,
    ),
    ("wsgi", [{"kind": "wsgi", "app": "handed:app"}], JSON, RECORDS),
    ("assert", [cel("[self.body, -1]"), {"kind": "assert", "expect": "self != []"}], JSON, RECORDS),
    ("if", [BODY, {"kind": "if", "when": "self == self"}], JSON, RECORDS),
    ("javascript keys", [JAVASCRIPT], JSON, KEYS),
    ("javascript points", [JAVASCRIPT], JSON, POINTS),
    ("javascript integers", [JAVASCRIPT], JSON, INTEGERS),
    ("gzip back", [cel("{'body': self.body}")], JSON + GZIP_BACK, RECORDS),
    ("gzip text back", [cel("{'body': self.body}")], TEXT + GZIP_BACK, filled(b"abcdefg \n")),
    ("gzip in", [END], JSON + "\r\nContent-Encoding: gzip", gzip.compress(RECORDS, 1)),
]

FUNCTIONS = """
def whole(body):
    return body

keys = points = whole

def hinted(body: list[int]):
    return len(body)

def rows(body: list[tuple[int, str, float]]):
    return len(body)

def each(body):
    yield from range(200_000)

def said(body):
    for number in range(65536):
        print(number)

def failing(body):
    raise ValueError(body)

def app(environ, start_response):
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "application/json")])
    return [body[at:at + 100] for at in range(0, len(body), 100)]
"""


def workflow(folder: str) -> str:
    """What `ping` runs: the port is put in by `str.format`."""
    routes: list[Spec] = [
        {"method": "GET", "path": "/ping", "port": "out[0]"},
        {"method": "POST", "path": "/back", "port": "out[1]"},
    ]
    links: Spec = {"out[0]": {"name": "pong"}, "out[1]": {"name": "same body"}}
    specs: list[Spec] = [
        {"kind": "listener", "port": "PORT", "links": to("router")},
        {**END, "name": "pong"},
        {**cel("{'body': self.body}"), "name": "same body"},
        {**cel("self"), "name": "same"},
        {"kind": "nop", "name": "nop"},
        {"kind": "throw", "name": "thrown"},
        {"kind": "trigger", "name": "heard", "topic": "large", "links": to("nop")},
    ]
    for i, (name, chain, _, _) in enumerate(INPUTS, 2):
        routes.append({"method": "POST", "path": f"/{i}", "port": f"out[{i}]"})
        links[f"out[{i}]"] = {"name": f"{i} {name}"}
        for place, spec in enumerate(chain):
            following = {"out": {"name": f"{i} {name}{place + 1}"}}
            more = following if place + 1 < len(chain) else {}
            named = {**spec, "name": f"{i} {name}{place or ''}"}
            specs.append({**named, "links": {**more, **spec.get("links", {})}})
    specs.append({"kind": "router", "name": "router", "routes": routes, "links": links})
    text = json.dumps(specs).replace("{", "{{").replace("}", "}}").replace("FOLDER", folder)
    return text.replace('"PORT"', "{port}").replace("PORT", "{port}")


def measure(folder: Path) -> dict[str, Any]:
    (folder / "handed.py").write_text(FUNCTIONS)
    with closing(sqlite3.connect(folder / "runs.db")) as database:
        database.execute("create table runs (text)")
    options = ("--log-level", "error", "--http-allow", "loopback")
    with watched(folder, *options, text=workflow(str(folder))) as (process, port, _, longest):
        for i in range(2, len(INPUTS) + 2):
            post(port, f"/{i}", JSON, b"[[1]]")  # what is imported or started at the first time
        return {
            name: one(longest, process.pid, port, f"/{i}", kind, body)
            for i, (name, _, kind, body) in enumerate(INPUTS, 2)
            if ONLY in name
        }
