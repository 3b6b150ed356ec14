"""More requests than may be under way at one time (BEHAVIOUR 8.9).

Lives here: what one is answered that comes then, and what the log says of it.
"""

from __future__ import annotations

import logging
from time import monotonic
from typing import Any

from greenflow.engine.node import Node, describe
from greenflow.net.answer import RETRY_AFTER_SECONDS
from greenflow.net.message import Respond
from greenflow.nodes.request import plain

# Seconds between two lines of the log about requests that were answered 503.
SHED_SECONDS = 10.0

_log = logging.getLogger("greenflow.nodes.listener")


class Crowd:
    """The requests of one listener beyond its limit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._tells_again = 0.0  # on time.monotonic()

    def shed(self, node: Node[Any], respond: Respond) -> None:
        """Answer one of them. One line of the log for all of a moment, and none for each."""
        if monotonic() >= self._tells_again:
            self._tells_again = monotonic() + SHED_SECONDS
            reason = "%d requests are under way (limits.in_flight): others are answered 503"
            _log.warning(reason, self._limit, extra=describe(node))
        response = plain(503)
        response.headers = [*response.headers, ("Retry-After", str(RETRY_AFTER_SECONDS))]
        respond(response)
