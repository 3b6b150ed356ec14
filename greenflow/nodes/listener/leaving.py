"""Clients that leave before their answer (BEHAVIOUR 8.12).

Lives here: what is done with the process of such a one. Who has left is net/'s to find out.
"""

from __future__ import annotations

import logging
from typing import Any

from greenflow.engine.node import Node, describe
from greenflow.engine.process import Process
from greenflow.engine.scope import exit_after
from greenflow.hub.clock import Clock
from greenflow.net.message import ClientDisconnected

# How long a client is waited for is real time, whatever the clock of the workflows says.
_REAL = Clock()

_log = logging.getLogger("greenflow.nodes.listener")


def leave(process: Process, seconds: float) -> None:
    """The client has gone: its process has so much time left. Does not switch greenlets."""
    exit_after(process, _REAL, seconds, ClientDisconnected("the client has left"))


def tell_left(node: Node[Any], process: Process) -> None:
    """Nobody waits for the answer. That it was given up is no error of the workflow."""
    _log.info("the client left before its answer", extra=describe(node, process))
