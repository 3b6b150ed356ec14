"""10,000 keep-alive connections: how long until all are served once, and what each costs."""

from __future__ import annotations

import os
import resource
import selectors
import socket
from pathlib import Path
from time import perf_counter
from typing import Any

from contrib.bench.tools import ping, resident_kib

CONNECTIONS = 10_000
AT_ONCE = 512  # connections being opened at one time; more would test the kernel's queue
REQUEST = b"GET /ping HTTP/1.1\r\nHost: bench\r\n\r\n"
LIMIT_SECONDS = 60.0


def measure(folder: Path) -> dict[str, Any]:
    os.sched_setaffinity(0, {1})
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if most < CONNECTIONS + 100:
        return {"skipped": f"the limit of open files is {most}"}
    with ping(folder) as (process, port, _):
        before = resident_kib(process.pid)
        begin = perf_counter()
        opened = connect(port, begin)
        seconds = perf_counter() - begin
        each = (resident_kib(process.pid) - before) / len(opened)
        for client in opened:
            client.close()
    return {"connections": len(opened), "seconds": seconds, "kib_each": each}


def connect(port: int, begin: float) -> list[socket.socket]:
    """Open them all, ask once on each, and read the answers."""
    selector, done, started = selectors.DefaultSelector(), [], 0
    while len(done) < CONNECTIONS and perf_counter() - begin < LIMIT_SECONDS:
        while started < CONNECTIONS and len(selector.get_map()) < AT_ONCE:
            client = socket.socket()
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", port))
            selector.register(client, selectors.EVENT_WRITE)
            started += 1
        for key, events in selector.select(1.0):
            client = key.fileobj  # type: ignore[assignment]
            if events & selectors.EVENT_WRITE:
                client.send(REQUEST)
                selector.modify(client, selectors.EVENT_READ)
            elif b"pong" in client.recv(4096):
                selector.unregister(client)
                done.append(client)
    return done
