"""Expressions, nodes and changes that take long: how long each holds everybody else.

As in stretches.py: one at a time, as large as a listener or a snippet may be, while another client
asks for a ping every few milliseconds. Bodies go to expressions and nodes, of which each has a path
of its own. Changes are written into the file that `greenflow run` follows, with another answer to
the ping: they are over when that is answered, or when the log says that the file was refused. Which
of the two it was is told, and only the pings until then count.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from contrib.bench.stretches import (
    BETWEEN_PINGS,
    FORM,
    JSON,
    LARGE,
    LOG,
    ONLY,
    PINGED_BEFORE,
    Pings,
    filled,
    one,
    post,
    watched,
)
from contrib.bench.tools import cpu_seconds, peak_kib, reset_peak
from contrib.bench.watched import LONG, Longest

TEXT = "text/plain"
MEBIBYTE = 1 << 20
AT_REST = 0.02  # processor seconds in `LOOK` that pings and looks at the file take
LOOK = 0.5  # seconds between looks whether the server has come to rest
LOOKS = 240
MOST_SECONDS = 600  # that a change may take, where others keep the machine busy
REFUSED = b"nothing was changed", b"were not applied"  # in the log

Spec = dict[str, Any]


def numbers(count: int) -> bytes:
    return json.dumps(list(range(count)), separators=(",", ":")).encode()


def texts(count: int) -> bytes:
    return json.dumps([f"{i * 7919 % count:08}" for i in range(count)]).encode()


MANY_NUMBERS, MANY_TEXTS = numbers(1_000_000), texts(600_000)
RECORD = b'{"id":12345,"name":"some name","tags":["a","b"],"price":12.5,"ok":true},'
RECORDS = filled(RECORD, b"[", b"1]")
KEYS = b"{" + b",".join(b'"%08d":1' % number for number in range(LARGE // 14)) + b"}"
TWINS = json.dumps({"s": "é" * (LARGE // 13), "t": "é" * (LARGE // 13)}).encode()

#: Name, expression, Content-Type, body. What an expression gives is not what is measured.
EXPRESSIONS: list[tuple[str, str, str, bytes]] = [
    ("sort numbers", "self.body.sort()", JSON, numbers(45_000)),
    ("sort too many", "self.body.sort()", JSON, MANY_NUMBERS),
    ("distinct", "self.body.distinct()", JSON, MANY_TEXTS),
    ("greatest", "math.greatest(self.body)", JSON, numbers(450_000)),
    ("join", "self.body.join(',')", JSON, MANY_TEXTS),
    ("split", "self.body.split('a')", TEXT, filled(b"a")),
    ("replace", "self.body.replace('a', 'bc')", TEXT, filled(b"a")),
    ("quote", "strings.quote(self.body)", TEXT, filled(b'"')),
    ("lower", "self.body.lowerAscii()", TEXT, filled("É".encode())),
    ("duration", "duration(self.body)", TEXT, filled(b"1h")),
    ("double", "double(self.body)", TEXT, filled(b"1", b"", b"x")),
    ("zone", "timestamp(0).getHours(self.body)", TEXT, filled(b"a")),
    ("search", "self.body.matches('a[ab]{99}c')", TEXT, filled(b"ab")),
    ("extract", "regex.extractAll(self.body, 'a')", TEXT, filled(b"a")),
    ("pattern of the client", "'a'.matches(self.body)", TEXT, rb"\pL" * 660),
    (
        "patterns of the client",
        "self.body.all(p, 'a'.matches(p) || true)",
        JSON,
        json.dumps([rb"(\pL?){9}".decode() + str(i) for i in range(5_000)]).encode(),
    ),
    ("equal", "self.body.all(x, x == x)", JSON, MANY_TEXTS),
    ("twins", "lists.range(99000).all(x, self.body.s <= self.body.t)", JSON, TWINS),
    ("member", "-1 in self.body", JSON, numbers(330_000)),
    ("map", "self.body.map(x, {'a': x})", JSON, RECORDS),
    ("records", "self.body.filter(x, x.id > 5)", JSON, RECORDS),
    ("format", "'%s'.format([self.body])", JSON, RECORDS),
    ("keys", "self.body.transformMap(k, v, v)", JSON, KEYS),
    ("base64", "base64.decode(self.body)", TEXT, base64.b64encode(bytes(LARGE * 3 // 4 - 3))),
]

#: Name, specs of which the first has the name of the path, Content-Type, body.
NODES: list[tuple[str, list[Spec], str, bytes]] = [
    (
        "loop",
        [
            {"kind": "snippet", "language": "cel", "code": "self.body"},
            {"kind": "loop", "links": {"out": {"name": "nop"}}},
        ],
        JSON,
        MANY_NUMBERS,
    ),
    (
        "switch",
        [
            {
                "kind": "switch",
                "match": [{"when": f"self.body == [{i}]", "port": "out"} for i in range(200)],
            }
        ],
        JSON,
        MANY_NUMBERS,
    ),
    (
        "cache",
        [{"kind": "cache", "links": {"out": {"name": "pong"}}}],
        JSON,
        RECORDS,
    ),
    (
        "printf",
        [
            {"kind": "snippet", "language": "cel", "code": "['%v %q', self.body, 'a']"},
            {"kind": "print", "filename": "/dev/null"},
        ],
        JSON,
        RECORDS,
    ),
    (
        "printf of many",
        [
            {"kind": "snippet", "language": "cel", "code": "[self.body, 1]"},
            {"kind": "print", "filename": "/dev/null"},
        ],
        TEXT,
        filled(b"%d"),
    ),
    ("write", [{"kind": "write", "filename": "/dev/null"}], JSON, RECORDS),
    (
        "sql",
        [
            {
                "kind": "snippet",
                "language": "cel",
                "code": "['select value from json_each(?)', [self.body]]",
            },
            {"kind": "sql", "source": "sqlite://:memory:", "rows": 2_000_000},
        ],
        TEXT,
        MANY_NUMBERS,
    ),
    (
        "throw",
        [
            {"kind": "snippet", "language": "cel", "code": "self.body"},
            {"kind": "throw"},
        ],
        TEXT,
        filled(b"a"),
    ),
    ("form of many", [{"kind": "nop"}], FORM, filled(b"a=b&c=d&")),
]

#: What a file is changed to, beside the ping.
CHANGES: dict[str, Callable[[], list[Spec]]] = {
    "javascript: broken": lambda: [code("javascript", "a=(1;" * (MEBIBYTE // 6))],
    "javascript: brackets": lambda: [code("javascript", "(" * (MEBIBYTE - 1))],
    "javascript: sound": lambda: [
        code("javascript", "export default (x) => x;" + "a=1;" * (MEBIBYTE // 5))
    ],
    "typescript: generics": lambda: [code("typescript", "a<" * (MEBIBYTE // 2 - 1))],
    "typescript: sound": lambda: [
        code("typescript", "export default (x: any) => x;" + "let a:number=1;" * 60_000)
    ],
    "yaml: a list": lambda: [code("yaml", "- a\n" * (MEBIBYTE // 4))],
    "yaml: no end": lambda: [code("yaml", '"' + "a\n" * (MEBIBYTE // 2))],
    "json: broken": lambda: [code("json", "[" + "1," * (MEBIBYTE // 2) + "x]")],
    "cel: as much as may be": lambda: [code("cel", "[" + "size(self), " * 3_000 + "1]")],
    "cel: too much": lambda: [code("cel", "1+" * (MEBIBYTE // 2) + "1")],
    "500 patterns": lambda: [
        code("cel", f"self.matches('[a-z]{{{i % 900 + 1}}}{i}')", f"p{i}") for i in range(500)
    ],
    "100 patterns of Unicode": lambda: [
        code("cel", "self.matches(r'" + r"\pL?" * 400 + f"{i}')", f"p{i}") for i in range(100)
    ],
    "3,000 steps with 20 links": lambda: [
        {
            "kind": "block",
            "name": "big",
            "specs": [
                {
                    "kind": "pipe",
                    "name": f"n{i}",
                    "links": {f"out[{j}]": {"name": f"n{(i + j) % 3_000}"} for j in range(20)},
                }
                for i in range(3_000)
            ],
            "inbounds": {"in": [{"name": "n0", "port": "in"}]},
        }
    ],
    "10,000 nodes at once": lambda: [code("cel", f"self + {i}", f"n{i}") for i in range(10_000)],
    "blocks in blocks": lambda: [nested(49)],
    "too many blocks in blocks": lambda: [nested(90)],
    "20,000 routes": lambda: [
        {
            "kind": "router",
            "name": "big",
            "routes": [
                {"method": "GET", "path": f"/a{i}/:b", "port": f"out[{i}]"} for i in range(20_000)
            ],
        }
    ],
    "20,000 faults": lambda: [
        {
            "kind": "router",
            "name": "big",
            "routes": [{"method": "GETT", "path": f"/{i}"} for i in range(20_000)],
        }
    ],
    "60,000 unknown fields": lambda: [
        {"kind": "nop", "name": "big", **{f"a{i}": 1 for i in range(60_000)}}
    ],
}


def code(language: str, text: str, name: str = "big") -> Spec:
    return {"kind": "snippet", "name": name, "language": language, "code": text}


def nested(depth: int) -> Spec:
    spec: Spec = code("text", "a")
    for level in range(depth):
        spec = {"kind": "step", "name": f"level{level}", "specs": [spec]}
    return spec


def paths() -> dict[str, tuple[list[Spec], str, bytes]]:
    """The specs below each path, which are a chain, and what is sent there."""
    found = {
        name: ([code("cel", expression, name)], kind, body)
        for name, expression, kind, body in EXPRESSIONS
    }
    return found | {name: (specs, kind, body) for name, specs, kind, body in NODES}


def workflow() -> str:
    """What `ping` runs: the port is put in by `str.format`."""
    pong: Spec = {"kind": "snippet", "name": "pong", "language": "text", "code": "pong"}
    listener = {"kind": "listener", "port": "PORT", "links": {"out": {"name": "router"}}}
    routes: list[Spec] = [{"method": "GET", "path": "/ping", "port": "out[0]"}]
    links: Spec = {"out[0]": {"name": "pong"}}
    specs = [listener, pong, {"kind": "nop", "name": "nop"}]
    for i, (name, (chain, _, _)) in enumerate(paths().items(), 1):
        routes.append({"method": "POST", "path": f"/{i}", "port": f"out[{i}]"})
        links[f"out[{i}]"] = {"name": name}
        for place, spec in enumerate(chain):
            spec["name"] = f"{name}{place or ''}"
            if place + 1 < len(chain):
                spec["links"] = {"out": {"name": f"{name}{place + 1}"}}
        specs += chain
    specs.append({"kind": "router", "name": "router", "routes": routes, "links": links})
    text = json.dumps(specs).replace("{", "{{").replace("}", "}}")
    return text.replace('"PORT"', "{port}")


def measure(folder: Path) -> dict[str, Any]:
    with watched(folder, "--log-level", "error", text=workflow()) as (process, port, _, longest):
        sent = {
            name: one(longest, process.pid, port, f"/{i}", kind, body)
            for i, (name, (_, kind, body)) in enumerate(paths().items(), 1)
            if ONLY in name
        }
    with watched(folder, "--log-level", "error") as (process, port, file, longest):
        post(port, "/ping", JSON, b"1")
        followed = Followed(process.pid, port, file, folder / LOG, longest)
        changed = {
            name: followed.change(specs()) for name, specs in CHANGES.items() if ONLY in name
        }
    return {"sent": sent, "changed": changed}


class Followed:
    """A file that a server follows."""

    def __init__(self, pid: int, port: int, file: Path, log: Path, longest: Longest) -> None:
        self._pid, self._port, self._file, self._log = pid, port, file, log
        self._longest, self._before = longest, file.read_text()
        self._changes = 0

    def change(self, specs: list[Spec]) -> dict[str, Any]:
        """Write the specs behind those of the file, and wait until that is done; then undo it."""
        lines = "\n".join(f"- {json.dumps(spec)}" for spec in specs)
        memory, spent = reset_peak(self._pid), cpu_seconds(self._pid)
        with Pings(self._port) as pings:
            sleep(PINGED_BEFORE)
            self._longest.forget()
            first, begin = len(pings.seconds), monotonic()
            size, outcome = self._save(lines + "\n", pings)
            took = monotonic() - begin
            times = sorted(pings.seconds[first:])
            rest(self._pid)  # what it still does behind that
        found = {
            "outcome": outcome,
            "seconds": round(took, 2),
            "stretch_ms": round(1000 * self._longest.seconds, 1),
            "where": self._longest.where if self._longest.seconds > LONG else "",
            "collection_ms": round(1000 * self._longest.collection, 1),
            "pings": len(times),
            "ping_p99_ms": round(1000 * times[len(times) * 99 // 100], 1),
            "ping_most_ms": round(1000 * times[-1], 1),
            "cpu_s": round(cpu_seconds(self._pid) - spent, 2),
            "peak_of_file": round((peak_kib(self._pid) - memory) * 1024 / size, 1),
        }
        with Pings(self._port) as pings:
            self._save("", pings)
        rest(self._pid)
        return found

    def _save(self, more: str, pings: Pings) -> tuple[int, str]:
        """The bytes of the file, and what became of it. Raises RuntimeError if nothing did."""
        self._changes += 1
        answer = f"pong{self._changes}"
        text = self._before.replace("code: pong", f"code: {answer}") + more
        logged = self._log.stat().st_size
        self._file.write_text(text)
        end = monotonic() + MOST_SECONDS
        while monotonic() < end:
            if pings.answer.endswith(answer.encode()):
                return len(text), "applied"
            with self._log.open("rb") as log:
                log.seek(logged)
                if any(words in log.read() for words in REFUSED):
                    return len(text), "refused"
            sleep(BETWEEN_PINGS)
        raise RuntimeError("a change was neither applied nor refused")


def rest(pid: int) -> None:
    """Wait until the server does no more than answer pings."""
    for _ in range(LOOKS):
        before = cpu_seconds(pid)
        sleep(LOOK)
        if cpu_seconds(pid) - before < AT_REST + LOOK / 5:
            sleep(LOOK)
            return
