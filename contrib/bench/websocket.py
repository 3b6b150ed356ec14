"""WebSocket echo over 1,000 connections beside that of the `websockets` library, in one run, and
what 5,000 idle connections take of memory."""

from __future__ import annotations

import json
import os
import resource
import sys
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from contrib.bench.tools import free_port, on_core, ping, resident_kib, run, server
from contrib.bench.websocket_load import connect

ECHOING = 1_000
IDLE = 5_000
SECONDS = 4
ROUNDS = 3  # interleaved, and the best of each is compared: other load comes and goes

ECHO = """
- {{kind: listener, name: http, port: {port}, links: {{out: {{name: ws, port: io}}}}}}
- {{kind: gateway, name: ws, links: {{out: {{name: ws}}}}}}
"""


def measure(folder: Path) -> dict[str, Any]:
    os.sched_setaffinity(0, {1})
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with ExitStack() as stack:
        process, port, _ = stack.enter_context(ping(folder, text=ECHO))
        servers = {"greenflow": (process.pid, port)}
        if find_spec("websockets") is not None:
            theirs = free_port()
            command = (sys.executable, "-m", "contrib.bench.websocket_library", str(theirs))
            library = stack.enter_context(server(theirs, *command))
            servers["websockets"] = library.pid, theirs
        found: dict[str, Any] = {
            name: {"idle": idle(pid, port, most)} for name, (pid, port) in servers.items()
        }
        runs: dict[str, list[dict[str, float]]] = {name: [] for name in servers}
        for _ in range(ROUNDS):
            for name, (_, port) in servers.items():
                runs[name].append(echo(port))
    for name, each in runs.items():
        found[name]["echo"] = max(each, key=lambda one: one["messages_per_second"])
    if "websockets" in servers:
        ours, library_ = (found[name]["echo"]["messages_per_second"] for name in servers)
        found["ratio"] = ours / library_
    else:
        found["websockets"] = {"skipped": "websockets is not installed (the extra bench has it)"}
    return found


def echo(port: int) -> dict[str, float]:
    """Messages a second, with one of 16 bytes under way on each connection, from core 1."""
    arguments = (str(port), str(ECHOING), str(SECONDS))
    command = on_core(1, sys.executable, "-m", "contrib.bench.websocket_load", *arguments)
    answer: dict[str, float] = json.loads(run(*command))
    return answer


def idle(pid: int, port: int, most: int) -> dict[str, Any]:
    """What each of many connections takes of the server's memory."""
    if most < IDLE + 100:
        return {"skipped": f"the limit of open files is {most}"}
    for client in connect(port, 100):  # what the first ones bring along is not theirs
        client.close()
    before = resident_kib(pid)
    clients = connect(port, IDLE)
    each = (resident_kib(pid) - before) / IDLE
    for client in clients:
        client.close()
    return {"connections": IDLE, "kib_each": each}
