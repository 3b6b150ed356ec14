"""How who calls a runtime asks one of its nodes.

Lives here: the way into a node. What becomes of the process, and of the answer, is the runtime's.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from greenflow.engine.port import OutPort
from greenflow.engine.process import Process
from greenflow.engine.source import ask_as, begins_alone
from greenflow.table.table import Table


def way_in(table: Table, node: str, port: str) -> Callable[[Process, Any], Any]:
    """What asks a node for its answer, given a process and the payload: a source without in ports
    as an event of it, any other by its port. Raises Inactive."""
    symbol = table.find(node)
    found = symbol.version.node
    if symbol.active and port == "in" and found is not None and begins_alone(found):
        return partial(ask_as, found)
    entry = OutPort()
    entry.links = (table.input(node, port),)
    return lambda process, payload: process.ask(entry, payload)[0]
