"""JavaScript snippets: small calls one after another, under way and waiting; bombs beside a ping.

Each bomb is run 20 times over HTTP, while another client asks for a ping that is plain text and for
one that is JavaScript every 5 ms; what is reported is when each bomb was answered, how long the
pings took, and the memory of the engine with its workers before and after.
"""

from __future__ import annotations

import json
import threading
from http.client import HTTPConnection
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

import gevent

from contrib.bench.tools import ping, resident_kib
from greenflow.lang import javascript

CALLS = 4000
UNDER_WAY = 16
ROUNDS = 5  # the best of so many: what the machine can do when nobody else uses it
TIMES = 20  # each bomb

PAYLOAD = {"method": "GET", "path": "/v1/nodes", "query": {"limit": ["10"]}}
SMALL = "export default function (args) { return { body: args.path, status: 200 }; }"

WAITING = 100  # calls at once that wait for WAIT seconds
WAIT = 1.0
SLEEPER = (
    "export default (args) => new Promise((done) => setTimeout(done, args, args))"  # milliseconds
)

BOMBS = {
    "endless_loop": "export default () => { for (;;); }",
    "endless_promise": "export default async function f() { while (true) await null; }",
    "regular_expression": 'export default () => /(a+)+$/.test("a".repeat(40) + "b")',
    "memory": "export default () => { const a = []; for (;;) a.push(new Array(1000).fill(1.5)); }",
    "split": 'export default () => "x".repeat(2 ** 29 - 24).split("").length',
}


def one_after_another() -> float:
    """Seconds for a call."""
    program = javascript.compile(SMALL)
    best = float("inf")
    for _ in range(ROUNDS):
        begin = perf_counter()
        for _ in range(CALLS):
            program(PAYLOAD)
        best = min(best, (perf_counter() - begin) / CALLS)
    return best


def under_way() -> float:
    """Calls a second with several under way."""
    program = javascript.compile(SMALL)

    def some() -> None:
        for _ in range(CALLS // UNDER_WAY):
            program(PAYLOAD)

    best = 0.0
    for _ in range(ROUNDS):
        begin = perf_counter()
        gevent.joinall([gevent.spawn(some) for _ in range(UNDER_WAY)], raise_error=True)
        best = max(best, CALLS / (perf_counter() - begin))
    return best


def waiting(programs: list[javascript.JavaScript]) -> float:
    """Seconds until calls that wait at once are answered, by one program or by one for each."""
    begin = perf_counter()
    calls = [
        gevent.spawn(programs[i % len(programs)], WAIT * 1e3, timeout=10 * WAIT)
        for i in range(WAITING)
    ]
    gevent.joinall(calls, raise_error=True)
    return perf_counter() - begin


def workflow() -> str:
    """The specs, with room for the port: a route for each ping and for each bomb."""
    codes = {"text": "pong", "script": SMALL, **BOMBS}
    listener = {"kind": "listener", "name": "http", "protocol": "http", "port": "PORT"}
    routes = [
        {"method": "GET", "path": f"/{name}", "port": f"out[{i}]"} for i, name in enumerate(codes)
    ]
    links = {f"out[{i}]": {"name": name} for i, name in enumerate(codes)}
    snippets = [
        {
            "kind": "snippet",
            "name": name,
            "language": "text" if name == "text" else "javascript",
            "code": code,
        }
        for name, code in codes.items()
    ]
    specs = [
        {**listener, "links": {"out": {"name": "router"}}},
        {"kind": "router", "name": "router", "routes": routes, "links": links},
        *snippets,
    ]
    text = json.dumps(specs).replace("{", "{{").replace("}", "}}")
    return text.replace('"PORT"', "{port}")


def ask(connection: HTTPConnection, path: str) -> tuple[int, float]:
    """Status of an answer, and the seconds until it came."""
    begin = perf_counter()
    connection.request("GET", path)
    response = connection.getresponse()
    response.read()
    return response.status, perf_counter() - begin


class Pings(threading.Thread):
    """Asks for a path again and again."""

    def __init__(self, port: int, path: str) -> None:
        super().__init__()
        self.connection = HTTPConnection("127.0.0.1", port, timeout=60)
        self.path, self.ended = path, threading.Event()
        self.seconds: list[float] = []
        self.failed = 0

    def run(self) -> None:
        while not self.ended.wait(0.005):
            status, seconds = ask(self.connection, self.path)
            self.failed += status != 200
            self.seconds.append(seconds)
        self.connection.close()

    def end(self) -> dict[str, float]:
        self.ended.set()
        self.join()
        self.seconds.sort()
        p99 = self.seconds[len(self.seconds) * 99 // 100]
        return {"count": len(self.seconds), "failed": self.failed, "p99_ms": p99 * 1e3}


def family_mib(pid: int) -> float:
    """The resident memory of an OS process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return sum(map(resident_kib, (pid, *map(int, children)))) / 1024


def bomb(port: int, name: str) -> dict[str, Any]:
    """What a bomb does to its caller and to others."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    pings = {path: Pings(port, f"/{path}") for path in ("text", "script")}
    for thread in pings.values():
        thread.start()
    answers = [ask(connection, f"/{name}") for _ in range(TIMES)]
    connection.close()
    return {
        "errors": sum(status == 500 for status, _ in answers),
        "answered_after_s_at_most": max(seconds for _, seconds in answers),
        **{f"{path}_ping": thread.end() for path, thread in pings.items()},
    }


def bombs(folder: Path) -> dict[str, Any]:
    """Each bomb, in one engine."""
    with ping(folder, text=workflow()) as (process, port, _):
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        for _ in range(1000):
            ask(connection, "/script")
        results: dict[str, Any] = {"memory_before_mib": family_mib(process.pid)}
        results |= {name: bomb(port, name) for name in BOMBS}
        sleep(1)  # what was told to end does so
        for _ in range(1000):
            ask(connection, "/script")
        results["memory_after_mib"] = family_mib(process.pid)
        connection.close()
    return results


def measure(folder: Path) -> dict[str, Any]:
    begin = perf_counter()
    javascript.compile(SMALL)(PAYLOAD)
    first = perf_counter() - begin
    begin = perf_counter()
    for number in range(100):
        javascript.compile(f"{SMALL} // {number}")
    compiled = (perf_counter() - begin) / 100
    results: dict[str, Any] = {
        "first_call_ms": first * 1e3,
        "compile_ms": compiled * 1e3,
        "one_after_another_us": one_after_another() * 1e6,
        "16_under_way_per_second": under_way(),
        "100_waiting_1_s_of_one_program_s": waiting([javascript.compile(SLEEPER)]),
        "100_waiting_1_s_of_100_programs_s": waiting(
            [javascript.compile(f"{SLEEPER} // {number}") for number in range(WAITING)]
        ),
    }
    javascript.close()
    return {**results, "bombs": bombs(folder)}
