"""Which listener of a runtime answers a request that came in by WSGI.

Lives here: the choice by name and by port. What WSGI is, net/wsgi says.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from greenflow.nodes.listener import Listener

_log = logging.getLogger("greenflow.runtime")


def named(running: Mapping[str, Listener], name: str, namespace: str) -> Listener | None:
    """The listener of that name; None, and a line in the log, if it does not run."""
    for listener in running.values():
        if listener.spec.name == name:
            return listener
    _log.error("no listener named %r is running in namespace %r", name, namespace)
    return None


def at_port(running: Mapping[str, Listener], port: str, namespace: str) -> Listener | None:
    """The only listener, or of several the one with that port; None, and a line in the log."""
    if len(running) == 1:
        return next(iter(running.values()))
    for listener in running.values():
        if str(listener.spec.port) == port:
            return listener
    _log.error(
        "%s in namespace %r; a request at port %s is answered 503",
        "none of several listeners has that port: use wsgi_of(NAME)"
        if running
        else "no listener is running",
        namespace,
        port,
    )
    return None
