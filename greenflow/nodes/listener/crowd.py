"""More requests than may be under way at one time (BEHAVIOUR 8.9): none while it is paused.

Lives here: what one is answered that comes then, and what the log says of it; and Limited, the
source whose limit that is.
"""

from __future__ import annotations

import logging
from time import monotonic
from typing import Any

from greenflow.engine.node import S, describe
from greenflow.engine.source import Source
from greenflow.net.answer import RETRY_AFTER_SECONDS
from greenflow.net.limits import Limits
from greenflow.net.message import Respond
from greenflow.nodes.request import plain

# Seconds between two lines of the log about requests that were answered 503.
SHED_SECONDS = 10.0

_log = logging.getLogger("greenflow.nodes.listener")


class Limited(Source[S]):
    """A source with a limit of requests, `most`; while it is paused, that is none. So whoever takes
    requests asks for nothing more."""

    can_pause = True
    most: int
    limits: Limits

    def pause(self) -> None:
        super().pause()
        self.most = 0

    def resume(self) -> None:
        super().resume()
        self.most = self.limits.in_flight


class Crowd:
    """The requests of one listener beyond its limit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._tells_again = 0.0  # on time.monotonic()

    def shed(self, node: Limited[Any], respond: Respond) -> None:
        """Answer one of them. One line of the log for all of a moment, and none for each."""
        if not node.paused and monotonic() >= self._tells_again:
            self._tells_again = monotonic() + SHED_SECONDS
            reason = "%d requests are under way (limits.in_flight): others are answered 503"
            _log.warning(reason, self._limit, extra=describe(node))
        response = plain(503)
        response.headers = [*response.headers, ("Retry-After", str(RETRY_AFTER_SECONDS))]
        respond(response)
