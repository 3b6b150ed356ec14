"""Clients that leave before their answer (BEHAVIOUR 8.12).

Lives here: what is done with the process of such a one. Who has left is net/'s to find out.
"""

from __future__ import annotations

import logging
from typing import Any

import gevent

from greenflow.engine.node import Node, describe
from greenflow.engine.process import Process
from greenflow.net.message import ClientDisconnected

_log = logging.getLogger("greenflow.nodes.listener")


def leave(process: Process, seconds: float) -> None:
    """The client has gone: its process has so much time left. Does not switch greenlets."""
    timer = gevent.get_hub().loop.timer(seconds)

    def close() -> None:
        timer.stop()
        timer.close()

    def end() -> None:
        close()
        process.spawn(process.exit, ClientDisconnected("the client has left"))

    timer.start(end)
    process.on_exit(close)


def tell_left(node: Node[Any], process: Process) -> None:
    """Nobody waits for the answer. That it was given up is no error of the workflow."""
    _log.info("the client left before its answer", extra=describe(node, process))
