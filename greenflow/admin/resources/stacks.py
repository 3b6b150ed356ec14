"""`/api/v1/stacks`: what every greenlet is at."""

from __future__ import annotations

import msgspec

from greenflow.admin.declaring import get
from greenflow.admin.engine import Engine
from greenflow.admin.resources.processes import family
from greenflow.admin.stacks import Stack, look


class Stacks(msgspec.Struct):
    """The greenlets, those of processes first; `all` is how many there are, more than are told
    perhaps."""

    all: int
    items: list[Stack]


@get("/api/v1/stacks")
def stacks(engine: Engine) -> Stacks:
    """Every greenlet: its process and node, what it waits for, and its calls."""
    processes = [] if engine.running is None else family(engine.services.processes)
    items, count = look(processes)
    return Stacks(count, items)
