"""Why a request is not served.

Lives here: Refused, which whatever reads a part of a request raises: head, body, PROXY header. What
is answered is the connection's to say.
"""

from __future__ import annotations


class Refused(Exception):
    """The request is not served: the status to answer, whether without a body (to HEAD), and the
    reason for the log. Never leaves net/."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.bodiless = False
