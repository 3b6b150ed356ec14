"""Large bodies: 1 MiB of JSON there and back, 100 MiB streamed in and out, and the memory it takes.

The echo is `greenflow run` of a CEL snippet, so the body is decoded and encoded anew. Streams go
through bodies_runtime.py, one and several at a time; memory is the peak of the resident set above
that of the idle server.
"""

from __future__ import annotations

import json
import os
import random
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from time import perf_counter
from typing import Any

from contrib.bench.bodies_runtime import PIECE, SIZE
from contrib.bench.tools import cpu_seconds, free_port, peak_kib, ping, reset_peak, server, wrk

SECONDS = 5
ROUNDS = 4  # the best of so many: what the machine can do when nobody else uses it
CONNECTIONS = 8  # enough that the server never waits for wrk
JSON_BYTES = 2**20
AT_ONCE = 8  # streams that are under way together

ECHO = """
- {{kind: listener, name: http, protocol: http, port: {port}, links: {{out: {{name: echo}}}}}}
- {{kind: snippet, name: echo, language: cel, code: self.body}}
"""

POST = """
local file = io.open("%s", "rb")
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = file:read("*a")
file:close()
"""


def order(number: int, pick: random.Random) -> dict[str, Any]:
    """What a shop's API sends: short texts, links, numbers, nulls, maps in lists in maps."""
    id = f"{pick.getrandbits(64):016x}"
    return {
        "id": f"ord_{id}",
        "url": f"https://api.example.com/v2/orders/ord_{id}",
        "created_at": f"2026-03-{number % 28 + 1:02}T12:{number % 60:02}:07.418Z",
        "updated_at": f"2026-04-{number % 28 + 1:02}T08:{number % 60:02}:59.003Z",
        "status": pick.choice(["open", "paid", "shipped", "returned"]),
        "currency": "EUR",
        "total": round(pick.uniform(5, 900), 2),
        "customer": {
            "id": number % 997,
            "name": pick.choice(["Ada Lovelace", "Jürgen Groß", "Zoë O'Neill", "Søren Dahl"]),
            "email": f"customer.{number % 997}@example.com",
            "phone": None,
            "newsletter": number % 3 == 0,
        },
        "shipping_address": {
            "street": f"{pick.randrange(300)} Long Acre Street",
            "city": pick.choice(["København", "München", "Amsterdam", "Lyon"]),
            "postcode": f"{pick.randrange(10_000, 99_999)}",
            "country": pick.choice(["DK", "DE", "NL", "FR"]),
            "company": None,
        },
        "note": "Please ring twice, then leave it\nwith the neighbour." if number % 4 else None,
        "lines": [
            {
                "sku": f"SKU-{pick.randrange(10**6):06}",
                "title": pick.choice(["Walnut desk, 160 cm", "Lamp, brass", "Chair with arms"]),
                "image": f"https://cdn.example.com/products/{pick.randrange(10**6)}/large.jpg",
                "quantity": pick.randrange(1, 5),
                "unit_price": round(pick.uniform(1, 300), 2),
                "tags": ["furniture", "new"],
            }
            for _ in range(3)
        ],
    }


def typical_json() -> bytes:
    """A list of orders, of JSON_BYTES or little more."""
    pick, texts, size = random.Random(1), [], 0
    while size < JSON_BYTES:
        text = json.dumps(order(len(texts), pick), ensure_ascii=False, separators=(",", ":"))
        texts.append(text)
        size += len(text.encode()) + 1
    return f'{{"orders":[{",".join(texts)}]}}'.encode()


def echo(folder: Path) -> dict[str, Any]:
    """Requests a second, and the seconds of the server's core that each took: the one depends on
    who else uses the machine, the other less so."""
    body, script = folder / "orders.json", folder / "post.lua"
    body.write_bytes(typical_json())
    script.write_text(POST % body)
    with ping(folder, text=ECHO) as (process, port, _):
        wrk(port, 1, CONNECTIONS, script=script)
        rounds = []
        for _ in range(ROUNDS):
            before = cpu_seconds(process.pid)
            found = wrk(port, SECONDS, CONNECTIONS, script=script)
            spent = cpu_seconds(process.pid) - before
            rounds.append({**found, "cpu_ms_each": spent / found["requests"] * 1e3})
    best = max(rounds, key=lambda each: each["requests_per_second"])
    return {"body_bytes": body.stat().st_size, **best}


def answer(client: socket.socket) -> bytes:
    """All that the server sends until it closes, less what is only more of the same."""
    kept = b""
    while data := client.recv(2**20):
        kept = (kept + data)[-200:]
    return kept


def upload(port: int, path: str) -> None:
    """One body of SIZE bytes, whose length must come back."""
    with closing(socket.create_connection(("127.0.0.1", port))) as client:
        head = f"POST {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\nContent-Length: {SIZE}"
        client.sendall(f"{head}\r\n\r\n".encode())
        piece = PIECE * 16
        for _ in range(SIZE // len(piece)):
            client.sendall(piece)
        found = answer(client)
    if not found.endswith(f"\r\n\r\n{SIZE}\n".encode()):
        raise RuntimeError(f"an upload was answered {found!r}")


def download(port: int, path: str) -> None:
    """One answer of SIZE bytes, which must come to its end."""
    with closing(socket.create_connection(("127.0.0.1", port))) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n".encode())
        received, last = 0, b""
        while data := client.recv(2**20):
            received += len(data)
            last = (last + data)[-7:]
    if received < SIZE or last != b"\r\n0\r\n\r\n":
        raise RuntimeError(f"a download ended after {received} bytes with {last!r}")


def together(transfer: Callable[[int, str], None], port: int, path: str) -> None:
    failures: list[Exception] = []

    def one() -> None:
        try:
            transfer(port, path)
        except Exception as failure:
            failures.append(failure)

    threads = [threading.Thread(target=one) for _ in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def streams(folder: Path) -> dict[str, Any]:
    os.sched_setaffinity(0, {1})
    found = {}
    port, file = free_port(), folder / "upload"
    command = (sys.executable, "-m", "contrib.bench.bodies_runtime", str(port), str(file))
    for path, transfer in (("/discard", upload), ("/save", upload), ("/download", download)):
        with server(port, *command) as process:  # a new one, whose memory nobody has used yet
            idle = reset_peak(process.pid)
            begin = perf_counter()
            transfer(port, path)
            seconds = perf_counter() - begin
            growth = peak_kib(process.pid) - idle
            together(transfer, port, path)
            found[path[1:]] = {
                "mib_per_second": SIZE / 2**20 / seconds,
                "rss_growth_mib": growth / 1024,
                f"rss_growth_of_{AT_ONCE}_at_once_mib": (peak_kib(process.pid) - idle) / 1024,
            }
    if file.stat().st_size != SIZE:
        raise RuntimeError(f"the file has {file.stat().st_size} bytes")
    return found


def measure(folder: Path) -> dict[str, Any]:
    return {"json_echo": echo(folder), **streams(folder)}
