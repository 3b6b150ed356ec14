"""Why a request is not served.

Lives here: Refused, which whatever reads a part of a request raises: head, body, PROXY header. What
is answered is the connection's to say.
"""

from __future__ import annotations

from collections.abc import Callable

#: Told of each request whose head was understood, and which is refused all the same, as for its
#: body: the method, the path, the status of the answer, and the reason.
TellRefused = Callable[[str, str, int, str], object]


class Refused(Exception):
    """The request is not served: the status to answer, whether without a body (to HEAD), and the
    reason for the log. Never leaves net/. `method` and `path` are empty until the head was
    understood."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.bodiless = False
        self.method = self.path = ""
